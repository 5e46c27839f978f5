"""How the processes of a run find each other."""

from types import SimpleNamespace

import pytest

from pipeline.errors import WaznError
from pipeline.models.distributed import barrier, join_processes


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
