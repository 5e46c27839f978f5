"""Cells as processes of this machine: `dvc repro --single-item CELL`, each with a log of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
from dvc.env import DVC_ROOT, DVC_STAGE

from pipeline import paths
from pipeline.commands.cells.devices import Slot
from pipeline.commands.cells.schedule import Ended, State
from pipeline.commands.cells.signals import Signals

LOGS = paths.CHECKPOINTS / "run"
# Seconds between two looks at the processes.
_INTERVAL = 0.2
# A command that has not ended so many seconds after Ctrl-C is killed.
_PATIENCE = 20.0
# Bytes at the end of a log that are read for its last line.
_TAIL = 4096


@dataclass
class Running:
    """A cell that runs.

    Attributes:
        place: where, for people.
        log: what it prints.
    """

    cell: str
    place: str
    log: Path
    since: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self.since


@dataclass
class _Process(Running):
    """A cell as a process of this machine.

    Attributes:
        slot: the number of its place.
        interrupted: ids of its processes that have been told to end.
    """

    slot: int = field(kw_only=True)
    process: subprocess.Popen[bytes] = field(kw_only=True)
    interrupted: set[int] = field(default_factory=set)


class Watcher(Protocol):
    """What shows cells that run."""

    def started(self, running: Running) -> None:
        """A cell has been started."""

    def running(self, those: Sequence[Running]) -> None:
        """These run now."""


class LocalRunner:
    """Cells on this machine, each with a slot of its own."""

    def __init__(self, places: Sequence[Slot], signals: Signals, watcher: Watcher) -> None:
        """Take the places for cells, the signals that end all, and what shows them."""
        self._places, self._signals, self._watcher = places, signals, watcher
        self._free = list(range(len(places)))
        self._running: dict[str, _Process] = {}

    def start(self, cell: str) -> None:
        """Start a cell at the first place that is free."""
        LOGS.mkdir(parents=True, exist_ok=True)
        log = log_of(cell)
        # It may be a link to the log of a job.
        log.unlink(missing_ok=True)
        slot = min(self._free)
        place = self._places[slot]
        # A process that is started is always known.
        with self._signals.hold(), log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", cell],
                env=environment(place.variables),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # Ctrl-C at the terminal does not reach it.
                start_new_session=True,
            )
            self._free.remove(slot)
            self._running[cell] = _Process(cell, f"on {place.name}", log, slot=slot, process=process)
        self._watcher.started(self._running[cell])

    def wait(self) -> list[Ended]:
        """Wait until a cell has ended; those that have."""
        while True:
            with self._signals.hold():
                if ended := self._collect(State.FAILED):
                    return ended
            self._watcher.running(list(self._running.values()))
            time.sleep(_INTERVAL)

    def stop(self) -> list[Ended]:
        """Interrupt the command of every cell, and wait until its DVC has ended too.

        DVC itself is not interrupted: what has just ended well is recorded, and in the middle of that half
        a dvc.lock would be left. A second signal kills all.
        """
        if not self._running:
            return []
        count = len(self._running)
        # Before the line that asks for a second signal, which may follow at once.
        began, before = time.monotonic(), self._signals.noted
        with suppress(OSError):  # the terminal may have gone
            print(
                f"ending {count} cell{'s' * (count > 1)}; once more kills them", file=sys.stderr, flush=True
            )
        ended: list[Ended] = []
        with suppress(KeyboardInterrupt, SystemExit), self._signals.hold():
            while True:
                ended += self._collect(State.INTERRUPTED)
                if not self._running:
                    break
                for running in self._running.values():
                    if self._signals.noted > max(1, before):
                        with suppress(ProcessLookupError):
                            os.killpg(running.process.pid, signal.SIGKILL)
                    _interrupt(running, kill=time.monotonic() - began > _PATIENCE)
                time.sleep(_INTERVAL / 2)
        return ended

    def _collect(self, state: State) -> list[Ended]:
        """Those that have ended, in `state` unless they ended well."""
        ended = []
        for running in list(self._running.values()):
            code = running.process.poll()
            if code is None:
                continue
            del self._running[running.cell]
            self._free.append(running.slot)
            if code == 0:
                ended.append(Ended(running.cell, State.DONE, running.seconds))
            else:
                error = error_in(running.log) if state == State.FAILED else ""
                ended.append(Ended(running.cell, state, running.seconds, error))
        return ended


def log_of(cell: str) -> Path:
    """Where a cell and its DVC print to."""
    return LOGS / f"{cell.replace(os.sep, '-')}.log"


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a cell: that of this process, `variables`, and what makes logs readable."""
    # Stages call `python`, which shall be this one whatever is on PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {
        **{name: value for name, value in os.environ.items() if name not in (DVC_ROOT, DVC_STAGE)},
        # So that the lines of DVC and of its command stand in their order.
        "PYTHONUNBUFFERED": "1",
        # A progress bar writes a line each time.
        "TQDM_MININTERVAL": os.environ.get("TQDM_MININTERVAL", "1"),
        **variables,
        "PATH": path,
    }


def _interrupt(running: _Process, *, kill: bool) -> None:
    """Send SIGINT, once, to what DVC has started for a cell; or SIGKILL."""
    with suppress(psutil.NoSuchProcess):
        for command in psutil.Process(running.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if kill:
                    command.kill()
                elif command.pid not in running.interrupted:
                    running.interrupted.add(command.pid)
                    command.send_signal(signal.SIGINT)


def lines_of(text: str) -> list[str]:
    """The lines of a log that say something, a progress bar's states among them, without colours."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [line.strip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


def last_line(log: Path) -> str:
    """The last line of a log that says something; empty if there is none."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return next(iter(lines_of(file.read().decode("utf-8", "replace"))[-1:]), "")
    return ""


def error_in(log: Path) -> str:
    """What went wrong in a cell: the sentence of wazn, the last line of another command, or DVC's own."""
    with suppress(OSError):
        lines = lines_of(log.read_text(encoding="utf-8", errors="replace"))
        for line in lines:
            if line.startswith("wazn: "):
                return line.removeprefix("wazn: ")
        for number, line in enumerate(lines):
            if not line.startswith("ERROR: "):
                continue
            if "failed to run" in line and number and not lines[number - 1].startswith(("> ", "Running ")):
                return lines[number - 1]
            # It names the processes that are in the way in the lines after.
            more = lines[number + 1 : number + 2] if "being blocked by" in line else []
            return " ".join([re.sub(r"^ERROR: (failed to reproduce '[^']+': )?", "", line), *more])
        return next(iter(lines[-1:]), "it was killed")
    return "its log cannot be read"
