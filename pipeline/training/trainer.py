"""The training loop: all steps of a run, its evaluations and its checkpoints."""

import copy
import dataclasses
import math
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from pipeline.models.prompt import Example
from pipeline.models.runtime import device
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.fitting import try_largest
from pipeline.training.parallel import restore_trained
from pipeline.training.steps import Run, Step

if TYPE_CHECKING:
    from pipeline.config.resources import TrainResources
    from pipeline.config.training import TrainConfig
    from pipeline.training.dataset import Validation


def train(
    model: torch.nn.Module,
    examples: Sequence[Example],
    config: "TrainConfig",
    resources: "TrainResources",
    seed: int,
    *,
    name: str,
    valid: "Validation | None" = None,
    checkpoints: Checkpoints | None = None,
    dtype: torch.dtype = torch.float32,
) -> Generator[Step, None, None]:
    """Train `model` in place and yield each step once it is done.

    Where there is a checkpoint, the steps before it are yielded as they were, and training goes on after
    it. Order and dropout follow from the seed and the number of the step, so the result is the same.

    Args:
        model: a causal language model or a PeftModel around one; what requires a gradient is trained.
        examples: at least one.
        config: how to train.
        resources: what changes speed and memory only.
        seed: of order and dropout.
        name: what messages call the run.
        valid: evaluated on; None for no evaluation.
        checkpoints: where they are kept; None for none.
        dtype: of matrix products; weights keep their own.

    Raises:
        WaznError: the loss or the gradient is not finite; names step, rows and learning rate.
    """
    run = Run(model, examples, config, resources, seed, name, dtype)
    history, best = run.resume(checkpoints) if checkpoints else ([], {})
    yield from (Step(**step) for step in history)
    if device().type == "cuda":
        try_largest(run)
    with tqdm(
        total=config.epochs * sum(run.lengths),
        initial=sum(step["tokens"] for step in history),
        desc=name,
        unit="token",
        unit_scale=True,
        disable=not run.processes.is_main_process,
    ) as bar:
        for number, indices in enumerate(run.steps(), start=1):
            if number <= len(history):
                continue
            step = run.step(number, indices)
            due = _is_due(number / run.steps_per_epoch, 1 / run.steps_per_epoch, config.evaluate_every)
            if valid and (due or number == run.total_steps):
                nll = run.evaluate(valid, number)
                step = dataclasses.replace(step, valid=nll)
                if config.checkpoint_selection == "best" and nll["nll"] < best.get("nll", math.inf):
                    # On a CPU the state is the very weights, which go on changing.
                    best = {"nll": nll["nll"]} | copy.deepcopy(run.state(with_optimiser=False))
            history.append(dataclasses.asdict(step))
            bar.set_postfix_str(f"step {number}/{run.total_steps}, loss {step.loss:.3f}", refresh=False)
            bar.update(step.tokens)
            if checkpoints and number % resources.checkpoint_every == 0 and number < run.total_steps:
                run.save(checkpoints, number, history, best)
            yield step
    if best:
        restore_trained(run.module, None, best, run.processes)
    model.eval()


def _is_due(epoch: float, step: float, every: float) -> bool:
    """Whether this step passed a multiple of `every`.

    Args:
        epoch: passes over the pairs after the step.
        step: passes over the pairs that one step makes.
        every: passes between two evaluations.
    """
    # A little more than the epoch: a multiple of `every` may be computed a little too large.
    return math.floor((epoch + 1e-9) / every) > math.floor((epoch - step + 1e-9) / every)
