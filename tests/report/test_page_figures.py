import numpy as np
import pandas as pd
import pytest
from pages import ARMS, FOUR_ARMS, curves, difference, differences, measured, placebos, trainings

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.statistics import comparisons
from pipeline.report.figures import (
    chosen_arms,
    forests,
    placebo_blocks,
    placebo_tests,
    records,
    result_tables,
    shown_groups,
)
from pipeline.report.vega import MAX_STEPS, draw

MODELS = ["a", "b"]
ORDER = ["all", "critical", "neutral", "non_critical"]


def forest(*rows, order=ORDER):
    return forests(list(rows), list(comparisons(ARMS)), order)


def test_only_listed_models_and_rows_with_a_value_count():
    table = pd.DataFrame(
        [
            {"model": "a", "value": 1.0, "p": None},
            {"model": "a", "value": None},
            {"model": "dropped", "value": 1.0},
        ]
    )
    assert records(table, MODELS) == [{"model": "a", "value": 1.0, "p": None}]


def test_groups_go_from_all_over_severities_to_specialties_large_ones_first():
    rows = records(measured(MODELS, ["heart", "skin"]), MODELS)
    sizes = {"heart": 3, "skin": 30}
    rows = [{**row, "rows": sizes.get(row["group"], row["rows"])} for row in rows]
    assert shown_groups(rows) == ([*ORDER, "skin", "heart"], 0)


def test_specialties_that_do_not_fit_are_counted():
    rows = records(measured(MODELS, [f"s{place}" for place in range(30)]), MODELS)
    each = len(rows) // 34
    shown, left_out = shown_groups(rows, max_cells=10 * each)
    assert (len(shown), left_out) == (10, 24)
    assert shown[:4] == ORDER


def test_a_table_has_every_arm_and_metric_and_the_chosen_arm():
    rows = [
        row for row in records(measured(MODELS), MODELS) if (row["model"], row["metric"]) != ("b", "chrf")
    ]
    [table] = result_tables(rows, MODELS, ["base", *ARMS], ["critical"], {"a": "weighting", "b": None})
    first, second = table["models"]
    assert list(first["arms"]) == ["base", "uniform", "weighting"]
    assert (first["chosen"], second["chosen"]) == ("weighting", None)
    assert second["arms"]["base"]["chrf"] is None


def test_validation_chooses_and_not_the_test_rows():
    table = trainings(MODELS, FOUR_ARMS)
    assert chosen_arms(table, FOUR_ARMS) == {"a": "strong", "b": "strong"}
    assert chosen_arms(table, ARMS) == {"a": "weighting", "b": "weighting"}
    table.loc[(table["model"] == "a") & (table["arm"] == "uniform"), "valid_nll"] = np.nan
    assert chosen_arms(table, ARMS) == {"a": None, "b": "weighting"}


def test_each_training_stands_in_the_forest():
    row = difference("a", "nll", "all", -0.05, 0.1, 0.01, seeds=3)
    [several] = forest(row)
    [line] = several["groups"][0]["effects"]
    assert len(line["seeds_at"]) == 3
    assert line["seeds_at"][1] == line["at"], "the middle one is the mean"
    [one] = forest(difference("a", "nll", "all", -0.05, 0.1, 0.01, seeds=1))
    assert one["groups"][0]["effects"][0]["seeds_at"] == []


def test_a_difference_without_an_interval_is_left_out():
    row = {**difference("a", "nll", "all", -0.05, 0.1, 0.01), "low": None, "high": None}
    assert forest(row) == []


def test_placebo_blocks_say_where_the_arm_stands():
    table = placebos(MODELS, 19, p=0.1)
    [(arm, block)] = placebo_blocks(table, ["b", "a"]).items()
    assert (arm, block["count"]) == ("weighting", 19)
    assert [line["model"] for line in block["lines"]] == ["b", "a"]
    assert block["lines"][0] == {
        "model": "b", "value": -0.0123, "low": 0.0, "high": 0.018, "further": 1, "p": 0.1, "count": 19
    }  # fmt: skip
    blocks = placebo_blocks(table, MODELS)
    assert placebo_tests(blocks, "weighting") == {model: {"p": 0.1, "count": 19} for model in MODELS}
    assert placebo_tests(blocks, "mild") == {}
    assert placebo_blocks(table[:0], MODELS) == {}


