"""Curves: written while training goes on, and the same with and without DVCLive."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from commands import files_of, start

from pipeline.errors import WaznError
from pipeline.training.curves import curves
from pipeline.training.steps import Step

VALID = {"nll": 2.5, "nll_critical": 1 / 3, "nll_neutral": None, "nll_non_critical": 2e-7}
STEPS = [
    Step(
        number=number,
        epoch=number / 4,
        loss=5 / number,
        mean_weight=1 - 1e-3 * number,
        learning_rate=1e-5 * number,
        gradient_norm=1e10 / number,
        tokens=99,
        valid=VALID if number % 4 == 0 else None,
    )
    for number in range(1, 9)
]
TRAIN = ("loss", "mean_weight", "learning_rate", "gradient_norm")
NAMES = {*(f"train/{name}.tsv" for name in TRAIN), *(f"valid/{k}.tsv" for k, v in VALID.items() if v)}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """In no repository."""
    monkeypatch.chdir(tmp_path)


def written(folder):
    return files_of(folder / "plots" / "metrics")


def log_all(folder, steps=STEPS):
    with curves(folder) as log:
        for step in steps:
            log(step)
    return written(folder)


def test_each_value_has_a_file_with_a_line_for_each_step(tmp_path):
    assert log_all(tmp_path / "run").keys() == NAMES
    for path in (tmp_path / "run/plots/metrics/train").iterdir():
        expected = [f"step\t{path.stem}", *(f"{step.number}\t{getattr(step, path.stem)}" for step in STEPS)]
        assert path.read_text(encoding="utf-8").splitlines() == expected
    found = pd.read_csv(tmp_path / "run/plots/metrics/valid/nll_critical.tsv", sep="\t")
    assert found.to_dict("list") == {"step": [4, 8], "nll_critical": [1 / 3] * 2}


def test_files_grow_with_every_step(tmp_path):
    loss = tmp_path / "run/plots/metrics/train/loss.tsv"
    with curves(tmp_path / "run") as log:
        for step in STEPS:
            log(step)
            lines = loss.read_text(encoding="utf-8").splitlines()
            assert len(lines) == 1 + step.number
            assert lines[-1] == f"{step.number}\t{step.loss}"


def test_what_stood_there_before_is_gone(tmp_path):
    log_all(tmp_path / "run")
    found = log_all(tmp_path / "run", STEPS[:2])
    assert {name for name in found if name.startswith("valid")} == set()
    assert found["train/loss.tsv"].count(b"\n") == 3


def test_without_dvclive_the_same_files_are_written_in_the_end(tmp_path, monkeypatch, capsys):
    expected = log_all(tmp_path / "with")
    assert "without DVCLive" not in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "dvclive", None)
    assert log_all(tmp_path / "without") == expected
    assert log_all(tmp_path / "without", STEPS[:2]).keys() == {n for n in NAMES if n.startswith("train")}
    said = capsys.readouterr().out
    assert said.count("without DVCLive (ModuleNotFoundError), so curves are written at the end only\n") == 2


def test_dvclive_that_cannot_start_does_not_end_the_training(tmp_path, monkeypatch, capsys):
    import dvclive

    expected = log_all(tmp_path / "with")

    def refuse(*_, **__):
        raise LookupError("a repository of another age")

    monkeypatch.setattr(dvclive, "Live", refuse)
    assert log_all(tmp_path / "without") == expected
    assert "without DVCLive (LookupError)" in capsys.readouterr().out


@pytest.mark.parametrize("there", [True, False])
def test_training_that_fails_says_its_own_error(there, tmp_path, monkeypatch):
    if not there:
        monkeypatch.setitem(sys.modules, "dvclive", None)
    with pytest.raises(WaznError, match="its own"), curves(tmp_path / "run") as log:
        log(STEPS[0])
        raise WaznError("its own")


def test_full_disk_is_one_sentence(tmp_path, monkeypatch):
    from dvclive.plots import Metric

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Metric, "dump", refuse)
    sentence = rf"^{tmp_path / 'run'}: could not be written \(No space left on device\)"
    with pytest.raises(WaznError, match=sentence):
        log_all(tmp_path / "run")


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(WaznError, match=rf"^{tmp_path / 'taken/run'}\S*: could not be written"):
        log_all(tmp_path / "taken" / "run")


@pytest.mark.slow
def test_dvc_draws_one(tmp_path):
    log_all(Path("run"))
    for command in (("git", "init", "-q"), ("dvc", "init", "-q")):
        assert start(tmp_path, *command).wait(60) == 0
    drawn = start(tmp_path, "dvc", "plots", "show", "run/plots/metrics/train/loss.tsv")
    out, err = drawn.communicate(timeout=120)
    assert drawn.returncode == 0, err
    page = Path(re.search(r"file://(\S+)", out)[1]).read_text(encoding="utf-8")
    assert '"loss": "5.0"' in page or '"loss": 5.0' in page
