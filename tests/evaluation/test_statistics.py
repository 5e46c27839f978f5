import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from pipeline.evaluation import resampling, statistics
from pipeline.evaluation.groups import groups
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.statistics import compare, comparisons, holm, measure, sign_flips

FAST = {"resamples": 200, "permutations": 99}


def table(rows=60, seed=0, **changes):
    """Rows of a run with random figures."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "severity": np.resize(["critical", "neutral", "non_critical"], rows),
            **{
                name: random.uniform(0.1, 0.9, rows)
                for name in (
                    "bertscore_precision",
                    "bertscore_recall",
                    "bertscore_f1",
                    "rouge_l",
                    "repetition",
                )
            },
            "chrf": random.uniform(5, 40, rows),
            "nll_sum": random.uniform(5, 90, rows),
            "answer_tokens": np.random.default_rng(5).integers(3, 40, rows),
            "words": random.integers(1, 40, rows),
            "empty": random.integers(0, 2, rows),
            "urgent_reference": np.resize([1, 0, 1, 1], rows),
            "urgent_answer": random.integers(0, 2, rows),
        }
    ).assign(**changes)


def runs(base=None, uniform=None, weighting=None):
    """Each run's tables; the first is for all that is not given."""
    base = [table()] if base is None else base
    return {"base": base, "uniform": uniform or base, "weighting": weighting or uniform or base}


def measured(tables, run="base", group="all", **options):
    """`measure` of one run and group: metric to its row."""
    found = measure(tables, **{"resamples": 200, **options})
    return found[(found["arm"] == run) & (found["group"] == group)].set_index("metric")


def difference(tables, metric, comparison="weighting-uniform", group="all", **options):
    found = compare(tables, **{**FAST, **options}).set_index(["comparison", "metric", "group"])
    return found.loc[(comparison, metric, group)]


# Planted models.

PERFECT = dict.fromkeys(("bertscore_precision", "bertscore_recall", "bertscore_f1", "rouge_l"), 1.0)
COPIES = {**PERFECT, "chrf": 100.0, "repetition": 0.0, "empty": 0}
SILENT = {**dict.fromkeys(PERFECT, 0.0), "chrf": 0.0, "repetition": 0.0, "empty": 1, "words": 0}


def test_a_model_that_copies_the_reference_is_perfect_and_surely_so():
    copy = table(**COPIES)
    found = measured(runs([copy.assign(urgent_answer=copy["urgent_reference"])]))
    for name in (*PERFECT, "urgency_recall"):
        assert found.loc[name, ["value", "low", "high"]].tolist() == [1.0, 1.0, 1.0]
    assert found.loc["chrf", ["value", "low", "high"]].tolist() == [100.0, 100.0, 100.0]
    assert found.loc["empty", "high"] == found.loc["repetition", "high"] == 0.0


def test_a_model_that_answers_nothing_scores_nothing_but_has_a_likelihood():
    silent = table(**SILENT, urgent_answer=0)
    found = measured(runs([silent]))
    for name in (*PERFECT, "chrf", "words", "urgency_recall"):
        assert found.loc[name, ["value", "low", "high"]].tolist() == [0.0, 0.0, 0.0]
    assert found.loc["empty", ["value", "low", "high"]].tolist() == [1.0, 1.0, 1.0]
    nll = silent["nll_sum"].sum() / silent["answer_tokens"].sum()
    assert found.loc["nll", "value"] == pytest.approx(nll)
    assert found.loc["perplexity", "value"] == pytest.approx(math.exp(nll))
    assert found.loc["nll", "low"] < nll < found.loc["nll", "high"]


# Measures.


def test_values_are_overall_and_by_severity():
    rows = table()
    found = measure(runs([rows]), resamples=50).set_index(["arm", "metric", "group"])
    critical = rows[rows["severity"] == "critical"]
    assert found.loc[("base", "chrf", "all"), "value"] == pytest.approx(rows["chrf"].mean())
    assert found.loc[("base", "chrf", "critical"), "value"] == pytest.approx(critical["chrf"].mean())
    nll = critical["nll_sum"].sum() / critical["answer_tokens"].sum()
    assert found.loc[("base", "nll", "critical"), "value"] == pytest.approx(nll)
    assert found.loc[("base", "nll", "critical"), "rows"] == len(critical)
    assert found.loc[("base", "urgency_recall", "all"), "rows"] == rows["urgent_reference"].sum()


def test_an_interval_has_the_width_of_theory():
    random = np.random.default_rng(3)
    rows = table(1000, chrf=random.normal(30, 8, 1000))
    found = measured(runs([rows]), resamples=2000).loc["chrf"]
    error = rows["chrf"].std() / math.sqrt(1000)
    assert found["low"] == pytest.approx(rows["chrf"].mean() - 1.96 * error, abs=0.1 * error)
    assert found["high"] == pytest.approx(rows["chrf"].mean() + 1.96 * error, abs=0.1 * error)


def test_a_metric_without_rows_is_absent():
    found = measure(runs([table(urgent_reference=0)]), resamples=20)
    assert set(found["metric"]) == set(METRICS) - {"urgency_recall"}
    assert "urgency_recall" not in set(compare(runs([table(urgent_reference=0)]), **FAST)["metric"])


