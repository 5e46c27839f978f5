import json
import re
from pathlib import Path

import numpy as np
import pages
import pandas as pd
import pytest
import yaml
from root import ROOT

from pipeline.code_hashes import code_hash
from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.evaluation.metrics import MEASURED, METRICS
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.stages import report

TABLES = ("metrics", "differences", "seeds", "placebos", "trainings", "nll", "loss", "weights")
WRITTEN = [*(f"metrics/plots/{name}.csv" for name in TABLES), "metrics/summary.json", "report/index.html"]
ARMS = ["uniform", "mild", "weighting"]
ROWS = 30


@pytest.fixture(scope="module")
def params():
    """The embedded default with two seeds and one arm more."""
    values = load(ROOT / "params.yaml")
    finetune = values.finetune.model_copy(update={"train_rows": 20})
    return values.model_copy(update={"arms": ARMS, "seeds": [3, 4], "finetune": finetune})


def lay_out(params):
    """What the stages before leave in the working folder."""
    random = np.random.default_rng(0)
    severities = np.resize(list(SEVERITIES), ROWS)
    pairs = pd.DataFrame(
        {
            "source": "own.csv",
            "line": range(2, 2 * ROWS + 2),
            "id": [f"row-{number}" for number in range(2 * ROWS)],
            "group": [f"group-{number // 2}" for number in range(2 * ROWS)],
            "question": "سؤال",
            "answer": "توجه إلى الطوارئ فورا",
            "severity_human": None,
            "split": ["test"] * ROWS + ["train"] * ROWS,
            "severity": [*severities, *severities],
            **pd.DataFrame(random.dirichlet([1] * 3, 2 * ROWS), columns=list(PROBABILITIES)),
        }
    )
    put("data/scored/pairs.parquet", pairs)
    for model in params.models:
        for arm, names in (("base", ["base"]), *((arm, params.seeds) for arm in ARMS)):
            for name in names:
                figures = {column: random.uniform(0.1, 0.9, ROWS) for column in MEASURED}
                rows = pairs.head(ROWS)[["id", "severity"]].assign(generated=f"{arm} {name}", **figures)
                put(f"data/generated/{arm}/{model}/{name}.parquet", rows.assign(answer_tokens=5))
                curve = pd.DataFrame({"step": [1, 2], "loss": [4.0, 2.0]})
                put(f"metrics/finetune/{arm}/{model}/{name}/plots/metrics/train/loss.tsv", curve)
                put(f"metrics/finetune/{arm}/{model}/{name}.json", pages.facts())
                put(f"metrics/evaluate/{arm}/{model}/{name}.json", pages.evaluation())
    put("metrics/classifier.json", pages.classifier())
    put("metrics/data.json", pages.data())
    put("metrics/severity.json", pages.severity())
    put("metrics/review.json", pages.review())
    put("metrics/plots/confusion.csv", pd.DataFrame({"actual": ["neutral"], "predicted": ["critical"]}))
    reliability = {"confidence": [0.4], "accuracy": [0.5], "rows": [9]}
    put("metrics/plots/reliability.csv", pd.DataFrame(reliability))


