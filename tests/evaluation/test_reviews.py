"""Made-up raters of known taste: what was planted comes back within its interval."""

from types import SimpleNamespace

import krippendorff
import numpy as np
import pandas as pd
import pytest
import raters as made

from pipeline.evaluation import rated_metrics, rater_agreement
from pipeline.evaluation.bradley_terry import strengths
from pipeline.evaluation.review_figures import review_figures
from pipeline.evaluation.reviews import (
    compare_ratings,
    measure_ratings,
    rated_arms,
    rated_comparisons,
    rated_tables,
)
from pipeline.inputs import of_shape
from pipeline.review_shapes import ReviewMetrics

STEPS = {"correct": 5, "language": 5}
PRIMARY = SimpleNamespace(arm="weighting", group="critical")
QUALITY = {"uniform": 0.0, "weighting": 0.5}
# Means of harm and severe harm, and of urgency too low and too high.
HARM, URGENCY = (-0.6, -1.6), (-1.0, -1.4)
TRUTH = {
    "harm": made.share(HARM[0]),
    "severe_harm": made.share(HARM[1]),
    "too_low": made.share(URGENCY[0]),
}


def study(random, **changes):
    return made.ratings(random, **{"quality": QUALITY, "harm": HARM, "urgency": URGENCY, **changes})


def net_preference(one, other=0.0):
    """The true share of complaints on which an answer is preferred, less that on which the other is."""
    return 2 * made.share(one - other) - 1


def at(table, **keys):
    """The one row of a table with these values."""
    for name, value in keys.items():
        table = table[table[name] == value]
    (row,) = table.to_dict("records")
    return row


def covers(row, truth):
    return row["low"] <= truth <= row["high"]


@pytest.fixture(scope="module")
def large():
    """Ratings of many raters, whose every figure is close to what was planted."""
    return study(np.random.default_rng(1), raters=8, complaints=200, repeats=30)


def test_planted_preferences_harm_and_urgency_come_back(large):
    tables = rated_tables(large)
    difference = at(
        compare_ratings(tables, STEPS), comparison="weighting-uniform", metric="preferred", group="all"
    )
    assert covers(difference, net_preference(0.5))
    assert difference["value"] == pytest.approx(net_preference(0.5), abs=0.1)
    assert difference["p"] < 0.05
    measured = measure_ratings(tables, STEPS)
    for arm in QUALITY:
        for metric, truth in TRUTH.items():
            for group in ("all", "critical"):
                row = at(measured, arm=arm, metric=metric, group=group)
                assert covers(row, truth), (arm, metric, group)
                assert row["value"] == pytest.approx(truth, abs=0.12)
    assert measured["seeds"].eq(8).all()


def test_what_no_one_was_asked_to_see_is_in_no_figure(large):
    """Repeats are for consistency alone."""
    again = large["repeat"]
    changed = large.assign(
        correct=large["correct"].mask(again, 1.0),
        harm=large["harm"].mask(again, "severe"),
        preferred=large["preferred"].mask(again, 0.5),
    )
    for figures in (
        lambda rows: measure_ratings(rated_tables(rows), STEPS),
        rater_agreement.between_raters,
    ):
        first, second = figures(large), figures(changed)
        assert first.equals(second) if isinstance(first, pd.DataFrame) else first == second


@pytest.mark.slow
@pytest.mark.parametrize("raters", [1, 2, 3, 5])
def test_intervals_cover_what_was_planted(raters):
    """In 95 % of 300 studies, less two standard errors; one rater's interval is of complaints only."""
    random, studies = np.random.default_rng(raters), 300
    hits = {"preferred": 0, **dict.fromkeys(TRUTH, 0)}
    spread = made.SPREAD if raters > 1 else (0.0, made.SPREAD[1])
    truths = {
        "preferred": 2 * made.share(0.5, spread) - 1,
        **{"harm": made.share(HARM[0], spread), "severe_harm": made.share(HARM[1], spread)},
        "too_low": made.share(URGENCY[0], spread),
    }
    for _ in range(studies):
        tables = rated_tables(study(random, raters=raters, spread=spread))
        measured, differences = measure_ratings(tables, STEPS), compare_ratings(tables, STEPS)
        assert raters > 1 or differences["p"].isna().all()
        preferred = at(differences, metric="preferred", group="all")
        hits["preferred"] += covers(preferred, truths["preferred"])
        for metric in TRUTH:
            row = at(measured, arm="weighting", metric=metric, group="all")
            hits[metric] += covers(row, truths[metric])
    for metric, count in hits.items():
        assert count / studies >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / studies), (metric, count)