@pytest.mark.parametrize(
    ("metric", "value", "kind"),
    [
        ("nll", -0.5, "better"),
        ("nll", 0.5, "higher"),
        ("chrf", 0.5, "better"),
        ("chrf", -0.5, "lower"),
        ("words", 0.5, "higher"),
    ],
)
def test_only_a_shown_difference_to_the_good_is_called_better(metric, value, kind):
    [found] = forest(difference("a", metric, "all", value, 0.1, 0.01))
    assert found["groups"][0]["effects"][0]["kind"] == kind
    [found] = forest(difference("a", metric, "all", value, 0.1, 0.05))
    assert found["groups"][0]["effects"][0]["kind"] == "unclear"


def test_all_groups_of_a_forest_share_a_scale_that_holds_every_interval_and_zero():
    [found] = forest(
        difference("a", "nll", "all", 0.5, 0.1, 0.5),
        difference("a", "nll", "critical", 0.2, 0.1, 0.5),
        difference("b", "nll", "critical", 0.3, 0.05, 0.5),
    )
    assert [block["group"] for block in found["groups"]] == ["critical", "all"]
    scale = {tick["value"]: tick["at"] for tick in found["ticks"]}
    assert scale[0.0] == found["zero_at"]
    per_unit = (scale[0.4] - scale[0.0]) / 0.4
    for block in found["groups"]:
        for effect in block["effects"]:
            for name, place in (("low", "low_at"), ("high", "high_at"), ("value", "at")):
                assert effect[place] == pytest.approx(found["zero_at"] + effect[name] * per_unit, abs=0.02)
                assert 0 < effect[place] < 100


@pytest.mark.parametrize("size", [1e-6, 0.003, 0.07, 1.0, 40.0, 9000.0])
@pytest.mark.parametrize("way", [-1, 1, 0.2])
def test_a_scale_has_a_few_round_ticks(size, way):
    [found] = forest(difference("a", "nll", "all", size * way, size, 0.5))
    assert 3 <= len(found["ticks"]) <= 7
    assert 0.0 in [tick["value"] for tick in found["ticks"]]


def test_a_difference_of_nothing_at_all_is_drawn():
    [found] = forest(difference("a", "empty", "all", 0.0, 0.0, None))
    assert found["groups"][0]["effects"][0]["at"] == found["zero_at"] == 50


def test_forests_come_by_comparison_and_metric_and_specialties_apart():
    rows = records(differences(MODELS, ["skin"], FOUR_ARMS), MODELS)
    found = forests(rows, list(comparisons(FOUR_ARMS)), [*ORDER, "skin"])
    compared = [name for name in METRICS if name != "perplexity"]
    kinds = [(one["comparison"], one["metric"]) for one in found if not one["specialties"]]
    assert kinds == [(way, name) for way in comparisons(FOUR_ARMS) for name in compared]
    apart = [one for one in found if one["specialties"]]
    assert [(one["metric"], [block["group"] for block in one["groups"]]) for one in apart] == [
        ("nll", ["skin"])
    ] * 4


def test_a_curve_of_many_steps_is_thinned_and_keeps_its_end():
    table = curves(MODELS, 1000)
    plot = draw("loss", table, title="", x="step", y="smooth", labels={}, arms={})
    steps = [
        row["step"] for row in plot["data"]["values"] if (row["model"], row["arm"]) == ("b", "uniform")
    ]
    assert MAX_STEPS / 2 < len(steps) <= MAX_STEPS
    assert steps[-1] == 1000
    short = draw("loss", curves(MODELS, 20), title="", x="step", y="smooth", labels={}, arms={})
    assert len(short["data"]["values"]) == 2 * 2 * 20


def test_a_plot_of_the_page_knows_no_revisions():
    plot = draw("bars", pd.DataFrame({"a": [1]}), title="T", x="a", y="b", labels={"b": "nats"}, arms={})
    assert "'rev'" not in str(plot["spec"])
    assert "DVC_METRIC" not in str(plot)
    assert "nats" in str(plot)
