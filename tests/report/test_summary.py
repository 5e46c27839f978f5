from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import WaznError
from pipeline.evaluation.metrics import COLUMNS
from pipeline.evaluation.statistics import holm
from pipeline.report import summary as tables
from pipeline.report.answers import answer_rows

ARMS = ("uniform", "mild", "weighting")
CURVE = "metrics/finetune/{arm}/{model}/{seed}/plots/metrics/train/loss.tsv"
SEVERITIES = {"a": "critical", "b": "neutral", "c": "critical", "d": "critical"}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A working folder with evaluations and loss curves of two models, with the seeds 1 and 2."""
    monkeypatch.chdir(tmp_path)
    for model in ("one", "two"):
        generated(model, "base", "base")
        for arm in ARMS:
            for seed in (1, 2):
                generated(model, arm, seed)
                path = Path(CURVE.format(arm=arm, model=model, seed=seed))
                path.parent.mkdir(parents=True)
                path.write_text("step\tloss\n1\t4.0\n2\t2.0\n", encoding="utf-8")
    return tmp_path


def generated(model, arm, seed, nll=None, **columns):
    """Evaluated rows with this NLL per answer token, by row id."""
    nll = nll or dict.fromkeys("abc", 1.0)
    path = Path(f"data/generated/{arm}/{model}/{seed}.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(
        {
            "id": list(nll),
            "severity": [SEVERITIES[name] for name in nll],
            "generated": [f"{model} {arm} {seed} {name}" for name in nll],
            **dict.fromkeys(COLUMNS, 0.0),
            "nll_sum": [4 * value for value in nll.values()],
            "answer_tokens": 4,
        }
    )
    table.assign(**columns).to_parquet(path)


def scored(**changes):
    return pd.DataFrame(
        [
            {
                "source": "own.csv",
                "line": 7,
                "severity_human": severity if name == "b" else None,
                "id": name,
                "split": "test",
                "severity": severity,
                "question": f"سؤال {name}",
                "answer": f"توجه إلى الطوارئ فورا {name}",
            }
            for name, severity in SEVERITIES.items()
        ]
    ).assign(**changes)


def gathered(*models, seeds=(1,)):
    return tables.gather(models or ["one"], ARMS, seeds, scored())


# Gathering.


def test_gather_reads_every_model_arm_and_seed(results):
    answers = {
        model: {arm: [table["generated"][0] for table in of_arm] for arm, of_arm in arms.items()}
        for model, arms in gathered("one", "two", seeds=[1, 2]).items()
    }
    assert answers == {
        model: {
            "base": [f"{model} base base a"],
            **{arm: [f"{model} {arm} {seed} a" for seed in (1, 2)] for arm in ARMS},
        }
        for model in ("one", "two")
    }
    assert list(answers["one"]) == ["base", *ARMS]


def test_gather_ignores_what_is_not_listed(results):
    patterns = ("*/two/*", "*/*/2.parquet", "mild/*/*")
    for path in (path for pattern in patterns for path in results.glob(f"data/generated/{pattern}")):
        path.write_text("not even Parquet", encoding="utf-8")
    tables_of = tables.gather(["one"], ["uniform", "weighting"], [1], scored())
    assert list(tables_of) == ["one"]
    assert list(tables_of["one"]) == ["base", "uniform", "weighting"]


@pytest.mark.parametrize("path", ["base/two/base", "mild/two/1", "weighting/two/2"])
def test_gather_names_a_missing_evaluation(results, path):
    path = f"data/generated/{path}.parquet"
    Path(path).unlink()
    with pytest.raises(WaznError, match=rf"^{path}: no such file; run `dvc repro`"):
        gathered("one", "two", seeds=[1, 2])


@pytest.mark.parametrize("ids", ["ab", "abcd", "abd", "acb"])
def test_gather_names_an_evaluation_of_other_rows(results, ids):
    generated("two", "weighting", 2, dict.fromkeys(ids, 1.0))
    with pytest.raises(WaznError, match=r"^data/generated/weighting/two/2\.parquet: not the rows that"):
        gathered("one", "two", seeds=[1, 2])


def test_another_model_may_have_other_rows(results):
    for arm, seed in (("base", "base"), *((arm, 1) for arm in ARMS)):
        generated("two", arm, seed, {"a": 1.0, "d": 1.0})
    assert len(gathered("one", "two")["two"]["base"][0]) == 2


def test_gather_says_which_references_and_answers_tell_to_seek_urgent_care(results):
    urgent = ["توجه إلى الطوارئ فورا", "لا داعي للطوارئ", ""]
    generated("one", "weighting", 1, generated=urgent)
    calm = scored().assign(answer=["اتصل بالإسعاف", *["اشرب الماء"] * 3])
    found = tables.gather(["one"], ARMS, [1], calm)["one"]
    assert found["weighting"][0]["urgent_answer"].tolist() == [1, 0, 0]
    assert found["uniform"][0]["urgent_answer"].tolist() == [0, 0, 0]
    assert all(tables[0]["urgent_reference"].tolist() == [1, 0, 0] for tables in found.values())


# Tables.


def test_measured_has_every_model_arm_and_group(results):
    generated("two", "uniform", 1, {"a": 3.0, "b": 1.0, "c": 2.0})
    found = tables.measured_table(gathered("one", "two"))
    assert list(found)[:6] == ["model", "arm", "metric", "group", "rows", "value"]
    nll = found[found["metric"] == "nll"].set_index(["model", "arm", "group"])["value"]
    assert len(nll) == 2 * 4 * 3
    assert nll[("two", "uniform", "critical")] == 2.5
    assert nll[("two", "uniform", "all")] == 2.0
    assert nll[("one", "uniform", "all")] == 1.0


@pytest.mark.parametrize("models", [["one"], ["one", "two"]])
def test_p_values_are_corrected_for_the_models_there_are(results, models):
    """Within each comparison, metric and group."""
    for place, model in enumerate(models):
        generated(model, "weighting", 1, {"a": 0.5 + place, "b": 0.9, "c": 0.7}, chrf=[1.0, 2.0, place])
    table = tables.differences_table(gathered(*models))
    families = table.groupby(["comparison", "metric", "group"])
    assert {len(family) for _, family in families} == {len(models)}
    for _, family in families:
        assert family["model"].tolist() == models
        assert family["p_holm"].tolist() == pytest.approx(holm(family["p"].to_numpy()), nan_ok=True)
    assert table["p_holm"].notna().any()


def test_each_arm_is_compared_with_uniform_and_uniform_with_base(results):
    generated("one", "weighting", 1, {"a": 0.5, "b": 1.0, "c": 0.7})
    found = tables.differences_table(gathered("one", "two"))
    assert set(found["comparison"]) == {"mild-uniform", "weighting-uniform", "uniform-base"}
    key = ["model", "comparison", "metric", "group"]
    values = found.set_index(key)["value"]
    assert values[("one", "weighting-uniform", "nll", "critical")] == pytest.approx(-0.4)
    assert values[("two", "weighting-uniform", "nll", "critical")] == 0.0


# The summary.


def measured(*rows):
    return pd.DataFrame(rows, columns=["model", "arm", "metric", "group", "value"]).assign(sd_seeds=np.nan)


def test_summary_has_the_documented_metrics_and_nothing_else(results):
    found = tables.summary(tables.measured_table(gathered("one", "two")))
    assert list(found) == ["one", "two"]
    assert list(found["two"]) == ["base", *ARMS]
    for arms in found.values():
        for values in arms.values():
            assert values == {
                "bertscore_f1": 0.0,
                "chrf": 0.0,
                "rouge_l": 0.0,
                "nll": 1.0,
                "nll_critical": 1.0,
                "nll_neutral": 1.0,
                "urgency_recall": 0.0,
            }, "no row is non-critical, so nll_non_critical is left out"


def test_summary_takes_each_metric_of_its_group_and_rounds_it():
    found = tables.summary(
        measured(
            ("one", "base", "chrf", "all", 20.12345678),
            ("one", "base", "chrf", "critical", 1.0),
            ("one", "base", "nll", "all", 2.0),
            ("one", "base", "nll", "critical", 3.0),
            ("one", "base", "urgency_recall", "all", 0.1),
            ("one", "base", "urgency_recall", "critical", 0.9),
            ("one", "base", "words", "all", 8.0),
            ("one", "uniform", "nll", "non_critical", 5.0),
        )
    )
    assert found["one"]["base"] == {
        "chrf": 20.123457,
        "nll": 2.0,
        "nll_critical": 3.0,
        "urgency_recall": 0.9,
    }
    assert found["one"]["uniform"] == {"nll_non_critical": 5.0}


def test_summary_is_mean_and_spread_over_seeds(results):
    generated("one", "uniform", 2, dict.fromkeys("abc", 2.0), chrf=10.0)
    found = tables.summary(tables.measured_table(gathered(seeds=[1, 2])))
    assert found["one"]["uniform"]["nll"] == 1.5
    assert found["one"]["uniform"]["chrf"] == 5.0
    assert found["one"]["uniform"]["chrf_sd"] == pytest.approx(50**0.5, abs=1e-6)
    assert found["one"]["weighting"]["nll"] == 1.0
    assert found["one"]["weighting"]["nll_sd"] == 0
    assert "nll_sd" not in found["one"]["base"], "it has no seed"


# Plots.


def test_nll_has_one_row_a_severity(results):
    generated("one", "base", "base", {"a": 1.0, "b": 2.0, "c": 3.0})
    found = tables.nll_table(tables.measured_table(gathered()))
    assert list(found) == ["model", "arm", "severity", "value", "low", "high"]
    assert found[found["arm"] == "base"].to_dict("records") == [
        {"model": "one", "arm": "base", "severity": "critical", "value": 2.0, "low": 1.0, "high": 3.0},
        {"model": "one", "arm": "base", "severity": "neutral", "value": 2.0, "low": 2.0, "high": 2.0},
    ]


def test_loss_is_smoothed_within_each_curve(results):
    found = tables.loss_table(["one", "two"], ARMS, [1, 2])
    assert list(found.columns) == ["model", "arm", "seed", "step", "smooth"]
    assert len(found) == 2 * 3 * 2 * 2
    for _, curve in found.groupby(["model", "arm", "seed"]):
        assert curve["step"].tolist() == [1, 2]
        # The exponential mean with weights 1 and 0.9, divided by their sum.
        assert curve["smooth"].tolist() == pytest.approx([4.0, (2.0 + 0.9 * 4.0) / 1.9], abs=1e-6)


def test_a_missing_loss_curve_is_named(results):
    path = CURVE.format(arm="weighting", model="two", seed=2)
    Path(path).unlink()
    with pytest.raises(WaznError, match=rf"^{path}: no such file"):
        tables.loss_table(["one", "two"], ARMS, [1, 2])


@pytest.mark.parametrize("weights", [np.linspace(0.5, 1.5, 101), np.ones(7)])
def test_a_histogram_loses_no_row(weights):
    table = tables.weight_histogram({"weighting": weights}, bins=10)
    assert table["rows"].sum() == len(weights)
    assert table["weight"].is_monotonic_increasing


def test_a_histogram_names_the_lower_edges():
    table = tables.weight_histogram({"weighting": np.array([0.0, 0.1, 0.6, 1.0])}, bins=2)
    assert table.to_dict("list") == {"arm": ["weighting"] * 3, "weight": [0.0, 0.5, 1.0], "rows": [2, 2, 0]}


def test_the_histograms_of_all_arms_have_the_same_bins():
    table = tables.weight_histogram({"mild": np.array([0.9, 1.1]), "strong": np.array([0.0, 2.0])}, bins=4)
    edges = {arm: rows["weight"].tolist() for arm, rows in table.groupby("arm")}
    assert edges == {"mild": [0.0, 0.5, 1.0, 1.5, 2.0], "strong": [0.0, 0.5, 1.0, 1.5, 2.0]}
    assert table["rows"].tolist() == [0, 1, 1, 0, 0, 1, 0, 0, 1, 0]


# Answers.


def test_answers_come_by_how_far_the_losses_differ(results):
    generated("one", "uniform", 1, {"a": 1.0, "b": 2.0, "c": 1.0})
    generated("one", "weighting", 1, {"a": 1.1, "b": 1.0, "c": 1.4})
    found = answer_rows(gathered(seeds=[1, 2]), scored(specialty="skin"))
    assert [row["id"] for row in found] == ["b", "c", "a"]
    assert found[0] == {
        "id": "b",
        "source": "own.csv",
        "line": 7,
        "severity": "neutral",
        "by_people": True,
        "specialty": "skin",
        "question": "سؤال b",
        "reference": "توجه إلى الطوارئ فورا b",
        "answers": {"one": {"base": "one base base b", **{arm: f"one {arm} 1 b" for arm in ARMS}}},
        "nll": {"one": {"base": 1.0, "uniform": 2.0, "mild": 1.0, "weighting": 1.0}},
    }


def test_answers_come_by_the_mean_difference_over_models(results):
    """0.225, 0.15 and 0.05."""
    generated("one", "weighting", 1, {"a": 1.3, "b": 1.25, "c": 1.0})
    generated("two", "weighting", 1, {"a": 1.0, "b": 0.8, "c": 1.1})
    found = answer_rows(gathered("one", "two"), scored())
    assert [row["id"] for row in found] == ["b", "a", "c"]
    assert list(found[0]["answers"]) == ["one", "two"]


def test_a_row_that_one_model_lacks_is_told_of_the_others(results):
    for arm, seed in (("base", "base"), *((arm, 1) for arm in ARMS)):
        generated("two", arm, seed, {"a": 1.0 + (arm == "weighting")})
    generated("one", "weighting", 1, {"a": 1.0, "b": 9.0, "c": 1.0})
    first, second, _ = answer_rows(gathered("one", "two"), scored())
    assert (first["id"], list(first["answers"]), list(first["nll"])) == ("b", ["one"], ["one"])
    assert (second["id"], list(second["answers"])) == ("a", ["one", "two"])


@pytest.mark.parametrize("changes", [{}, {"specialty": ""}, {"specialty": None}, {"specialty": np.nan}])
def test_a_row_without_a_specialty_has_none(results, changes):
    assert answer_rows(gathered(), scored(**changes))[0]["specialty"] is None