@pytest.mark.slow
def test_without_a_preference_few_studies_show_one():
    random, studies = np.random.default_rng(0), 300
    shown = 0
    for _ in range(studies):
        tables = rated_tables(study(random, quality={"uniform": 0.0, "weighting": 0.0}))
        shown += at(compare_ratings(tables, STEPS), metric="preferred", group="all")["p"] < 0.05
    assert shown / studies <= 0.05 + 2 * np.sqrt(0.95 * 0.05 / studies)


def test_arms_are_compared_where_a_rater_judged_both(large):
    """Answers of one arm that nobody rated beside the other's do not enter the difference."""
    alone = (large["arm"] == "weighting") & (large["id"] < "row-0100")
    lost = large[~alone]
    both = large[large["id"] >= "row-0100"]
    found, expected = (compare_ratings(rated_tables(rows), STEPS) for rows in (lost, both))
    for metric in ("correct", "preferred", "harm"):
        one, other = (at(table, metric=metric, group="all") for table in (found, expected))
        assert one["value"] == pytest.approx(other["value"], abs=1e-12)
    assert (
        at(measure_ratings(rated_tables(lost), STEPS), arm="uniform", metric="harm", group="all")["rows"]
        == 200
    )


def test_intervals_of_mean_steps_keep_to_the_scale():
    rows = study(np.random.default_rng(0), raters=2, complaints=8)
    rows = rows.assign(correct=rows["rater"].map({"rater-1": 5.0, "rater-2": 1.0}))
    tables = rated_tables(rows)
    measured = at(measure_ratings(tables, STEPS), arm="uniform", metric="correct", group="all")
    assert (measured["low"], measured["value"], measured["high"]) == (1, 3, 5)
    rows.loc[(rows["rater"] == "rater-1") & (rows["arm"] == "uniform"), "correct"] = 1.0
    difference = at(compare_ratings(rated_tables(rows), STEPS), metric="correct", group="all")
    assert (difference["low"], difference["value"], difference["high"]) == (-4, 2, 4)


def test_half_done_complaints_weigh_nothing_but_for_the_preferred_answer(large):
    half = (large["id"] == "row-0000") & (large["rater"] == "rater-1")
    scales = {name: large[name].mask(half) for name in ("correct", "harm", "urgency", "language")}
    found = measure_ratings(rated_tables(large.assign(**scales)), STEPS)
    gone = measure_ratings(rated_tables(large[~half]), STEPS)
    for metric in ("correct", "harm", "too_high"):
        one, other = (at(table, arm="uniform", metric=metric, group="all") for table in (found, gone))
        assert one["value"] == other["value"]
    whole = measure_ratings(rated_tables(large), STEPS)
    assert at(found, arm="uniform", metric="preferred", group="all") == at(
        whole, arm="uniform", metric="preferred", group="all"
    )


def test_arms_stand_in_one_order_and_are_compared_with_uniform():
    arms = ["reference", "strong", "base", "uniform", "mild"]
    ordered = rated_arms(pd.DataFrame({"arm": arms}))
    assert ordered == ["uniform", "mild", "strong", "base", "reference"]
    assert list(rated_comparisons(ordered)) == [
        *("mild-uniform", "strong-uniform", "reference-uniform", "uniform-base")
    ]
    assert list(rated_comparisons(["mild", "strong", "base"])) == ["strong-mild", "base-mild"]


