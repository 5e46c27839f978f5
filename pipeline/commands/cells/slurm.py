"""Cells as jobs of Slurm, which submitit submits. DVC runs on this side only, and stays the judge.

DVC's lock knows a holder by its process id, which says nothing about another machine. So a job is the
command of a cell, and this side does what DVC does before it and after it. A cell is submitted once all
that it needs is recorded: only then can DVC say whether it has to run at all. So no job waits for another
in Slurm's queue.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import paths
from pipeline.commands.cells.cluster import Cluster
from pipeline.commands.cells.graph import Graph
from pipeline.commands.cells.job import Work
from pipeline.commands.cells.runner import LOGS, Running, Watcher, error_in, lines_of, log_of
from pipeline.commands.cells.schedule import Ended, State
from pipeline.commands.cells.signals import Signals
from pipeline.errors import WaznError
from pipeline.files import write_json

FOLDER = paths.CHECKPOINTS / "slurm"
# Seconds between two looks at the files that jobs leave, and between two questions to Slurm.
_LOOK, _ASK = 1.0, 15.0
# Seconds after which this machine sees what another one has written to a shared file system.
_LAG = 60.0


@dataclass
class Submitted(Running):
    """A cell whose job has not been taken account of.

    Attributes:
        job: of submitit.
        work: what it runs.
        gone: when it was first seen to have ended.
    """

    job: Any = field(kw_only=True)
    work: Work = field(kw_only=True)
    gone: float | None = None
    seen: bool = False


class SlurmRunner:
    """Cells as jobs, those of an earlier run among them."""

    def __init__(self, cluster: Cluster, graph: Graph, signals: Signals, watcher: Watcher) -> None:
        """Take where jobs run, DVC's graph, the signals that end this, and what shows cells."""
        self._cluster, self._graph, self._signals, self._watcher = cluster, graph, signals, watcher
        self._submitted: dict[str, Submitted] = {}
        self._ended: list[Ended] = []
        self._asked = -_ASK

    def start(self, cell: str) -> None:
        """Submit a cell, or take up its job, unless there is nothing to run."""
        with self._signals.hold():
            began = time.monotonic()
            try:
                left = self._left(cell)
                work = left[1] if left else self._graph.prepare(cell)
            except WaznError as error:
                self._ended.append(Ended(cell, State.FAILED, time.monotonic() - began, str(error)))
                return
            if work is None:
                self._ended.append(Ended(cell, State.DONE, time.monotonic() - began))
                return
            job = left[0] if left else self._submit(work)
            place = f"{'again ' * bool(left)}as job {job.job_id}"
            self._submitted[cell] = Submitted(cell, place, log_of(cell), job=job, work=work)
        self._watcher.started(self._submitted[cell])

    def wait(self) -> list[Ended]:
        """Wait until a cell has ended; those that have."""
        while True:
            with self._signals.hold():
                if ended := self._collect():
                    return ended
            self._watcher.running([one for one in self._submitted.values() if one.seen])
            time.sleep(_LOOK)

    def stop(self) -> list[Ended]:
        """Leave the jobs to Slurm."""
        if count := len(self._submitted):
            jobs = f"{count} job{'s' * (count > 1)} left to Slurm"
            then = "the same command takes up what is left, and `wazn run --slurm --cancel` ends it"
            with suppress(OSError):  # the terminal may have gone
                print(f"{jobs}; {then}", file=sys.stderr, flush=True)
        return [Ended(cell, State.LEFT, one.seconds) for cell, one in self._submitted.items()]

    def _left(self, cell: str) -> tuple[Any, Work] | None:
        """The job of an earlier run, with its work; one whose cell has changed since is cancelled."""
        if (note := _read(cell)) is None:
            return None
        number, work = note
        job = self._cluster.job(_folder(cell), number)
        if work.inputs == self._graph.inputs(cell):
            return job, work
        queued = self._cluster.queued()
        if queued is None or number in queued:
            job.cancel(check=False)
        return None

    def _submit(self, work: Work) -> Any:
        folder = _folder(work.cell)
        # What an earlier job has left.
        shutil.rmtree(folder, ignore_errors=True)
        job = self._cluster.submit(work, folder)
        write_json(folder / "job.json", {"job": job.job_id, "work": vars(work)})
        log = log_of(work.cell)
        LOGS.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        log.symlink_to(os.path.relpath(job.paths.stdout, log.parent.resolve()))
        return job

    def _collect(self) -> list[Ended]:
        ended, self._ended = self._ended, []
        queued = None
        if time.monotonic() - self._asked >= _ASK and self._submitted:
            queued, self._asked = self._cluster.queued(), time.monotonic()
        for one in list(self._submitted.values()):
            if not one.seen and one.log.exists():
                one.seen, one.since = True, time.monotonic()
            if outcome := self._outcome(one, queued):
                del self._submitted[one.cell]
                (_folder(one.cell) / "job.json").unlink(missing_ok=True)
                ended.append(outcome)
        return ended

    def _outcome(self, one: Submitted, queued: set[str] | None) -> Ended | None:
        """How a cell has ended; None as long as that is open."""
        folder = _folder(one.cell)
        with suppress(OSError):
            # A file server is asked anew about a folder that has changed.
            folder.chmod(folder.stat().st_mode)
        has_result = one.job.paths.result_pickle.exists()
        if has_result or (queued is not None and one.job.job_id not in queued):
            one.gone = one.gone or time.monotonic()
        elif queued is not None:
            one.gone = None
        if one.gone is None:
            return None
        late = time.monotonic() - one.gone > _LAG
        if not has_result or one.job.exception() is not None:
            ended = Ended(
                one.cell, State.FAILED, one.seconds, f"job {one.job.job_id}: {_last_words(one.log)}"
            )
            return ended if has_result or late else None
        code, seconds = one.job.result()
        if code:
            return Ended(one.cell, State.FAILED, seconds, error_in(one.log))
        if not late and not all(map(_is_there, one.work.outputs)):
            return None
        try:
            self._graph.record(one.cell, one.work.inputs)
        except WaznError as error:
            return Ended(one.cell, State.FAILED, seconds, str(error))
        return Ended(one.cell, State.DONE, seconds)


