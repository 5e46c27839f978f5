import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from studies import rows, study

from pipeline.evaluation.corrections import benjamini_hochberg, holm
from pipeline.evaluation.groups import groups
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.statistics import compare, comparisons, influences_of, measure


def table(count=60, seed=0, **changes):
    """Rows of a run with random figures."""
    random = np.random.default_rng(seed)
    shares = ("bertscore_precision", "bertscore_recall", "bertscore_f1", "rouge_l", "repetition")
    columns = {
        **{name: random.uniform(0.1, 0.9, count) for name in shares},
        "chrf": random.uniform(5, 40, count),
        "words": random.integers(1, 40, count),
        **{
            name: random.integers(0, 2, count)
            for name in ("empty", "cut_off", "urgent_answer", "reassuring_answer")
        },
        "urgent_reference": np.resize([1, 0, 1, 1], count),
    }
    tokens = np.random.default_rng(5).integers(3, 40, count)
    return rows(count, random.uniform(2, 9, count), tokens=tokens, **{**columns, **changes})


def runs(base=None, uniform=None, weighting=None):
    """Each run's tables; the first is for all that is not given."""
    base = [table()] if base is None else base
    return {"base": base, "uniform": uniform or base, "weighting": weighting or uniform or base}


def measured(tables, run="base", group="all"):
    """`measure` of one run and group: metric to its row."""
    figures = measure(tables)
    return figures[(figures["arm"] == run) & (figures["group"] == group)].set_index("metric")


def difference(tables, metric, comparison="weighting-uniform", group="all"):
    return compare(tables).set_index(["comparison", "metric", "group"]).loc[(comparison, metric, group)]


# Measures.


def test_values_are_overall_and_by_severity():
    one = table()
    figures = measure(runs([one])).set_index(["arm", "metric", "group"])
    critical = one[one["severity"] == "critical"]
    assert figures.loc[("base", "chrf", "all"), "value"] == pytest.approx(one["chrf"].mean())
    assert figures.loc[("base", "chrf", "critical"), "value"] == pytest.approx(critical["chrf"].mean())
    nll = critical["nll_sum"].sum() / critical["answer_tokens"].sum()
    assert figures.loc[("base", "nll", "critical"), "value"] == pytest.approx(nll)
    assert figures.loc[("base", "nll", "critical"), "rows"] == len(critical)
    assert figures.loc[("base", "urgency_recall", "all"), "rows"] == one["urgent_reference"].sum()


def test_the_interval_of_a_mean_over_many_rows_is_students():
    one = table(1000, chrf=np.random.default_rng(3).normal(30, 8, 1000))
    figures = measured(runs([one])).loc["chrf"]
    expected = stats.ttest_1samp(one["chrf"], 0).confidence_interval()
    assert figures["low"] == pytest.approx(expected.low, abs=0.02)
    assert figures["high"] == pytest.approx(expected.high, abs=0.02)


def test_near_duplicates_count_as_one():
    """Every row four times over is no more certain than once."""
    chrf = np.random.default_rng(3).normal(30, 8, 15)
    once = measured(runs([table(15, chrf=chrf, severity="neutral")])).loc["chrf"]
    copies = table(
        60, chrf=np.repeat(chrf, 4), severity="neutral", groups=np.repeat(np.arange(15), 4).astype(str)
    )
    assert measured(runs([copies])).loc["chrf", ["value", "low", "high"]].tolist() == pytest.approx(
        once[["value", "low", "high"]].tolist()
    )


def test_the_order_of_the_rows_does_not_matter():
    one, other = table(seed=1), table(seed=2)
    order = np.random.default_rng(0).permutation(len(one))
    plain = compare(runs([one], [one], [other]))
    shuffled = compare(runs(*([each.iloc[order].reset_index(drop=True)] for each in (one, one, other))))
    keys = ["comparison", "metric", "group"]
    pd.testing.assert_frame_equal(
        plain.sort_values(keys, ignore_index=True), shuffled.sort_values(keys, ignore_index=True)
    )


def test_a_metric_without_rows_is_absent():
    calm = table(urgent_reference=0, urgent_answer=0)
    missing = {"urgency_recall", "urgency_precision", "urgency_f1"}
    assert set(METRICS) - set(measure(runs([calm])).query("group == 'all'")["metric"]) == missing
    assert not missing & set(compare(runs([calm]))["metric"])