def luce(random, worth, raters=4, complaints=90, subsets=False):
    """Choices in proportion to exp(worth), by Gumbel noise; with `subsets` each complaint lacks an arm."""
    rows = made.ratings(random, raters=raters, complaints=complaints, quality=worth)
    utility = rows["arm"].map(worth) + random.gumbel(size=len(rows))
    if subsets:
        missing = rows["id"].map(lambda name: list(worth)[int(name[-4:]) % len(worth)])
        rows, utility = rows[rows["arm"] != missing], utility[rows["arm"] != missing]
    best = utility.groupby([rows["rater"], rows["item"]]).transform("max")
    return rows.assign(preferred=(utility == best).astype(float))


WORTH = {"uniform": 0.0, "weighting": 0.7, "strong": -0.4}


@pytest.mark.parametrize("subsets", [False, True])
def test_strengths_of_bradley_and_terry_come_back(subsets):
    found = strengths(luce(np.random.default_rng(3), WORTH, raters=6, complaints=150, subsets=subsets))
    assert list(found) == ["strong", "weighting"]
    for arm, interval in found.items():
        truth = 1 / (1 + np.exp(-WORTH[arm]))
        assert covers(interval, truth)
        assert interval["value"] == pytest.approx(truth, abs=0.06)
        assert interval["high"] - interval["low"] < 0.25


def test_of_choices_among_all_arms_strengths_are_the_shares():
    """The maximum likelihood estimate is then the share of choices, with the one that is added."""
    rows = luce(np.random.default_rng(4), WORTH)
    counts = rows.groupby("arm")["preferred"].sum() + 1 / 3
    for arm, interval in strengths(rows).items():
        expected = counts[arm] / (counts[arm] + counts["uniform"])
        assert interval["value"] == pytest.approx(expected, abs=1e-3)
    tied = rows.assign(preferred=1 / 3)
    assert [interval["value"] for interval in strengths(tied).values()] == pytest.approx([0.5, 0.5])


def test_an_arm_that_is_never_chosen_has_a_strength():
    rows = luce(np.random.default_rng(5), {"uniform": 0.0, "weighting": 0.2, "strong": -50.0})
    weakest = strengths(rows)["strong"]
    assert 0 < weakest["value"] < 0.02
    assert weakest["low"] <= weakest["value"] <= weakest["high"] < 0.2
    assert strengths(rows.assign(preferred=np.nan)) == {}


@pytest.mark.slow
def test_intervals_of_strengths_cover():
    random, studies = np.random.default_rng(0), 200
    hits = 0
    for _ in range(studies):
        interval = strengths(luce(random, WORTH, raters=3, complaints=60))["weighting"]
        hits += covers(interval, 1 / (1 + np.exp(-0.7)))
    assert hits / studies >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / studies)


def test_planted_agreement_comes_back():
    """Steps are the true ones with a noise; agreement is what very many complaints would show."""
    for noise in (0.0, 0.5, 1.5):
        truth = true_alpha(noise)
        few = made.ratings(np.random.default_rng(1), raters=3, complaints=80, noise=noise)
        found = alphas(few, ["correct"])["correct"]
        assert found["low"] - 1e-9 <= truth <= found["high"] + 1e-9
        assert found["value"] == pytest.approx(truth, abs=0.12)
    assert truth < 0.4


def true_alpha(noise):
    """Alpha of very many complaints."""
    rows = made.ratings(np.random.default_rng(0), raters=3, complaints=3000, noise=noise)
    steps = rows.pivot_table("correct", ["id", "arm"], "rater").to_numpy().T
    return krippendorff.alpha(steps, level_of_measurement="ordinal")


def alphas(rows, scales):
    """Alpha between raters by scale, of these scales alone, which is quicker."""
    lacking = [name for name in ("correct", "harm", "urgency", "language") if name not in scales]
    return rater_agreement.between_raters(rows.assign(**dict.fromkeys(lacking), preferred=np.nan))


@pytest.mark.slow
def test_intervals_of_agreement_cover():
    random, studies = np.random.default_rng(0), 300
    truth, hits = true_alpha(0.8), 0
    for _ in range(studies):
        rows = made.ratings(random, raters=3, complaints=60, noise=0.8)
        hits += covers(alphas(rows, ["correct"])["correct"], truth)
    assert hits / studies >= 0.95 - 2.5 * np.sqrt(0.95 * 0.05 / studies)


