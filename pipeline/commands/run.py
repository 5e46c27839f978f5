"""wazn run: the cells that are out of date, several at once."""

import os
import sys
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from dvc.env import DVC_STAGE
from tabulate import tabulate

from pipeline.commands.cells import slurm
from pipeline.commands.cells.cluster import Slurm, asked_for
from pipeline.commands.cells.devices import described, slots
from pipeline.commands.cells.graph import Graph
from pipeline.commands.cells.runner import LocalRunner
from pipeline.commands.cells.schedule import Runner, Schedule, State, execute, reached
from pipeline.commands.cells.screen import Screen, table
from pipeline.commands.cells.signals import Signals
from pipeline.errors import WaznError
from pipeline.run_lock import run_lock

if TYPE_CHECKING:
    from pipeline.config.params import Params
    from pipeline.config.resources import SlurmResources


def run(params: "Params", *, jobs: int | None, dry_run: bool) -> None:
    """Run every cell that is out of date, as `dvc repro` would, but up to `jobs` at once.

    Where a cell fails, those that need it are not run, and this ends with exit code 1.

    Args:
        jobs: cells at once; None for as many as there are GPUs, or one.
        dry_run: only say what would run, on what, and how long it would take.

    Raises:
        WaznError: `jobs` is less than 1, a launcher is set, or DVC cannot read the project.
    """
    if os.environ.get("WAZN_LAUNCH", "").strip():
        raise WaznError(
            "WAZN_LAUNCH gives one cell several devices, and `wazn run` gives each of several cells one; "
            "unset it, or use `dvc repro`"
        )
    places = slots(jobs)
    graph, todo = _out_of_date(described(places))
    if todo and dry_run:
        from pipeline.commands.cells.forecast import forecast  # noqa: PLC0415  # torch, transformers

        forecast(params, todo, places)
    elif todo:
        _carry_out(graph, todo, len(places), lambda signals, screen: LocalRunner(places, signals, screen))


def run_by_slurm(
    params: "Params",
    jobs: int | None,
    *,
    partition: str | None,
    gpus: int | None,
    minutes: int | None,
    dry_run: bool,
    cancel: bool,
) -> None:
    """Run every cell that is out of date as a job of Slurm; see `run`.

    Args:
        jobs: those in the queue at once; None for all whose turn it is.
        partition: of the jobs; None for Slurm's own choice.
        gpus: of a job that has any, instead of what `resources.slurm` says.
        minutes: of each job, likewise.
        cancel: only end the jobs that an earlier run has left.

    Raises:
        WaznError: as `run`; submitit or Slurm is missing; Slurm does not answer, or refuses a job;
            another process runs this.
    """
    if jobs is not None and jobs < 1:
        raise WaznError(f"--jobs is a number of cells at once, 1 or more, found {jobs}")
    asked = params.resources.slurm
    changed = {"gpus": gpus, "minutes": minutes}
    gpu = asked.gpu.model_copy(update={key: value for key, value in changed.items() if value is not None})
    cpu = asked.cpu.model_copy(update={} if minutes is None else {"minutes": minutes})
    asked = asked.model_copy(update={"gpu": gpu, "cpu": cpu})
    given = {"SBATCH_PARTITION": partition, "SBATCH_GPUS_PER_NODE": gpus, "SBATCH_TIMELIMIT": minutes}
    for name, value in given.items():
        if value is not None:
            # Slurm's own variables would win over what is asked for here.
            os.environ.pop(name, None)
    if dry_run:
        _, todo = _out_of_date("Each is a job of Slurm")
        if todo:
            print(_jobs_table(todo, asked))
        return
    cluster = Slurm(asked, partition)
    with run_lock(slurm.FOLDER, "run --slurm"):
        if cancel:
            slurm.cancel(cluster)
            return
        # Before old outputs are removed for jobs that nobody would take.
        slurm.queue_of(cluster)
        graph, todo = _out_of_date("Each is a job of Slurm")
        if todo:
            _carry_out(
                graph,
                todo,
                jobs or len(todo),
                lambda signals, screen: slurm.SlurmRunner(cluster, graph, signals, screen),
            )


def _out_of_date(where: str) -> tuple[Graph, dict[str, list[str]]]:
    """The graph, and the part of it that a change may reach, which is told with `where` it runs."""
    if DVC_STAGE in os.environ:
        raise WaznError("`wazn run` starts DVC, so it cannot be the command of a stage; call it by itself")
    graph = Graph()
    needs = graph.needs()
    todo = reached(needs, graph.changed(needs))
    current = len(needs) - len(todo)
    if todo:
        print(f"{len(todo)} cells are out of date, or may be; {current} are not. {where}", flush=True)
    else:
        print("every cell is up to date")
    return graph, todo


def _carry_out(
    graph: Graph,
    todo: Mapping[str, Collection[str]],
    places: int,
    runner: Callable[[Signals, Screen], Runner],
) -> None:
    schedule, began = Schedule(todo, places), time.monotonic()
    try:
        with Signals() as signals, Screen(len(todo)) as screen:
            execute(schedule, graph.changed, runner(signals, screen), screen.ended)
    finally:
        print(f"\n{table(schedule.results(), time.monotonic() - began)}")
    if any(ended.state == State.FAILED for ended in schedule.results()):
        sys.exit(1)


def _jobs_table(cells: Collection[str], asked: "SlurmResources") -> str:
    rows = [(cell, *asked_for(cell, asked).model_dump().values()) for cell in cells]
    return f"\n{tabulate(rows, ['cell', 'GPUs', 'cores', 'GB', 'minutes'])}"