@pytest.mark.slow
@pytest.mark.parametrize("count", [9, 20, 100])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5, 0.9])
def test_the_interval_of_a_share_covers_and_is_never_a_point(count, share):
    random = np.random.default_rng(count)
    studies = 150
    held = 0
    for _ in range(studies):
        one = rows(count, empty=(random.random(count) < share).astype(int))
        figures = measure({"base": [one]}, ["empty"]).query("group == 'all'").iloc[0]
        assert 0 <= figures["low"] < figures["high"] <= 1
        assert figures["low"] <= figures["value"] <= figures["high"]
        held += figures["low"] <= share <= figures["high"]
    # Three standard deviations of the simulation below 93 %.
    assert held / studies >= 0.93 - 3 * math.sqrt(0.93 * 0.07 / studies)


def test_nine_rows_without_a_difference_do_not_show_that_there_is_none():
    one = rows(9, severity="critical")
    found = difference(runs([one], [one] * 3, [one] * 3), "empty")
    assert found["value"] == 0
    assert found["low"] < -0.15
    assert found["high"] > 0.15


def test_an_interval_of_perplexity_is_that_of_the_nll():
    figures = measured(runs([table()]))
    columns = ["value", "low", "high"]
    assert figures.loc["perplexity", columns].tolist() == pytest.approx(
        np.exp(figures.loc["nll", columns].astype(float)).tolist()
    )


def test_seeds_give_their_mean_and_spread():
    tables = [table(seed=seed) for seed in (1, 2, 4)]
    figures = measured(runs([table()], tables), "uniform")
    single = [each["chrf"].mean() for each in tables]
    assert figures.loc["chrf", "value"] == pytest.approx(np.mean(single))
    assert figures.loc["chrf", "sd_seeds"] == pytest.approx(np.std(single, ddof=1))
    assert figures.loc["chrf", "seeds"] == 3
    nll = [each["nll_sum"].sum() / each["answer_tokens"].sum() for each in tables]
    assert figures.loc["perplexity", "value"] == pytest.approx(math.exp(np.mean(nll)))
    assert figures.loc["perplexity", "sd_seeds"] == pytest.approx(np.std(np.exp(nll), ddof=1))


def test_one_seed_has_no_spread():
    figures = measured(runs())
    assert figures["sd_seeds"].isna().all()
    assert (figures["seeds"] == 1).all()


def test_one_row_has_no_interval():
    one = table(1)
    figures = measured(runs([one])).loc["chrf"]
    assert figures["value"] == one["chrf"][0]
    assert np.isnan([figures["low"], figures["high"]]).all()


# Differences.


def test_one_training_has_an_interval_over_rows_but_no_p_value():
    found = compare(runs([table()], [table(seed=1)], [table(seed=2)]))
    assert found["p"].isna().all()
    assert not found[["low", "high"]].isna().any(axis=None)


def test_what_makes_a_row_or_a_seed_hard_for_both_does_not_widen_the_interval():
    tables = [table(200, seed=seed) for seed in range(3)]
    better = [
        each.assign(chrf=each["chrf"] + np.random.default_rng(1).normal(1, 0.1, 200)) for each in tables
    ]
    paired = difference(runs(tables[:1], tables, better), "chrf")
    alone = measured(runs(tables[:1], tables), "uniform")
    assert paired["high"] - paired["low"] < 0.05
    assert alone.loc["chrf", "high"] - alone.loc["chrf", "low"] > 1


def test_trainings_that_differ_widen_the_interval_however_many_rows_there_are():
    """The gain of each of three trainings is the same in all of 2,000 rows, and differs by training."""
    one = table(2000)
    tables = [one.assign(chrf=one["chrf"] + gain) for gain in (0.1, 0.2, 0.6)]
    found = difference(runs([one], [one] * 3, tables), "chrf")
    expected = stats.ttest_1samp([0.1, 0.2, 0.6], 0)
    assert found["value"] == pytest.approx(0.3)
    assert found["p"] == pytest.approx(expected.pvalue, rel=0.01)
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected.confidence_interval()), rel=0.01)
    assert found["by_seed"] == pytest.approx([0.1, 0.2, 0.6])


