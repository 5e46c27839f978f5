"""wazn run: the cells that are out of date, several at once."""

import os
import sys
import time
from typing import TYPE_CHECKING

from dvc.env import DVC_STAGE

from pipeline.commands.cells.devices import described, slots
from pipeline.commands.cells.graph import Graph
from pipeline.commands.cells.runner import LocalRunner
from pipeline.commands.cells.schedule import Schedule, State, execute, reached
from pipeline.commands.cells.screen import Screen, table
from pipeline.commands.cells.signals import Signals
from pipeline.errors import WaznError

if TYPE_CHECKING:
    from pipeline.config.params import Params


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
    if DVC_STAGE in os.environ:
        raise WaznError("`wazn run` starts DVC, so it cannot be the command of a stage; call it by itself")
    places = slots(jobs)
    graph = Graph()
    needs = graph.needs()
    todo = reached(needs, graph.changed(needs))
    if not todo:
        print("every cell is up to date")
        return
    current = len(needs) - len(todo)
    print(
        f"{len(todo)} cells are out of date, or may be; {current} are not. {described(places)}", flush=True
    )
    if dry_run:
        from pipeline.commands.cells.forecast import forecast  # noqa: PLC0415  # torch, transformers

        forecast(params, todo, places)
        return
    schedule, began = Schedule(todo, len(places)), time.monotonic()
    try:
        with Signals() as signals, Screen(len(todo)) as screen:
            execute(schedule, graph.changed, LocalRunner(places, signals, screen), screen.ended)
    finally:
        print(f"\n{table(schedule.results(), time.monotonic() - began)}")
    if any(ended.state == State.FAILED for ended in schedule.results()):
        sys.exit(1)
