"""What the queue of a cluster is to `wazn run`, and Slurm as one, by submitit."""

import getpass
import io
import os
import shutil
import subprocess
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.commands.cells.job import Work
from pipeline.commands.cells.runner import lines_of
from pipeline.errors import WaznError
from pipeline.hashes import json_digest

if TYPE_CHECKING:
    from pipeline.config.resources import JobResources, SlurmResources

# Stages that compute with a model; `code`, the downloads, the tables and the page need no GPU.
WITH_GPU = {"train_classifier", "score", "finetune", "embed_references", "evaluate", "evaluate_base"}
# How often a job whose time was up starts again, from its checkpoint.
TIMEOUTS = 10
# Seconds after which squeue does not answer.
_PATIENCE = 60.0


class Cluster(Protocol):
    """Where jobs run."""

    def submit(self, work: Work, folder: Path) -> Any:
        """Submit a job whose files lie in `folder`; a job of submitit."""

    def job(self, folder: Path, number: str) -> Any:
        """The job of submitit with that number."""

    def queued(self) -> set[str] | None:
        """The numbers of this user's jobs that have not ended; None if that cannot be told now."""


class Slurm:
    """Slurm as the machine knows it: sbatch, squeue, scancel."""

    def __init__(self, resources: "SlurmResources", partition: str | None) -> None:
        """Take what jobs ask for.

        Raises:
            WaznError: submitit or Slurm is missing.
        """
        try:
            import submitit  # noqa: PLC0415  # an extra
        except ImportError:
            raise WaznError(
                "--slurm needs the package submitit; install it, as in: python -m pip install submitit"
            ) from None
        if shutil.which("sbatch") is None:
            raise WaznError("no Slurm here: there is no sbatch; run it on a login node of the cluster")
        self._submitit, self._resources, self._partition = submitit, resources, partition

    def submit(self, work: Work, folder: Path) -> Any:
        """See `Cluster`.

        Raises:
            WaznError: Slurm refuses the job.
        """
        asked = asked_for(work.cell, self._resources)
        # What surrounds this process, if it is a job itself, is nothing to the new one.
        inside = "SLURM_JOB_ID" in os.environ
        clean, notes = self._submitit.helpers.clean_env if inside else nullcontext, io.StringIO()
        try:
            executor = self._submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=TIMEOUTS)
            executor.update_parameters(
                # Two jobs of one cell never run at once (`singleton`), whatever becomes of this side.
                name=f"{work.cell}.{json_digest(str(Path.cwd()))[:6]}",
                slurm_dependency="singleton",
                slurm_partition=self._partition,
                timeout_min=asked.minutes,
                mem_gb=asked.memory_gb,
                cpus_per_task=asked.cpus,
                # srun does not ask for as many as its job has, since Slurm 22.05.
                slurm_srun_args=[f"--cpus-per-task={asked.cpus}"],
                gpus_per_node=asked.gpus or None,
                stderr_to_stdout=True,
                slurm_additional_parameters={"requeue": True},
            )
            with clean(), redirect_stderr(notes):
                return executor.submit(work)
        except RuntimeError as error:
            reason = lines_of(str(error))[-1:] or ["it does not say why"]
            raise WaznError(f"Slurm does not take {work.cell}: {reason[0]}") from error

    def job(self, folder: Path, number: str) -> Any:
        """See `Cluster`."""
        return self._submitit.SlurmJob(folder, number)

    def queued(self) -> set[str] | None:
        """See `Cluster`. Unlike sacct, squeue needs no accounting, and knows that a job starts again."""
        command = ["squeue", "--noheader", "--format=%A", "--user", getpass.getuser()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return None
        return None if done.returncode else set(done.stdout.split())


def asked_for(cell: str, resources: "SlurmResources") -> "JobResources":
    """What the job of a cell asks for."""
    return resources.gpu if cell.partition("@")[0] in WITH_GPU else resources.cpu