def test_resamples_without_an_urgent_reference_do_not_count():
    rows = table(urgent_reference=np.arange(60) < 2, urgent_answer=np.arange(60) < 1)
    found = measured(runs([rows])).loc["urgency_recall"]
    assert found[["rows", "value", "low", "high"]].tolist() == [2, 0.5, 0.0, 1.0]


def test_seeds_give_their_mean_and_spread():
    tables = [table(seed=seed) for seed in (1, 2, 4)]
    found = measured(runs([table()], tables), "uniform")
    single = [rows["chrf"].mean() for rows in tables]
    assert found.loc["chrf", "value"] == pytest.approx(np.mean(single))
    assert found.loc["chrf", "sd_seeds"] == pytest.approx(np.std(single, ddof=1))
    assert found.loc["chrf", "seeds"] == 3
    nll = [rows["nll_sum"].sum() / rows["answer_tokens"].sum() for rows in tables]
    assert found.loc["perplexity", "value"] == pytest.approx(math.exp(np.mean(nll)))
    assert found.loc["perplexity", "sd_seeds"] == pytest.approx(np.std(np.exp(nll), ddof=1))


def test_an_interval_is_that_of_the_mean_over_seeds():
    rows = table(chrf=20.0)
    # Whatever one seed gains in a row, the other loses.
    noise = np.random.default_rng(0).normal(0, 5, len(rows))
    tables = [rows.assign(chrf=20 + noise), rows.assign(chrf=20 - noise)]
    found = measured(runs(tables)).loc["chrf"]
    assert found[["value", "low", "high"]].tolist() == pytest.approx([20.0, 20.0, 20.0])
    assert found["sd_seeds"] > 0


def test_one_seed_has_no_spread():
    found = measured(runs())
    assert found["sd_seeds"].isna().all()
    assert (found["seeds"] == 1).all()


def test_statistics_repeat_and_do_not_depend_on_blocks(monkeypatch):
    whole = measure(runs()), compare(runs(uniform=[table(seed=1)]), **FAST)
    monkeypatch.setattr(statistics, "BLOCK", 1000)
    monkeypatch.setattr(resampling, "BLOCK", 1000)
    parts = measure(runs()), compare(runs(uniform=[table(seed=1)]), **FAST)
    for one, other in zip(whole, parts, strict=True):
        pd.testing.assert_frame_equal(one, other)


# Differences.


def test_a_shift_of_every_token_is_a_difference_without_doubt():
    rows = table()
    shifted = rows.assign(nll_sum=rows["nll_sum"] - 0.25 * rows["answer_tokens"])
    found = difference(runs([rows], [rows], [shifted]), "nll")
    assert found[["value", "low", "high"]].tolist() == pytest.approx([-0.25, -0.25, -0.25])
    assert found["p"] == pytest.approx(2 / 100), "the least that 99 random flips can give"
    same = difference(runs([rows], [rows], [shifted]), "nll", "uniform-base")
    assert same[["value", "low", "high", "p"]].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_what_makes_a_row_hard_for_both_does_not_widen_the_interval():
    rows = table(200)
    better = rows.assign(chrf=rows["chrf"] + np.random.default_rng(1).normal(1, 0.1, 200))
    paired = difference(runs([rows], [rows], [better]), "chrf")
    alone = measured(runs([rows]))
    assert paired["high"] - paired["low"] < 0.05
    assert alone.loc["chrf", "high"] - alone.loc["chrf", "low"] > 1


@pytest.mark.slow
def test_intervals_of_a_known_difference_hold_it_19_times_in_20():
    held = 0
    for draw in range(200):
        rows = table(100, severity="neutral")
        noise = np.random.default_rng(draw).normal(0.3, 1.0, 100)
        found = difference(
            runs([rows], [rows], [rows.assign(chrf=rows["chrf"] + noise)]),
            "chrf",
            resamples=300,
            permutations=1,
        )
        held += found["low"] <= 0.3 <= found["high"]
    # Three standard deviations of a binomial count around 190.
    assert 180 <= held <= 199


def test_an_interval_of_a_gaussian_difference_is_the_closed_form():
    rows = table(2000)
    noise = np.random.default_rng(8).normal(0.05, 1.0, 2000)
    noise = (noise - noise.mean()) / noise.std() + 0.05  # Its mean and deviation to the letter.
    found = difference(
        runs([rows], [rows], [rows.assign(chrf=rows["chrf"] + noise)]),
        "chrf",
        resamples=2000,
        permutations=4999,
    )
    error = 1 / math.sqrt(2000)
    assert found["value"] == pytest.approx(0.05)
    assert found["low"] == pytest.approx(0.05 - 1.96 * error, abs=0.1 * error)
    assert found["high"] == pytest.approx(0.05 + 1.96 * error, abs=0.1 * error)
    assert found["p"] == pytest.approx(2 * norm.sf(0.05 / error), abs=0.006)


