"""The options of `wazn run`; its modules are imported when it runs."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from pipeline import exits
from pipeline.config.params import load
from pipeline.errors import WaznError

_JOBS = "Cells at once; without it as many as there are GPUs, or one; with --slurm, all."
_SLURM = "Submit each cell to Slurm; started again, go on with its jobs."


def run_cells(
    jobs: Annotated[int | None, typer.Option(help=_JOBS)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and how long.")] = False,
    slurm: Annotated[bool, typer.Option("--slurm", help=_SLURM)] = False,
    partition: Annotated[str | None, typer.Option(help="With --slurm: where its jobs run.")] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="With --slurm: of a job that has any.")] = None,
    time: Annotated[int | None, typer.Option(min=1, help="With --slurm: minutes of a job.")] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="With --slurm: end the jobs, run nothing.")
    ] = False,
) -> None:
    """Run what is out of date as `dvc repro` does, several cells at once, each on one device."""
    if not slurm and (cancel or any(option is not None for option in (partition, gpus, time))):
        raise WaznError("--partition, --gpus, --time and --cancel go with --slurm")
    module = importlib.import_module("pipeline.commands.run")
    exits.interruptible()
    params = load(Path("params.yaml"))
    if slurm:
        module.run_by_slurm(
            params, jobs, partition=partition, gpus=gpus, minutes=time, dry_run=dry_run, cancel=cancel
        )
    else:
        module.run(params, jobs=jobs, dry_run=dry_run)
