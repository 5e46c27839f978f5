"""wazn finetune --dry-run: what fine-tuning would take, without doing it."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline import paths
from pipeline.commands.measuring import duration, measured
from pipeline.errors import WaznError
from pipeline.models.runtime import device, require_model, torch_dtype
from pipeline.parquet_inputs import read_parquet
from pipeline.schemas import SCORED_PAIRS
from pipeline.training.estimate import Estimate, estimate

if TYPE_CHECKING:
    from pipeline.config.models import ModelEntry
    from pipeline.config.resources import TrainResources
    from pipeline.config.training import ArmConfig, TrainConfig

_ROW = "{:<22} {:>8} {:>14} {:>8} {:>13} {:>10} {:>10}"


def run(
    models: Mapping[str, "ModelEntry"],
    seeds: Sequence[int],
    *,
    arms: Mapping[str, "ArmConfig"],
    finetune: "TrainConfig",
    resources: "TrainResources",
) -> None:
    """Print steps, tokens, padding, trained parameters, memory and time of each model's fine-tuning.

    Memory and time are those of one run (one arm, one seed) in one process on this machine, which computes
    a few micro-batches of each model to find them.

    Raises:
        WaznError: the scored pairs are missing, or no model is there.
    """
    trainings = len(models) * len(arms) * len(seeds)
    dtype = str(torch_dtype(finetune.dtype)).removeprefix("torch.")
    gpu = device().type == "cuda"
    print(
        f"{trainings} fine-tunings: {len(models)} models x {len(arms)} arms ({', '.join(arms)}) x "
        f"{len(seeds)} seeds. One of them: {finetune.method}, {finetune.epochs} epochs, "
        f"{finetune.batch_size} pairs a step, on {device().type} in {dtype}\n"
        f"Memory is the peak {'on the GPU' if gpu else 'of the process'}, time that of the whole command, "
        "both from a few micro-batches that are computed now\n"
    )
    print(_ROW.format("model", "steps", "tokens", "padding", "trained", "memory", "time"), flush=True)
    errors = []
    for name, entry in models.items():
        try:
            taken = measure_finetune(name, seeds[0], entry, next(iter(arms.values())), finetune, resources)
        except WaznError as error:
            errors.append(str(error))
            print(f"{name:<22} {error}", flush=True)
            continue
        row = _ROW.format(
            name,
            f"{taken.steps:,}",
            f"{taken.tokens:,}",
            f"{taken.padding:.1%}",
            f"{taken.trained:,}",
            f"{taken.memory / 2**30:.1f} GiB",
            duration(taken.seconds),
        )
        print(row, flush=True)
    if len(errors) == len(models):
        raise WaznError(errors[0])


def measure_finetune(
    model: str,
    seed: int,
    entry: "ModelEntry",
    arm: "ArmConfig",
    finetune: "TrainConfig",
    resources: "TrainResources",
) -> Estimate:
    """See `estimate`; it is run in a process of its own, whose peak of memory is that of this model."""
    base = paths.base_model(model)
    # What can be told without it starts no process.
    require_model(base)
    read_parquet(paths.SCORED, SCORED_PAIRS)
    arguments = (base, seed, finetune, entry, arm, resources, time.time())
    return measured(estimate, *arguments, name=str(base), section="resources.finetune")
