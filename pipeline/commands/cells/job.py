"""A cell as a job: what runs on a node of a cluster. DVC stays on the submitting side."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.cells.runner import environment

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

# Seconds for a signal that ends a command to reach this process too.
_MOMENT = 2.0


@dataclass(frozen=True)
class Work:
    """What DVC would run for a cell; called, it does so.

    Attributes:
        commands: one after the other, as lines for a shell.
        folder: in which they run.
        outputs: files and folders that must not be there before.
        variables: what DVC adds to the environment.
        inputs: a hash of all that the cell depends on, as DVC records it.
    """

    cell: str
    commands: list[str]
    folder: str
    outputs: list[str]
    variables: dict[str, str]
    inputs: str

    def __call__(self) -> tuple[int, float]:
        """Run the commands; the exit code of the first that fails, or 0, and the seconds they took.

        Slurm sends SIGTERM to all processes of a job that it cancels or preempts, and kills them later. A
        command that SIGTERM has ended has not failed: this waits to be killed too, so that a preempted job
        starts again.
        """
        told_to_end = False

        def note(*_: object) -> None:
            nonlocal told_to_end
            told_to_end = True

        signal.signal(signal.SIGTERM, note)
        began, code = time.monotonic(), 0
        # A job that starts again finds what it wrote before.
        for path in map(Path, self.outputs):
            _remove(path)
        for command in self.commands:
            print(f"> {command}", flush=True)
            if code := self._run(command):
                time.sleep(_MOMENT)
                while told_to_end:
                    time.sleep(_MOMENT)
                # As DVC says it, so that `runner.error_in` finds the line before.
                print(f"ERROR: failed to run: {command}, exited with {code}", flush=True)
                break
        return code, time.monotonic() - began

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit runs when the job starts again: the same, which goes on from its checkpoint."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415  # an extra

        return DelayedSubmission(self)

    def _run(self, command: str) -> int:
        from submitit import JobEnvironment  # noqa: PLC0415  # an extra

        # It comes before the end of a job's time, and is for submitit, which has the job start again.
        warning = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
        process = subprocess.Popen(
            command,
            shell=True,
            executable=os.environ.get("SHELL") or "/bin/sh",  # as DVC chooses it
            cwd=self.folder,
            env=environment({**_threads(), **self.variables}),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(warning, signal.SIG_IGN),  # noqa: PLW1509  # there is one thread
        )
        return process.wait()


def _threads() -> dict[str, str]:
    """As many threads as the job has cores, which torch would not see everywhere."""
    cores = os.environ.get("SLURM_CPUS_PER_TASK")
    return {"OMP_NUM_THREADS": cores} if cores and "OMP_NUM_THREADS" not in os.environ else {}


def _remove(path: Path) -> None:
    """Remove a file, a folder, or a link, of which the target stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