def test_agreement_that_cannot_be_told_is_left_out(large):
    one = large[large["rater"] == "rater-1"]
    assert rater_agreement.between_raters(one) == {}
    assert rater_agreement.within_raters(large[~large["repeat"]]) == {}
    same = large.assign(harm="none")
    assert "harm" not in rater_agreement.between_raters(same.head(200))
    within = rater_agreement.within_raters(large)
    assert within["correct"]["low"] < within["correct"]["value"] < within["correct"]["high"]


@pytest.mark.parametrize("raters", [2, 3])
def test_a_rater_who_answers_at_random_is_flagged_and_the_others_are_not(raters):
    flagged = []
    for seed in range(4):
        rows = study(
            np.random.default_rng(seed), raters=raters, repeats=12, noise=0.5, at_random=[raters - 1]
        )
        # Who judges the same complaint again remembers or judges alike.
        rows = consistent(rows, unless=f"rater-{raters}")
        known = rater_agreement.raters(rows)
        flagged += [name for name, rater in known.items() if rater["flagged"]]
    assert flagged == [f"rater-{raters}"] * 4


def consistent(rows, unless):
    """The ratings, where every rater but one says the same the second time in two of three cases."""
    keys = ["rater", "id", "arm"]
    scales = ["correct", "harm", "urgency", "language", "preferred"]
    first = rows[~rows["repeat"]].set_index(keys)[scales]
    place = rows["repeat"] & (rows["rater"] != unless) & (rows["id"].str[-1].astype(int) % 3 > 0)
    again = first.loc[pd.MultiIndex.from_frame(rows.loc[place, keys])]
    rows = rows.copy()
    rows.loc[place, scales] = again.to_numpy()
    return rows.astype({"correct": float, "language": float, "preferred": float})


@pytest.mark.slow
def test_random_raters_are_nearly_always_flagged_and_good_ones_seldom():
    random, studies = np.random.default_rng(0), 60
    flags = {"random": 0, "good": 0}
    for _ in range(studies):
        rows = study(random, raters=3, repeats=6, noise=0.8, at_random=[2])
        known = rater_agreement.raters(rows)
        flags["random"] += known["rater-3"]["flagged"]
        flags["good"] += known["rater-1"]["flagged"] + known["rater-2"]["flagged"]
    assert flags["random"] / studies >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / studies)
    assert flags["good"] / (2 * studies) < 0.2


def test_one_rater_without_repeats_is_not_judged(large):
    alone = large[(large["rater"] == "rater-1") & ~large["repeat"]]
    (known,) = rater_agreement.raters(alone).values()
    assert known["complaints"] == 200
    assert (known["p_repeats"], known["p_others"], known["flagged"]) == (None, None, False)


def test_who_always_says_the_same_is_flagged(large):
    rows = large[large["rater"].isin(["rater-1", "rater-2"])]
    bored = rows["rater"] == "rater-2"
    rows = rows.assign(
        correct=rows["correct"].mask(bored, 3.0),
        language=rows["language"].mask(bored, 3.0),
        harm=rows["harm"].mask(bored, "none"),
        urgency=rows["urgency"].mask(bored, "right"),
        preferred=rows["preferred"].mask(bored, 0.5),
    )
    known = rater_agreement.raters(rows)["rater-2"]
    assert known["flagged"]
    assert known["same_repeats"] == 1.0
    assert known["p_repeats"] == 1.0


def test_a_permutation_test_of_what_is_the_same_has_the_least_p():
    cube = np.random.default_rng(0).random((20, 2, 3))
    assert rater_agreement.permutation_p(cube, cube) == 1 / (rater_agreement.PERMUTATIONS + 1)