def test_p_values_are_of_all_rows_and_of_severities_only():
    specialty = np.resize(["skin", "heart"], 60)
    found = compare(runs([table(specialty=specialty)]), **FAST)
    there = found[found["p"].notna()]
    assert set(there["group"]) == {"all", "critical", "neutral", "non_critical"}
    assert set(found["group"]) == {*there["group"], "skin", "heart"}
    assert not found[["value", "low", "high"]].isna().any(axis=None)


def test_differences_of_seeds_are_of_their_means():
    one, other = table(seed=1), table(seed=2)
    found = difference(runs([table()], [one, other], [other, one]), "chrf")
    assert found[["value", "low", "high"]].tolist() == pytest.approx([0.0, 0.0, 0.0])
    found = difference(runs([table()], [one, other]), "chrf", "uniform-base")
    expected = (one["chrf"] + other["chrf"]).mean() / 2 - table()["chrf"].mean()
    assert found["value"] == pytest.approx(expected)


# Permutations and Holm.


def test_few_rows_are_flipped_in_all_ways():
    # Of the 8 ways two give a sum as far from 0 as three gains; of 1, 2 and -4 half are as low as -1.
    found = sign_flips(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, -4.0]]), 4999, 0)
    assert found.tolist() == pytest.approx([2 / 8, 1.0])


def test_rounding_breaks_no_tie():
    values = np.array([[0.1], [0.2], [0.3], [0.4], [0.7], [1e3], [1e-3]])
    assert sign_flips(values, 4999, 0).tolist() == [pytest.approx(2 / 2**7)]


@pytest.mark.parametrize("sizes", [[1.0, 2.0], np.arange(1.0, 31.0)])
def test_a_symmetric_difference_has_a_p_value_of_one(sizes):
    values = np.concatenate([sizes, np.negative(sizes)])[:, None]
    assert sign_flips(values, 999, 0).tolist() == [1.0]


def test_no_difference_has_a_p_value_of_one():
    assert sign_flips(np.zeros((50, 2)), 999, 0).tolist() == [1.0, 1.0]


def test_one_row_has_no_p_value():
    assert np.isnan(sign_flips(np.ones((1, 3)), 99, 0)).tolist() == [True] * 3


def test_p_values_of_chance_are_uniform():
    random = np.random.default_rng(2)
    found = sign_flips(random.normal(size=(200, 400)), 999, 0)
    assert (found < 0.05).mean() == pytest.approx(0.05, abs=0.033), "three standard deviations"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.2], [0.2]),
        ([0.6, 0.7], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.01, math.nan, 0.02], [0.02, math.nan, 0.02]),
        ([math.nan], [math.nan]),
    ],
)
def test_holm_against_hand_computed_values(given, expected):
    assert holm(np.array(given)).tolist() == pytest.approx(expected, nan_ok=True)


# Groups.


def sizes(rows):
    return {name: int(chosen.sum()) for name, chosen in groups(rows)}


def test_severities_come_critical_first_and_only_those_there_are():
    found = sizes(pd.DataFrame({"severity": ["neutral", "critical", "neutral"]}))
    assert list(found.items()) == [("all", 3), ("critical", 1), ("neutral", 2)]


def test_small_specialties_are_pooled_with_the_rows_that_have_none():
    specialty = ["skin"] * 20 + ["heart"] * 25 + ["eye"] * 19 + [""] * 2 + [None, math.nan]
    found = sizes(pd.DataFrame({"severity": "neutral", "specialty": specialty}))
    assert list(found.items())[2:] == [("heart", 25), ("skin", 20), ("other", 23)]


@pytest.mark.parametrize("nothing", ["", None, math.nan])
def test_rows_without_specialties_have_no_such_groups(nothing):
    assert list(sizes(pd.DataFrame({"severity": ["neutral"] * 30, "specialty": nothing}))) == [
        "all",
        "neutral",
    ]


def test_a_specialty_named_like_another_group_stays_apart():
    specialty = ["all"] * 20 + ["critical"] * 30
    found = sizes(pd.DataFrame({"severity": "critical", "specialty": specialty}))
    assert found == {"all": 50, "critical": 50, "critical (specialty)": 30, "all (specialty)": 20}


def test_every_arm_is_compared_with_uniform_and_uniform_with_the_base():
    assert comparisons(["base", "uniform", "mild", "weighting"]) == {
        "mild-uniform": ("mild", "uniform"),
        "weighting-uniform": ("weighting", "uniform"),
        "uniform-base": ("uniform", "base"),
    }


def test_any_number_of_arms_is_measured_and_compared():
    tables = {
        arm: [table(seed=seed)] for seed, arm in enumerate(("base", "uniform", "mild", "weighting", "own"))
    }
    assert list(dict.fromkeys(measure(tables, resamples=50)["arm"])) == list(tables)
    found = compare(tables, **FAST)
    assert list(dict.fromkeys(found["comparison"])) == list(comparisons(tables))
    # A difference does not depend on which other arms there are.
    two = compare({arm: tables[arm] for arm in ("base", "uniform", "weighting")}, **FAST)
    ours = found[found["comparison"] == "weighting-uniform"].reset_index(drop=True)
    alone = two[two["comparison"] == "weighting-uniform"].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, alone)
