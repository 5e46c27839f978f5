import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imports import ROOT

from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.evaluation.metrics import COLUMNS
from pipeline.severities import PROBABILITIES
from pipeline.stages import report

TABLES = ("metrics", "differences", "nll", "loss", "weights")
WRITTEN = [*(f"metrics/plots/{name}.csv" for name in TABLES), "metrics/summary.json", "report/index.html"]
ROWS = 30


@pytest.fixture
def params():
    """The embedded default, with two seeds."""
    return load(ROOT / "params.yaml").model_copy(update={"seeds": [3, 4]})


@pytest.fixture
def given(tmp_path, monkeypatch, params):
    """What the stages before leave; gives what `render` was called with."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    severities = np.resize(["critical", "neutral", "non_critical"], ROWS)
    pairs = pd.DataFrame(
        {
            "id": [f"row-{number}" for number in range(2 * ROWS)],
            "question": "سؤال",
            "answer": "توجه إلى الطوارئ فورا",
            "split": ["test"] * ROWS + ["train"] * ROWS,
            "severity": [*severities, *severities],
            **pd.DataFrame(random.dirichlet([1] * 3, 2 * ROWS), columns=list(PROBABILITIES)),
        }
    )
    put("data/scored/pairs.parquet", pairs)
    for model in params.models:
        for run, names in (("base", ["base"]), ("uniform", params.seeds), ("weighting", params.seeds)):
            for name in names:
                figures = {column: random.uniform(0.1, 0.9, ROWS) for column in COLUMNS}
                rows = pairs.head(ROWS)[["id", "severity"]].assign(generated=f"{run} {name}", **figures)
                put(f"data/generated/{run}/{model}/{name}.parquet", rows.assign(answer_tokens=5))
                curve = pd.DataFrame({"step": [1, 2], "loss": [4.0, 2.0]})
                put(f"metrics/finetune/{run}/{model}/{name}/plots/metrics/train/loss.tsv", curve)
    put(f"metrics/evaluate/base/{params.models[0]}/base.json", {"bertscore_encoder": "an encoder"})
    for name in ("classifier", "data", "severity"):
        put(f"metrics/{name}.json", {"of": name})
    put("metrics/plots/confusion.csv", pd.DataFrame({"actual": ["neutral"], "predicted": ["critical"]}))
    put(
        "metrics/plots/reliability.csv", pd.DataFrame({"confidence": [0.4], "accuracy": [0.5], "rows": [9]})
    )
    calls = []
    monkeypatch.setattr(report, "render", lambda **values: calls.append(values) or "a page")
    return calls


def put(path, content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        path.write_text(json.dumps(content), encoding="utf-8")
    elif path.suffix == ".parquet":
        content.to_parquet(path)
    else:
        content.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


def test_every_table_is_written_and_handed_to_the_page(given, params):
    report.run(params)
    [values] = given
    for name in WRITTEN:
        assert Path(name).is_file(), name
    assert Path("report/index.html").read_text(encoding="utf-8") == "a page"
    metrics = pd.read_csv("metrics/plots/metrics.csv")
    assert list(metrics) == [
        *("model", "run", "metric", "group", "rows", "value", "low", "high", "sd_seeds", "seeds")
    ]
    assert len(metrics) == len(values["measured"]) == 2 * 3 * 11 * 4
    assert set(metrics.groupby("run")["seeds"].max().items()) == {
        *(("base", 1), ("uniform", 2), ("weighting", 2))
    }
    differences = pd.read_csv("metrics/plots/differences.csv")
    assert list(differences) == [
        *("model", "comparison", "metric", "group", "rows", "value", "low", "high", "p", "p_holm")
    ]
    assert len(differences) == len(values["differences"]) == 2 * 2 * 10 * 4
    assert (differences["p_holm"] >= differences["p"]).all()


def test_the_summary_is_the_table_rounded(given, params):
    report.run(params)
    metrics = pd.read_csv("metrics/plots/metrics.csv").set_index(["model", "run", "metric", "group"])[
        "value"
    ]
    found = json.loads(Path("metrics/summary.json").read_text(encoding="utf-8"))
    assert list(found) == params.models
    for model, runs in found.items():
        for run, values in runs.items():
            assert values["nll_critical"] == pytest.approx(
                metrics[(model, run, "nll", "critical")], rel=1e-5
            )
            assert values["chrf"] == pytest.approx(metrics[(model, run, "chrf", "all")], rel=1e-5)


def test_the_page_is_told_what_was_evaluated(given, params):
    report.run(params)
    [values] = given
    assert values["test_rows"] == len(values["answers"]) == ROWS
    assert values["train_rows"] == ROWS
    assert values["test_severities"] == {"critical": 10, "neutral": 10, "non_critical": 10}
    assert values["bertscore_encoder"] == "an encoder"
    assert values["answers"][0]["answers"]["tiny_qwen2"] == {
        "base": "base base",
        "uniform": "uniform 3",
        "weighting": "weighting 3",
    }, "the first seed's"
    assert set(values["plots"]) == {"loss", "weights", "reliability"}
    assert "- tiny_gpt2" in values["params"]


@pytest.mark.parametrize(
    "path",
    [
        "data/scored/pairs.parquet",
        "data/generated/uniform/tiny_gpt2/4.parquet",
        "metrics/finetune/weighting/tiny_qwen2/3/plots/metrics/train/loss.tsv",
        "metrics/evaluate/base/tiny_gpt2/base.json",
        "metrics/classifier.json",
        "metrics/plots/confusion.csv",
    ],
)
def test_a_missing_file_is_named_and_nothing_is_written(given, params, path):
    Path(path).unlink()
    with pytest.raises(WaznError, match=f"^{path}: no such file"):
        report.run(params)
    assert not any(Path(name).exists() for name in WRITTEN)