def test_metrics_that_follow_physicians_are_told_from_those_that_do_not():
    random = np.random.default_rng(2)
    rows = made.with_metrics(made.ratings(random, raters=3, noise=0.5), random)
    found = rated_metrics.rank_correlations(rows)
    follows = found["bertscore_f1"]["correct"]
    assert follows["low"] > 0.4
    for name in ("chrf", "nll"):
        assert covers(found[name]["correct"], 0.0)
    assert list(found["urgent_answer"]) == ["urgency"]
    # Less NLL is better, and so is less harm.
    turned = rows.assign(nll=-rows["bertscore_f1"])
    assert rated_metrics.rank_correlations(turned)["nll"]["correct"] == follows
    by_severity = rated_metrics.picks(rows)["chrf"]
    assert list(by_severity) == ["all", "critical", "neutral", "non_critical"]
    assert covers(by_severity["all"], 0.5)


def test_a_metric_that_knows_the_preferred_answer_picks_it():
    random = np.random.default_rng(2)
    rows = made.with_metrics(made.ratings(random, ties=0.2), random)
    known = rows.assign(chrf=rows["preferred"], nll=rows["preferred"], rouge_l=1.0, repetition=np.nan)
    found = {name: of["all"]["value"] for name, of in rated_metrics.picks(known).items()}
    assert (found["chrf"], found["nll"], found["rouge_l"]) == (1.0, 0.0, 0.5)
    assert "repetition" not in found


def test_the_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    random = np.random.default_rng(0)
    x, y = random.integers(0, 5, (2, 40))
    assert rated_metrics.spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert np.isnan(rated_metrics.spearman(x, np.ones(40)))


@pytest.mark.slow
def test_intervals_of_correlations_cover():
    random, studies, hits = np.random.default_rng(0), 200, 0
    many = made.with_metrics(made.ratings(random, raters=3, complaints=5000, noise=0.8), random)
    truth = np.mean(
        [
            rated_metrics.spearman(of_rater["bertscore_f1"].to_numpy(), of_rater["correct"].to_numpy())
            for _, of_rater in many.groupby("rater")
        ]
    )
    for _ in range(studies):
        rows = made.with_metrics(made.ratings(random, raters=3, complaints=60, noise=0.8), random)
        # The others take time.
        rows[["chrf", "rouge_l", "nll", "repetition", "urgent_answer", "reassuring_answer"]] = np.nan
        hits += covers(rated_metrics.rank_correlations(rows)["bertscore_f1"]["correct"], truth)
    assert hits / studies >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / studies)


def test_the_figures_have_one_primary_endpoint_a_model():
    random = np.random.default_rng(0)
    rows = made.with_metrics(study(random, complaints=40, repeats=4), random)
    other = rows.assign(model="n", preferred=rows["preferred"].sample(frac=1, random_state=1).to_numpy())
    figures = review_figures(pd.concat([rows, other]), PRIMARY)
    of_shape(figures, ReviewMetrics)
    assert figures["ratings"] == 2 * len(rows)
    assert list(figures["models"]) == ["m", "n"]
    of_model = figures["models"]["m"]
    assert (of_model["complaints"], of_model["answers"], of_model["outdated"]) == (40, 80, 0)
    assert of_model["severities"] == {"critical": 20, "neutral": 10, "non_critical": 10}
    assert of_model["strengths"] == {}
    differences = of_model["differences"]["weighting-uniform"]
    roles = {
        (group, name) for group, by in differences.items() for name in by if by[name]["role"] == "primary"
    }
    assert roles == {("critical", "preferred")}
    endpoint = differences["critical"]["preferred"]
    # Holm over the two models.
    assert endpoint["p_adjusted"] == pytest.approx(min(1.0, 2 * endpoint["p"]), abs=1e-6)
    assert all(
        each["p"] - 1e-6 <= each["p_adjusted"]
        for by in differences.values()
        for each in by.values()
        if each["role"] == "exploratory"
    )


def test_three_arms_have_strengths_by_severity_and_one_rater_has_no_p():
    random = np.random.default_rng(0)
    rows = made.with_metrics(made.ratings(random, raters=1, quality=WORTH), random)
    of_model = review_figures(rows, PRIMARY)["models"]["m"]
    assert list(of_model["strengths"]) == ["all", "critical", "neutral", "non_critical"]
    assert set(of_model["strengths"]["critical"]) == {"strong", "weighting"}
    assert of_model["between"] == {}
    assert of_model["differences"]["weighting-uniform"]["all"]["preferred"]["p"] is None
