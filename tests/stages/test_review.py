"""The stage `review`, in a project without ratings and in one with them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import review_files as files
import yaml
from review_files import MODEL, ROUND, put
from root import ROOT

from pipeline import paths
from pipeline.commands.review import importing
from pipeline.commands.review.rows import DTYPES
from pipeline.config.evaluation import PrimaryConfig
from pipeline.errors import WaznError
from pipeline.evaluation.metrics import MEASURED
from pipeline.inputs import of_shape
from pipeline.review_shapes import ReviewMetrics
from pipeline.stages import review

PRIMARY = PrimaryConfig(arm="weighting", metric="nll", group="critical")
COMPLAINTS = 12
ARMS = ("uniform", "weighting", "base")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lay_out(arms=ARMS):
    """Pairs, evaluations of some arms, and the ratings of two raters who like weighting."""
    numbers = range(COMPLAINTS)
    pairs = pd.DataFrame(
        {
            "id": [f"row-{number}" for number in numbers],
            "group": [f"group-{number // 2}" for number in numbers],
            "answer": [files.answer("reference", number) for number in numbers],
        }
    )
    paths.SCORED.parent.mkdir(parents=True)
    pairs.to_parquet(paths.SCORED)
    random = np.random.default_rng(0)
    for arm in ("uniform", "weighting", "base"):
        path = paths.generated(arm, MODEL, None if arm == "base" else 17)
        path.parent.mkdir(parents=True)
        pd.DataFrame(
            {
                "id": pairs["id"],
                "severity": [("critical", "neutral", "non_critical")[number % 3] for number in numbers],
                "generated": [files.answer(arm, number) for number in numbers],
                **{name: random.uniform(0.1, 0.9, COMPLAINTS) for name in MEASURED},
            }
        ).assign(answer_tokens=5, bertscore_f1=0.9 if arm == "weighting" else 0.2).to_parquet(path)
    key = files.key(COMPLAINTS, repeats=3, arms=arms)
    put(paths.review_key(ROUND), key)
    saved = [put(f"{rater}.json", files.rated(key, rater)) for rater in ("rater-1", "rater-2")]
    importing.run(saved, key=None, replace=False)


def figures():
    review.run(primary=PRIMARY)
    found = json.loads(paths.REVIEW_METRICS.read_text(encoding="utf-8"))
    of_shape(found, ReviewMetrics)
    return found


def test_without_ratings_it_says_so_and_reads_nothing():
    assert figures() == {"ratings": 0, "models": {}}


def test_ratings_become_figures():
    lay_out()
    found = figures()
    assert found["ratings"] == 2 * 3 * (COMPLAINTS + 3)
    of_model = found["models"][MODEL]
    assert (of_model["complaints"], of_model["answers"], of_model["outdated"]) == (12, 36, 0)
    assert list(of_model["arms"]) == ["uniform", "weighting", "base"]
    assert of_model["arms"]["weighting"]["all"]["preferred"]["value"] == 1.0
    assert of_model["arms"]["base"]["critical"]["severe_harm"]["value"] == 1.0
    endpoint = of_model["differences"]["weighting-uniform"]["critical"]["preferred"]
    assert (endpoint["role"], endpoint["value"]) == ("primary", 1.0)
    assert of_model["picks"]["bertscore_f1"]["all"]["value"] == 1.0
    assert of_model["correlations"]["bertscore_f1"]["correct"]["value"] == 1.0
    assert of_model["between"]["correct"]["value"] == 1.0
    assert not any(rater["flagged"] for rater in of_model["raters"].values())
    assert of_model["raters"]["rater-1"]["repeats"] == 3


def test_remarks_alone_are_no_ratings():
    lay_out()
    whole = figures()
    ratings = pd.read_parquet(paths.RATINGS).astype(DTYPES)
    judged = ratings["item"] != "q00"
    names = ["correct", "harm", "urgency", "language", "preferred"]
    ratings[names] = ratings[names].where(judged)
    ratings.assign(remark="نص").to_parquet(paths.RATINGS)
    found = figures()
    assert found["ratings"] == whole["ratings"] - 3
    assert found["models"][MODEL]["raters"]["rater-1"]["complaints"] == COMPLAINTS - 1
    ratings.assign(**dict.fromkeys(names)).to_parquet(paths.RATINGS)
    assert figures() == {"ratings": 0, "models": {}}


def test_near_duplicates_are_one_complaint():
    lay_out()
    one = figures()["models"][MODEL]["arms"]["uniform"]["all"]["preferred"]
    pairs = pd.read_parquet(paths.SCORED)
    pairs.assign(group=pairs["id"]).to_parquet(paths.SCORED)
    other = figures()["models"][MODEL]["arms"]["uniform"]["all"]["preferred"]
    assert one["value"] == other["value"]
    assert one["high"] > other["high"]


def test_answers_that_a_model_gives_no_more_are_counted_and_not_measured():
    lay_out()
    whole = figures()["models"][MODEL]
    path = paths.generated("weighting", MODEL, 17)
    rows = pd.read_parquet(path)
    rows.loc[:3, "generated"] = "غير ذلك"
    rows.to_parquet(path)
    changed = figures()["models"][MODEL]
    assert changed["outdated"] == 4
    assert changed["arms"] == whole["arms"], "what was rated was rated"
    path.unlink()
    gone = figures()["models"][MODEL]
    assert gone["outdated"] == COMPLAINTS
    # Of what is left no answer was preferred.
    assert gone["picks"] == {}


def test_the_reference_is_rated_too_and_has_no_metrics():
    lay_out(arms=("uniform", "reference"))
    of_model = figures()["models"][MODEL]
    assert of_model["outdated"] == 0
    assert list(of_model["differences"]) == ["reference-uniform"]
    assert of_model["picks"] == {}
    assert all(
        each["role"] == "exploratory"
        for each in of_model["differences"]["reference-uniform"]["all"].values()
    )


def test_damaged_ratings_are_named():
    paths.RATINGS.parent.mkdir(parents=True)
    paths.RATINGS.write_bytes(b"")
    with pytest.raises(WaznError, match="wazn review import"):
        figures()


def test_a_complaint_that_is_gone_from_the_data_still_counts():
    lay_out()
    pd.read_parquet(paths.SCORED).iloc[3:].to_parquet(paths.SCORED)
    assert figures()["models"][MODEL]["complaints"] == COMPLAINTS


def test_the_same_ratings_give_the_same_bytes():
    lay_out()
    figures()
    content = paths.REVIEW_METRICS.read_bytes()
    figures()
    assert paths.REVIEW_METRICS.read_bytes() == content


@pytest.mark.slow
def test_dvc_sees_the_ratings_and_nothing_else_of_the_folder(tmp_path):
    """The stage as dvc.yaml has it, with this dependency alone and a command that copies what is there."""
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["review"]
    assert "data/reviews" in stage["deps"]
    command = "mkdir -p metrics && ls data/reviews/*.parquet > metrics/review.json || true"
    kept = {"cmd": command, "deps": ["data/reviews"], "metrics": stage["metrics"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"review": kept}}), encoding="utf-8")
    for name in (".gitignore", ".dvcignore", "data/reviews/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)

    def run(*command, folder=tmp_path):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        variables = {"PATH": path, "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site")}
        done = subprocess.run(
            command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    run("git", "init", "--quiet")
    run("dvc", "init", "--quiet")
    run("dvc", "config", "core.analytics", "false")
    assert "Running stage 'review'" in run("dvc", "repro")
    run("git", "add", "--all")
    run("git", *identity, "commit", "--quiet", "--message", "start")
    put(tmp_path / "data/reviews/r0ab12cd/key.json", {})
    assert "up to date" in run("dvc", "status")
    assert run("git", "status", "--short") == ""
    run("git", "clone", "--quiet", str(tmp_path), str(tmp_path / "clone"))
    assert "didn't change" in run("dvc", "repro", folder=tmp_path / "clone")
    (tmp_path / "data/reviews/ratings.parquet").write_bytes(b"PAR1")
    assert "Running stage 'review'" in run("dvc", "repro")
    assert "ratings.parquet" in (tmp_path / "metrics/review.json").read_text(encoding="utf-8")
    assert run("git", "status", "--short", "data") == ""
