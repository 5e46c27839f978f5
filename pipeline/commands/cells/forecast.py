"""wazn run --dry-run: what would run, and how long it would take."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from tabulate import tabulate

from pipeline import paths
from pipeline.commands.cells.devices import Slot
from pipeline.commands.cells.schedule import makespan
from pipeline.commands.dry_run import measure_finetune
from pipeline.commands.measuring import duration, measured
from pipeline.errors import WaznError
from pipeline.evaluation.estimate import estimate
from pipeline.models.runtime import require_model

if TYPE_CHECKING:
    from pipeline.config.params import Params


def forecast(params: "Params", needs: Mapping[str, Collection[str]], places: Sequence[Slot]) -> None:
    """Print the cells of a graph with the time of each that can be measured now, and that of all.

    A fine-tuning and an evaluation of each model are measured, as `wazn finetune --dry-run` does, and count
    for all arms and seeds. The other cells are quick beside them, and are left out. What cells at once take
    from each other besides threads is not measured.
    """
    # The processes that measure have the threads and the device that a cell would have.
    os.environ.update(places[0].variables)
    seconds: dict[str, float] = {}
    notes: list[str] = []
    for model in params.models:
        for task, cells, measure in _tasks(params, model):
            chosen = [cell for cell in cells if cell in needs]
            if not chosen:
                continue
            try:
                seconds |= dict.fromkeys(chosen, measure())
            except WaznError as error:
                notes.append(f"{task} of {model} cannot be measured: {error}")
    rows = [(cell, duration(seconds[cell]) if cell in seconds else "") for cell in needs]
    print(f"\n{tabulate(rows, ['cell', 'time'], colalign=('left', 'right'))}\n")
    for note in notes:
        print(note)
    if seconds:
        print(
            f"fine-tuning and evaluation: {duration(sum(seconds.values()))} of work, "
            f"{duration(makespan(needs, len(places), seconds))} from start to end; no other cell is counted"
        )


def _tasks(params: "Params", model: str) -> list[tuple[str, list[str], Callable[[], float]]]:
    """What can be measured of a model: its name, its cells, and what gives the seconds of one of them."""
    runs = [f"{model}-{arm}-{seed}" for arm in params.arms for seed in params.seeds]
    return [
        ("fine-tuning", [f"finetune@{run}" for run in runs], lambda: _finetune(params, model)),
        (
            "evaluation",
            [f"evaluate_base@{model}", *(f"evaluate@{run}" for run in runs)],
            lambda: _evaluate(params, model),
        ),
    ]


def _finetune(params: "Params", model: str) -> float:
    taken = measure_finetune(
        model,
        params.seeds[0],
        params.registry[model],
        params.arm_settings[params.arms[0]],
        params.finetune,
        params.resources.finetune,
    )
    return taken.seconds


def _evaluate(params: "Params", model: str) -> float:
    # What can be told without it starts no process.
    require_model(paths.base_model(model))
    require_model(paths.base_model(params.embed_references.encoder))
    arguments = (model, params.evaluate, params.embed_references, params.resources.evaluate, time.time())
    return measured(estimate, *arguments, name=str(paths.base_model(model)), section="resources.evaluate")
