import math

import numpy as np
import pytest
from scipy import stats
from studies import study

from pipeline.evaluation.crossed import crossed_interval
from pipeline.evaluation.placebos import randomisation_p
from pipeline.evaluation.power import (
    POWER,
    Components,
    components,
    placebo_power,
    power,
    smallest_effect,
    smallest_effect_among_placebos,
)
from pipeline.evaluation.statistics import compare, influences_of


def standardised(effects):
    return (effects - effects.mean()) / effects.std(ddof=1)


SPREAD = Components(0.003**2, 0.01**2, 0.008**2, standardised(stats.norm.ppf((np.arange(27) + 0.5) / 27)))


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_the_promised_power_is_that_of_the_test(seeds):
    effect = smallest_effect(SPREAD, seeds)
    assert power(SPREAD, effect, seeds) == pytest.approx(POWER, abs=0.01)
    random = np.random.default_rng(seeds)
    values = (
        effect
        + random.normal(0, 0.003, (seeds, 1, 4000))
        + random.normal(0, 0.01, (1, 27, 4000))
        + random.normal(0, 0.008, (seeds, 27, 4000))
    )
    estimate = values.mean(axis=(0, 1))
    shown = (crossed_interval(estimate, values - estimate).p < 0.05).mean()
    assert shown == pytest.approx(POWER, abs=0.05)


def test_without_an_effect_the_power_is_the_level():
    assert all(power(SPREAD, 0.0, seeds) <= 0.06 for seeds in (2, 3, 10))


def test_more_seeds_show_smaller_effects_down_to_what_the_rows_allow():
    effects = [smallest_effect(SPREAD, seeds) for seeds in (2, 3, 5, 10, 50)]
    assert effects == sorted(effects, reverse=True)
    # What is left with endless seeds is the spread over rows: 2.8 standard errors, and Student's t.
    assert effects[-1] == pytest.approx(2.9 * 0.01 / math.sqrt(27), rel=0.1)


@pytest.mark.slow
def test_components_come_back_from_what_was_measured():
    random = np.random.default_rng(0)
    found = [
        components(influences_of(study(random, seeds=6), "weighting", "uniform", "nll", "critical")[1])
        for _ in range(60)
    ]
    assert {len(one.shape) for one in found} == {27}
    assert np.mean([one.seeds for one in found]) == pytest.approx(0.003**2, rel=0.35)
    # By rows of equal weight; rows count by their tokens, which spreads them a little more.
    assert np.mean([one.groups for one in found]) == pytest.approx(0.01**2 * 1.4, rel=0.35)
    assert np.mean([one.interaction for one in found]) == pytest.approx(0.008**2 * 1.4, rel=0.35)


@pytest.mark.slow
def test_a_planted_effect_is_found_as_often_as_promised():
    random = np.random.default_rng(3)
    pilot = [study(random, seeds=5) for _ in range(40)]
    measured = [
        components(influences_of(one, "weighting", "uniform", "nll", "critical")[1]) for one in pilot
    ]
    shapes = np.concatenate([one.shape for one in measured])
    # Few seeds tell the variance of seeds badly, and the promise with it; here it is the true one.
    spread = Components(
        0.003**2,
        *(float(np.mean([getattr(one, name) for one in measured])) for name in ("groups", "interaction")),
        standardised(np.quantile(shapes, (np.arange(27) + 0.5) / 27)),
    )
    effect = smallest_effect(spread, 3)
    shown = 0
    for _ in range(400):
        table = compare(study(random, seeds=3, effect=effect), names=("nll",))
        row = table[(table["comparison"] == "weighting-uniform") & (table["group"] == "critical")].iloc[0]
        shown += row["p"] < 0.05 and row["value"] > 0
    assert shown / 400 == pytest.approx(POWER, abs=0.06)


@pytest.mark.parametrize("count", [19, 39])
def test_the_promised_power_among_placebos_is_that_of_the_test(count):
    effect = smallest_effect_among_placebos(0.02, count)
    assert placebo_power(0.02, effect, count) == pytest.approx(POWER, abs=0.01)
    values = np.random.default_rng(count).normal(0, 0.02, (2000, count + 1))
    values[:, 0] += effect
    shown = np.mean([randomisation_p(row[0], row[1:]) <= 0.05 for row in values])
    assert shown == pytest.approx(POWER, abs=0.04)


def test_too_few_placebos_show_no_effect_however_large():
    assert smallest_effect_among_placebos(0.02, 18) == math.inf