def put(path, content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        path.write_text(json.dumps(content), encoding="utf-8")
    elif path.suffix == ".parquet":
        content.to_parquet(path)
    else:
        content.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.fixture(scope="module")
def done(tmp_path_factory, params):
    """A project in which the stage has run."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lay_out(params)
        report.run(params)
    return folder


def island(html, name):
    """What a JSON script of the page holds."""
    script = re.search(rf'(?s)<script type="application/json" id="{name}">(.*?)</script>', html)
    return json.loads(script[1])


@pytest.fixture(scope="module")
def html(done):
    return (done / "report/index.html").read_text(encoding="utf-8")


def test_every_table_is_written(done):
    for name in WRITTEN:
        assert (done / name).is_file(), name
    metrics = pd.read_csv(done / "metrics/plots/metrics.csv")
    assert list(metrics) == [
        *("model", "arm", "metric", "group", "rows", "value", "low", "high", "sd_seeds", "seeds")
    ]
    # Every reference alarms and no answer does; only critical rows can be reassured dangerously.
    everywhere = len(METRICS) - len(("needless_alarms", "urgency_precision", "dangerous_reassurance"))
    assert len(metrics) == 2 * 4 * (4 * everywhere + 2)
    assert metrics.groupby("arm")["seeds"].max().to_dict() == {"base": 1, **dict.fromkeys(ARMS, 2)}
    differences = pd.read_csv(done / "metrics/plots/differences.csv")
    assert list(differences) == [
        *("model", "comparison", "metric", "group", "rows", "value", "low", "high", "p", "seeds"),
        *("role", "p_adjusted"),
    ]
    # All but the perplexity.
    assert len(differences) == 2 * 3 * (4 * (everywhere - 1) + 2)
    assert (differences["p_adjusted"] >= differences["p"]).all()
    assert differences["role"].value_counts().to_dict() == {
        "exploratory": len(differences) - 2,
        "primary": 2,
    }
    seeds = pd.read_csv(done / "metrics/plots/seeds.csv")
    assert len(seeds) == 2 * len(differences)
    assert seeds["seed"].unique().tolist() == [3, 4]
    # Those of each arm and seed, and the base model.
    assert len(pd.read_csv(done / "metrics/plots/trainings.csv")) == 2 * (3 * 2 + 1)
    assert pd.read_csv(done / "metrics/plots/placebos.csv").empty


def test_plots_have_every_arm_that_they_can_tell_apart(done):
    arms = {
        name: list(pd.read_csv(done / f"metrics/plots/{name}.csv")["arm"].unique())
        for name in ("nll", "loss", "weights")
    }
    assert arms == {"nll": ["base", *ARMS], "loss": ARMS, "weights": ["mild", "weighting"]}


def test_the_weights_are_those_of_the_pairs_that_are_trained_on(done, html):
    weights = pd.read_csv(done / "metrics/plots/weights.csv")
    assert weights.groupby("arm")["rows"].sum().to_dict() == {"mild": 20, "weighting": 20}
    assert "Weights of the 20 training pairs" in html


def test_the_summary_is_the_table_rounded(done, params):
    metrics = pd.read_csv(done / "metrics/plots/metrics.csv")
    values_of = metrics.set_index(["model", "arm", "metric", "group"])["value"]
    summary = json.loads((done / "metrics/summary.json").read_text(encoding="utf-8"))
    assert list(summary) == params.models
    for model, arms in summary.items():
        assert list(arms) == ["base", *ARMS]
        for arm, values in arms.items():
            nll, chrf = (
                values_of[model, arm, metric, group]
                for metric, group in (("nll", "critical"), ("chrf", "all"))
            )
            assert values["nll_critical"] == pytest.approx(nll, rel=1e-5)
            assert values["chrf"] == pytest.approx(chrf, rel=1e-5)


def test_the_page_shows_what_was_evaluated(html):
    counts = "30 test complaints with a reference answer each: 10 critical, 10 neutral and 10 non-critical"
    assert counts in html
    assert "BERTScore by <bdi>an encoder</bdi>" in html
    rows = island(html, "answers-data")["rows"]
    assert len(rows) == ROWS
    assert rows[0]["answers"]["tiny_qwen2"] == {
        "base": "base base",
        "uniform": "uniform 3",
        "mild": "mild 3",
        "weighting": "weighting 3",
    }, "the first seed's"
    assert set(island(html, "plots-data")) == {"loss", "weights", "reliability", "severity", "metrics"}


def test_the_page_shows_the_parameters_that_made_it(html, params):
    shown = yaml.safe_load(
        re.search("(?s)<summary><bdi>params.yaml</bdi></summary><pre[^>]*>(.*?)</pre>", html)[1]
    )
    assert shown["models"] == params.models
    assert shown["mild"] == params.arm_settings["mild"].model_dump()
    left_out = {"ask", "resources", "review", "strong"}
    assert shown.keys() == params.file_values().keys() - left_out, "nothing that does not count"


def test_the_page_names_the_code_of_the_stages_and_no_commit(html):
    assert code_hash("finetune")[:12] in html
    assert code_hash("report")[:12] in html
    assert "git checkout" not in html


def test_a_second_run_writes_the_same_bytes(done, params, monkeypatch):
    monkeypatch.chdir(done)
    before = {name: (done / name).read_bytes() for name in WRITTEN}
    resources = params.resources.model_copy(
        update={"score": params.resources.score.model_copy(update={"tokens_per_batch": 7})}
    )
    report.run(params.model_copy(update={"resources": resources}))
    assert {name: (done / name).read_bytes() for name in WRITTEN} == before


@pytest.mark.parametrize(
    "path",
    [
        "data/scored/pairs.parquet",
        "data/generated/mild/tiny_gpt2/4.parquet",
        "metrics/finetune/weighting/tiny_qwen2/3/plots/metrics/train/loss.tsv",
        "metrics/finetune/weighting/tiny_qwen2/3.json",
        "metrics/evaluate/base/tiny_gpt2/base.json",
        "metrics/classifier.json",
        "metrics/plots/confusion.csv",
    ],
)
def test_a_missing_file_is_named_and_nothing_is_written(tmp_path, monkeypatch, params, path):
    monkeypatch.chdir(tmp_path)
    lay_out(params)
    Path(path).unlink()
    with pytest.raises(WaznError, match=f"^{path}: no such file"):
        report.run(params)
    assert not any(Path(name).exists() for name in WRITTEN)