def queue_of(cluster: Cluster) -> set[str]:
    """The numbers of this user's jobs that have not ended.

    Raises:
        WaznError: Slurm cannot be asked.
    """
    if (queued := cluster.queued()) is None:
        raise WaznError("Slurm does not answer; `squeue` says why")
    return queued


def cancel(cluster: Cluster) -> None:
    """End the jobs that a run has left; those that have ended stay, to be recorded by the next run.

    Raises:
        WaznError: Slurm cannot be asked.
    """
    queued, count = queue_of(cluster), 0
    for path in sorted(FOLDER.glob("*/job.json")):
        number = json.loads(path.read_text(encoding="utf-8"))["job"]
        if number in queued:
            cluster.job(path.parent, number).cancel(check=False)
            path.unlink()
            count += 1
    print(f"{count} job{'s' * (count != 1)} cancelled")


def _folder(cell: str) -> Path:
    """Where submitit has the files of a cell's job."""
    return FOLDER / cell.replace(os.sep, "-")


def _read(cell: str) -> tuple[str, Work] | None:
    with suppress(FileNotFoundError):
        note = json.loads((_folder(cell) / "job.json").read_text(encoding="utf-8"))
        return note["job"], Work(**note["work"])
    return None


def _is_there(path: str) -> bool:
    with suppress(OSError):
        any(Path(path).parent.iterdir())  # reading a folder asks its file server anew
    return Path(path).exists()


def _last_words(log: Path) -> str:
    """Why a job has ended without a result: what Slurm says, or the last line of another."""
    lines: Sequence[str] = []
    with suppress(OSError):
        lines = lines_of(log.read_text(encoding="utf-8", errors="replace"))
    # Neither srun nor submitit says why.
    telling = [line for line in lines if not line.startswith(("srun: ", "submitit "))]
    return telling[-1] if telling else "it has ended, and has left no line"
