"""Two runs of one stage do not write the same files."""

import fcntl
import os
import re
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import commands
import pytest
from root import ROOT

from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.run_lock import run_lock

PARAMS = load(ROOT / "params.yaml")
MODEL, ENCODER, SEED = PARAMS.models[0], PARAMS.encoders[0], PARAMS.seeds[0]
# Every stage as it is called, and the folder of its lock.
STAGES = {
    ("code",): "code",
    ("download",): "download",
    ("normalise",): "normalise",
    ("base_encoder", ENCODER): f"base_encoder/{ENCODER}",
    ("train_classifier",): "train_classifier",
    ("score",): "score",
    ("base_model", MODEL): f"base_model/{MODEL}",
    ("finetune", MODEL, "mild"): f"finetune/mild/{MODEL}/{SEED}",
    ("finetune", MODEL, "mild", "--seed", "3"): f"finetune/mild/{MODEL}/3",
    ("embed_references",): "embed_references",
    ("evaluate", MODEL, "base"): f"evaluate/base/{MODEL}/base",
    ("evaluate", MODEL, "mild", "--seed", "3"): f"evaluate/mild/{MODEL}/3",
    ("review",): "review",
    ("report",): "report",
}
HOST = re.escape(socket.gethostname())
HOLDER = rf"process {os.getpid()} on {HOST}, since 2\d{{3}}-\d\d-\d\d \d\d:\d\d:\d\d UTC,"
HOLD = """
import time
from pathlib import Path
from pipeline.run_lock import run_lock
with run_lock(Path("."), "score"):
    print("held", flush=True)
    time.sleep(60)
"""
LAUNCHERS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


@pytest.fixture
def project(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", STAGES, ids=" ".join)
def test_second_run_of_a_stage_ends_and_says_who_holds_it(command, project):
    with run_lock(project / ".checkpoints" / STAGES[command], "what the holder runs"):
        before = commands.files_of(project)
        ended = commands.run(project, *command)
    assert ended.code == 2
    assert ended.out == ""
    stage = command[0]
    expected = (
        rf"wazn: \.checkpoints/{STAGES[command]}/lock: {HOLDER} runs `{stage}\b.*` already; wait .*\n"
    )
    assert re.fullmatch(expected, ended.err), ended.err
    assert commands.files_of(project) == before


@pytest.mark.slow
@pytest.mark.parametrize("other", [f"evaluate/mild/{MODEL}/3", "evaluate/uniform", "finetune", "evaluate"])
def test_other_items_of_a_stage_do_not_wait(other, project):
    with run_lock(project / ".checkpoints" / other, "another"):
        assert "no such file" in commands.run(project, "evaluate", MODEL, "mild").err


def test_folder_is_held_by_one_at_a_time_and_says_by_which(tmp_path):
    folder = tmp_path / "deep" / "place"
    expected = rf"^{folder}/lock: {HOLDER} runs `score` already"
    with run_lock(folder, "score"), pytest.raises(WaznError, match=expected), run_lock(folder, "score"):
        raise AssertionError("not kept away")
    assert [path.name for path in folder.iterdir()] == ["lock"]
    with run_lock(folder, "score"):
        pass


@pytest.mark.parametrize("said", [b"", b"\n\n", b"a\x1b[31mb", "\u202ea".encode()])
def test_holder_that_has_not_said_its_number_yet(said, tmp_path):
    with run_lock(tmp_path, "score"):
        (tmp_path / "lock").write_bytes(said)
        with pytest.raises(WaznError, match="lock: another process runs `score` already") as caught:
            run_lock(tmp_path, "score").__enter__()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [RuntimeError, WaznError, KeyboardInterrupt])
def test_folder_is_free_again_after_a_failure_which_is_told_as_it_was(error, tmp_path):
    with pytest.raises(error, match=r"^what failed$"), run_lock(tmp_path, "score"):
        raise error("what failed")
    with run_lock(tmp_path, "score"):
        pass


def test_lock_of_a_killed_process_does_not_block(tmp_path):
    process = commands.start(tmp_path, sys.executable, "-c", HOLD)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(WaznError, match=rf"process {process.pid} on "):
        run_lock(tmp_path, "score").__enter__()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with run_lock(tmp_path, "score"):
        assert f"process {os.getpid()} on" in (tmp_path / "lock").read_text(encoding="utf-8")


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_processes_of_one_run_do_not_keep_each_other_away(launcher, tmp_path, monkeypatch):
    with run_lock(tmp_path, "score"):
        monkeypatch.setenv(launcher, "1")
        with run_lock(tmp_path, "score"):
            pass
        monkeypatch.setenv(launcher, "0")
        with pytest.raises(WaznError, match="already"):
            run_lock(tmp_path, "score").__enter__()


def test_file_system_without_locks_is_spoken_of_and_no_obstacle(tmp_path, monkeypatch, capsys):
    def none(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with run_lock(tmp_path, "score"):
        pass
    assert "lock: this file system has no locks" in capsys.readouterr().err


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(WaznError, match=r"place/lock: could not be written \(Not a directory\); move away"):
        run_lock(tmp_path / "taken" / "place", "score").__enter__()


def test_folder_in_place_of_the_lock_is_one_sentence(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(WaznError, match=r"lock: could not be written \(Is a directory\); move away"):
        run_lock(tmp_path, "score").__enter__()


@pytest.mark.slow
def test_of_two_that_start_together_one_runs(project):
    """Both have the same work: to refuse params.yaml's folder, which is not there, or each other."""
    processes = [commands.start(project, sys.executable, "-m", "pipeline", "normalise") for _ in range(4)]
    ended = [process.communicate(timeout=60) for process in processes]
    for out, err in ended:
        assert out == ""
        assert err.startswith("wazn: ") and err.count("\n") == 1
        assert "data/raw/sources.json: no such file" in err or " already; wait" in err


def test_lock_is_kept_while_the_stage_runs(project):
    """A reader of a named pipe waits until there is a writer."""
    (project / "data/raw").mkdir(parents=True)
    os.mkfifo(project / "data/raw/sources.json")
    process = commands.fork(project, "normalise")
    lock = project / ".checkpoints/normalise/lock"
    deadline = time.monotonic() + 60
    while not lock.is_file() or not lock.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    second = commands.run(project, "normalise")
    Path(project / "data/raw/sources.json").write_bytes(b"{}")
    first = commands.wait(process)
    assert (first.code, second.code) == (2, 2)
    assert f"process {process.pid} on" in second.err
    assert "sources.json: pairs: is missing" in first.err
