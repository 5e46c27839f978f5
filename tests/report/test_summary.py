import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import WaznError
from pipeline.report import summary as tables

RUNS = ("base", "uniform", "weighting")
CURVE = "metrics/finetune/{run}/{model}/plots/metrics/train/loss.tsv"
VALUES = {
    "bertscore_f1": 0.61234567,
    "chrf": 20.5,
    "rouge_l": 0.1,
    "nll": 2.0,
    "nll_critical": 2.1,
    "nll_neutral": 1.9,
    "nll_non_critical": 1.8,
    "rows": 12,
    "bertscore_encoder": "tiny_bert",
}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A working folder with evaluations, loss curves and generations of two models."""
    monkeypatch.chdir(tmp_path)
    for model in ("one", "two"):
        for run in RUNS:
            write(f"metrics/evaluate/{run}/{model}.json", json.dumps(VALUES))
            generated(model, run, {"a": 1.0, "b": 1.0, "c": 1.0})
        for run in RUNS[1:]:
            write(CURVE.format(run=run, model=model), "step\tloss\n1\t4.0\n2\t2.0\n")
    return tmp_path


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def generated(model, run, nll):
    """Generations with this NLL per answer token, by row id."""
    path = Path(f"data/generated/{run}/{model}.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": name, "generated": f"{model} {run} {name}", "nll_sum": 4 * value, "answer_tokens": 4}
        for name, value in nll.items()
    ]
    pd.DataFrame(rows).to_parquet(path)


def scored():
    return pd.DataFrame(
        [
            {"id": name, "severity": "critical", "question": f"سؤال {name}", "answer": f"جواب {name}"}
            for name in "abcd"
        ]
    )


def test_gather_reads_every_model_and_run(results):
    found = tables.gather(["one", "two"])
    assert list(found) == ["one", "two"]
    assert list(found["two"]) == list(RUNS)
    assert found["two"]["base"] == VALUES


def test_gather_ignores_models_that_are_not_listed(results):
    for run in RUNS:
        write(f"metrics/evaluate/{run}/two.json", "not even JSON")
    assert list(tables.gather(["one"])) == ["one"]


@pytest.mark.parametrize("run", RUNS)
def test_gather_names_a_missing_evaluation(results, run):
    path = f"metrics/evaluate/{run}/two.json"
    Path(path).unlink()
    with pytest.raises(WaznError, match=rf"^{path}: no such file; run `dvc repro`"):
        tables.gather(["one", "two"])


def test_gather_names_a_broken_evaluation(results):
    write("metrics/evaluate/base/one.json", "{")
    with pytest.raises(WaznError, match=r"^metrics/evaluate/base/one\.json: not valid JSON"):
        tables.gather(["one"])


def test_summary_has_the_documented_metrics_and_nothing_else():
    found = tables.summary({"one": {"base": VALUES}})
    assert found == {
        "one": {
            "base": {
                "bertscore_f1": 0.612346,
                "chrf": 20.5,
                "rouge_l": 0.1,
                "nll": 2.0,
                "nll_critical": 2.1,
                "nll_neutral": 1.9,
                "nll_non_critical": 1.8,
            }
        }
    }


def test_a_metric_without_rows_is_left_out():
    found = tables.summary({"one": {"base": {**VALUES, "nll_neutral": None, "chrf": 0.0}}})
    assert "nll_neutral" not in found["one"]["base"]
    assert found["one"]["base"]["chrf"] == 0.0


def test_less_is_better_for_nll_only():
    assert {
        "nll",
        "nll_critical",
        "nll_neutral",
        "nll_non_critical",
    } == tables.LOWER_IS_BETTER


def test_nll_has_one_row_a_severity():
    runs = {"base": {"chrf": 2.0, "nll": 3.0, "nll_critical": 4.0}, "uniform": {"nll_neutral": 5.0}}
    assert tables.nll_table({"one": runs}).to_dict("records") == [
        {"model": "one", "run": "base", "severity": "critical", "value": 4.0},
        {"model": "one", "run": "uniform", "severity": "neutral", "value": 5.0},
    ]


def test_loss_is_smoothed_within_each_run(results):
    found = tables.loss_table(["one", "two"])
    assert list(found.columns) == ["model", "run", "step", "smooth"]
    assert len(found) == 2 * 2 * 2
    for _, curve in found.groupby(["model", "run"]):
        assert curve["step"].tolist() == [1, 2]
        # The exponential mean with weights 1 and 0.9, divided by their sum.
        assert curve["smooth"].tolist() == pytest.approx([4.0, (2.0 + 0.9 * 4.0) / 1.9], abs=1e-6)


def test_a_missing_loss_curve_is_named(results):
    path = CURVE.format(run="weighting", model="two")
    Path(path).unlink()
    with pytest.raises(WaznError, match=rf"^{path}: no such file"):
        tables.loss_table(["one", "two"])


@pytest.mark.parametrize("weights", [np.linspace(0.5, 1.5, 101), np.ones(7)])
def test_a_histogram_loses_no_row(weights):
    found = tables.weight_histogram(weights, bins=10)
    assert found["rows"].sum() == len(weights)
    assert found["weight"].is_monotonic_increasing


def test_a_histogram_names_the_lower_edges():
    found = tables.weight_histogram(np.array([0.0, 0.1, 0.6, 1.0]), bins=2)
    found = found[found["rows"] > 0]
    assert found.to_dict("list") == {"weight": [0.0, 0.5], "rows": [2, 2]}


def test_answers_are_those_on_which_the_losses_differ_most(results):
    generated("one", "uniform", {"a": 1.0, "b": 2.0, "c": 1.0})
    generated("one", "weighting", {"a": 1.1, "b": 1.0, "c": 1.4})
    found = tables.answers(["one"], scored(), 2)
    assert [example["id"] for example in found] == ["b", "c"]
    assert found[0] == {
        "id": "b",
        "severity": "critical",
        "question": "سؤال b",
        "reference": "جواب b",
        "answers": [("one", {run: f"one {run} b" for run in RUNS})],
    }


def test_answers_are_chosen_by_the_mean_over_models(results):
    generated("one", "weighting", {"a": 1.3, "b": 1.25, "c": 1.0})
    generated("two", "weighting", {"a": 1.0, "b": 1.2, "c": 1.1})
    found = tables.answers(["one", "two"], scored(), 3)
    assert [example["id"] for example in found] == ["b", "a", "c"], "means 0.225, 0.15 and 0.05"
    assert [model for model, _ in found[0]["answers"]] == ["one", "two"]


def test_an_answer_that_one_model_lacks_is_empty(results):
    for run in RUNS:
        generated("two", run, {"a": 1.0 + (run == "weighting")})
    generated("one", "weighting", {"a": 1.0, "b": 9.0, "c": 1.0})
    [example] = tables.answers(["one", "two"], scored(), 1)
    assert example["id"] == "b"
    assert example["answers"] == [
        ("one", {run: f"one {run} b" for run in RUNS}),
        ("two", dict.fromkeys(RUNS, "")),
    ]


@pytest.mark.parametrize(("count", "wanted"), [(0, 0), (2, 2), (99, 3)])
def test_there_are_as_many_answers_as_asked_for_and_there(results, count, wanted):
    assert len(tables.answers(["one"], scored(), count)) == wanted


def test_missing_generations_are_named(results):
    Path("data/generated/uniform/two.parquet").unlink()
    with pytest.raises(WaznError, match=r"^data/generated/uniform/two\.parquet: no such file"):
        tables.answers(["one", "two"], scored(), 1)
