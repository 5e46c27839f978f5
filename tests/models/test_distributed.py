"""How the processes of a run find each other, and keep other runs away."""

import os
from types import SimpleNamespace

import pytest

from pipeline.errors import WaznError
from pipeline.models.distributed import barrier, join_processes
from pipeline.run_lock import run_lock


def test_folder_is_held_by_one_at_a_time_and_says_by_which(tmp_path):
    folder = tmp_path / "deep" / "place"
    with run_lock(folder, "scoring"):
        with (
            pytest.raises(WaznError, match=rf"^{folder}: process {os.getpid()} is scoring already"),
            run_lock(folder, "scoring"),
        ):
            raise AssertionError("not kept away")
        assert (folder / "lock.pid").read_text() == str(os.getpid()), "the one kept away took it down"
    assert [path.name for path in folder.iterdir()] == ["lock"]
    with run_lock(folder, "scoring"):
        pass


def test_holder_that_has_not_said_its_number_yet(tmp_path):
    with run_lock(tmp_path, "scoring"):
        (tmp_path / "lock.pid").unlink()
        with pytest.raises(WaznError, match="another process is fine-tuning already"):
            run_lock(tmp_path, "fine-tuning").__enter__()


@pytest.mark.parametrize("error", [RuntimeError, WaznError, KeyboardInterrupt])
def test_folder_is_free_again_after_a_failure_which_is_told_as_it_was(error, tmp_path):
    with pytest.raises(error, match=r"^what failed$"), run_lock(tmp_path, "scoring"):
        raise error("what failed")
    with run_lock(tmp_path, "scoring"):
        pass


def test_number_that_a_killed_run_left_is_not_believed(tmp_path):
    (tmp_path / "lock").touch()
    (tmp_path / "lock.pid").write_text("999999")
    with run_lock(tmp_path, "scoring"):
        assert (tmp_path / "lock.pid").read_text() == str(os.getpid())


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(WaznError, match=r"taken/place: could not be written \(Not a directory\)"):
        run_lock(tmp_path / "taken" / "place", "scoring").__enter__()


def test_process_that_ended_is_one_sentence_for_the_others():
    def ended():
        raise RuntimeError("Connection closed by peer")

    with pytest.raises(WaznError, match="another process of this run has ended early"):
        barrier(SimpleNamespace(wait_for_everyone=ended))


def test_process_without_a_launcher_is_alone(monkeypatch, capsys):
    for name in ("MASTER_ADDR", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for backend in (None, "gloo"):
        here = join_processes(backend)
        assert (here.num_processes, here.process_index, here.is_main_process) == (1, 0, True)
    barrier(here)
    assert capsys.readouterr().out == ""


def test_launcher_that_started_one_process_only_is_spoken_of(monkeypatch, capsys):
    """As `accelerate launch --cpu --num_processes 2` does."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_processes().num_processes == 1
    assert "takes --multi_gpu as well" in capsys.readouterr().out