def test_the_base_model_is_the_same_for_every_seed():
    base, tables = table(), [table(seed=1), table(seed=2)]
    found = difference(runs([base], tables), "chrf", "uniform-base")
    assert found["by_seed"] == pytest.approx([each["chrf"].mean() - base["chrf"].mean() for each in tables])
    assert found["seeds"] == 2


def test_metrics_whose_denominator_is_the_answers_are_compared_as_ratios():
    """Precision is over the answers that alarm, of which each arm has its own."""
    ours, theirs = table(seed=1), table(seed=2)
    found = difference(runs([table()], [theirs] * 2, [ours] * 2), "urgency_precision")
    expected = [
        (each["urgent_answer"] * each["urgent_reference"]).sum() / each["urgent_answer"].sum()
        for each in (ours, theirs)
    ]
    assert found["value"] == pytest.approx(expected[0] - expected[1])
    assert found["low"] < found["value"] < found["high"]


def test_specialties_have_an_interval_and_a_p_value_too():
    specialty = np.resize(["skin", "heart"], 60)
    tables = [table(specialty=specialty, seed=seed) for seed in (1, 2)]
    found = compare(runs([table(specialty=specialty)], tables, tables[::-1]))
    assert {"skin", "heart"} <= set(found["group"])
    assert not found[["value", "low", "high", "p"]].isna().any(axis=None)


def test_influences_have_a_mean_of_zero_and_give_the_difference():
    tables = study(np.random.default_rng(0))
    value, influences = influences_of(tables, "weighting", "uniform", "nll", "critical")
    assert influences.shape == (3, 27)
    assert influences.mean() == pytest.approx(0, abs=1e-12)
    assert value == difference(tables, "nll", group="critical")["value"]
    with pytest.raises(KeyError):
        influences_of(tables, "weighting", "uniform", "nll", "no group")


@pytest.mark.slow
@pytest.mark.parametrize("count", [9, 20, 100])
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(
    "draw",
    [
        None,
        lambda random: lambda count: random.standard_t(3, count) / math.sqrt(3),
        lambda random: lambda count: random.exponential(size=count) - 1,
    ],
    ids=["normal", "heavy tails", "skewed"],
)
def test_intervals_of_a_difference_of_nll_cover(count, seeds, draw):
    """Rows count by their tokens, of which they have 5 to 59."""
    random = np.random.default_rng(count + seeds)
    held = 0
    # One training cannot cover the effect of its seed.
    spread = (0.003 if seeds > 1 else 0.0, 0.01, 0.008)
    for _ in range(400):
        tables = study(random, count=count, seeds=seeds, spread=spread, draw=draw and draw(random))
        found = compare(tables, {"weighting-uniform": ("weighting", "uniform")}, ["nll"])
        row = found[found["group"] == "all"].iloc[0]
        held += row["low"] <= 0 <= row["high"]
    assert held / 400 >= 0.93 - 2 * math.sqrt(0.93 * 0.07 / 400)


# Corrections for number.


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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.02, 0.04, 0.04, 0.02]),
        ([0.2], [0.2]),
        ([0.6, 0.7], [0.7, 0.7]),
        ([0.02, 0.02], [0.02, 0.02]),
        ([0.01, math.nan, 0.02], [0.02, math.nan, 0.02]),
        ([math.nan], [math.nan]),
    ],
)
def test_benjamini_hochberg_against_hand_computed_values(given, expected):
    assert benjamini_hochberg(np.array(given)).tolist() == pytest.approx(expected, nan_ok=True)


def test_benjamini_hochberg_is_scipys():
    p = np.random.default_rng(0).random(50) ** 2
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))


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
    assert list(dict.fromkeys(measure(tables)["arm"])) == list(tables)
    found = compare(tables)
    assert list(dict.fromkeys(found["comparison"])) == list(comparisons(tables))
    # A difference does not depend on which other arms there are.
    two = compare({arm: tables[arm] for arm in ("base", "uniform", "weighting")})
    ours = found[found["comparison"] == "weighting-uniform"].reset_index(drop=True)
    alone = two[two["comparison"] == "weighting-uniform"].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, alone)
