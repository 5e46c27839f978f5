"""wazn run --dry-run: what would run, and how long it would take."""

import math
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from commands import TEST, TRAIN, VALID, files_of, lay_out

from pipeline.commands.cells import forecast as stage
from pipeline.commands.cells.devices import Slot
from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.evaluation import estimate
from pipeline.stages import embed_references

RUNS = [f"{model}-{arm}-17" for model in ("tiny_gpt2", "tiny_qwen2") for arm in ("uniform", "weighting")]
NEEDS = {
    "score": [],
    **{f"finetune@{run}": ["score"] for run in RUNS},
    "evaluate_base@tiny_gpt2": ["score"],
    **{f"evaluate@{run}": [f"finetune@{run}"] for run in RUNS},
    "report": [f"evaluate@{run}" for run in RUNS],
}
PLACES = [Slot("CPU", {})] * 2


@pytest.fixture
def project(built, scored_table, tmp_path, monkeypatch):
    folder = lay_out(tmp_path / "project", built, scored_table(TRAIN + VALID, TEST))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def seconds(monkeypatch):
    """Fine-tuning takes 100 s, evaluation 20; what was measured."""
    asked = []

    def finetune(_, model):
        asked.append(("finetune", model))
        return 100.0

    def evaluate(_, model):
        asked.append(("evaluate", model))
        if model == "tiny_qwen2":
            raise WaznError("data/references: no such file")
        return 20.0

    monkeypatch.setattr(stage, "_finetune", finetune)
    monkeypatch.setattr(stage, "_evaluate", evaluate)
    return asked


def test_every_cell_is_listed_with_its_time_and_the_whole_is_that_of_the_schedule(project, seconds, capsys):
    stage.forecast(load(Path("params.yaml")), NEEDS, PLACES)
    out = capsys.readouterr().out
    rows = dict(re.findall(r"^(\S+@\S+|score|report) *(.*?) *$", out, re.MULTILINE))
    assert list(rows) == list(NEEDS)
    assert {cell for cell, time in rows.items() if time == "2 min"} == {f"finetune@{run}" for run in RUNS}
    assert {cell for cell, time in rows.items() if time == "20 s"} == {
        "evaluate_base@tiny_gpt2",
        "evaluate@tiny_gpt2-uniform-17",
        "evaluate@tiny_gpt2-weighting-17",
    }
    assert "evaluation of tiny_qwen2 cannot be measured: data/references: no such file\n" in out
    # 4 x 100 + 3 x 20, of which two at once.
    assert out.endswith(
        "fine-tuning and evaluation: 8 min of work, 4 min from start to end; no other cell is counted\n"
    )


def test_only_what_would_run_is_measured(project, seconds, capsys):
    stage.forecast(load(Path("params.yaml")), {"evaluate@tiny_gpt2-uniform-17": [], "report": []}, PLACES)
    assert seconds == [("evaluate", "tiny_gpt2")]
    assert capsys.readouterr().out.endswith(
        "fine-tuning and evaluation: 20 s of work, 20 s from start to end; no other cell is counted\n"
    )


def test_where_nothing_is_there_yet_each_model_says_so(project, capsys):
    shutil.rmtree("models/base")
    before = files_of(project)
    stage.forecast(load(Path("params.yaml")), NEEDS, PLACES)
    out = capsys.readouterr().out
    for task in ("fine-tuning of tiny_gpt2", "evaluation of tiny_gpt2", "fine-tuning of tiny_qwen2"):
        assert f"{task} cannot be measured: models/base/" in out
    assert "from start to end" not in out
    assert files_of(project) == before


def test_evaluation_is_extended_from_one_batch_to_all(project, built, monkeypatch):
    shutil.copytree(built("modernbert"), "models/base/tiny_bert")
    params = load(Path("params.yaml"))
    evaluate = params.evaluate.model_copy(update={"max_new_tokens": 4, "max_length": 300})
    resources = params.resources.evaluate.model_copy(update={"batch_size": 4})
    embed_references.run(
        embed_references=params.embed_references,
        test_rows=evaluate.test_rows,
        test_seed=evaluate.seed,
        resources=resources,
    )
    before, computed = files_of(project), []

    def one_second(compute, rows):
        computed.append(len(rows))
        return 1.0, compute(rows)

    monkeypatch.setattr(estimate, "_timed", one_second)
    monkeypatch.setattr(estimate.time, "time", lambda: 1007.0)
    found = estimate.estimate("tiny_gpt2", evaluate, params.embed_references, resources, 1000.0)
    assert computed == [4, 4, 4]
    likelihood, answers, comparison = (TEST + VALID) / 4, math.ceil(TEST / 4), TEST / 4
    assert found == pytest.approx(7 + likelihood + answers + comparison)
    assert files_of(project) == before


def test_samples_are_spread_over_the_lengths_and_of_middle_length():
    pairs = pd.DataFrame({"question": ["x" * length for length in (9, 1, 5, 3, 7, 2, 8, 4, 6)]})
    spread, middle = estimate.samples(pairs, 3)
    assert [len(text) for text in spread["question"]] == [1, 5, 9]
    assert [len(text) for text in middle["question"]] == [4, 5, 6]
    assert [len(part) for part in estimate.samples(pairs, 20)] == [9, 9]
