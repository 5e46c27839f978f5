"""The training loop: optimiser steps over `batch_size` pairs, cut into micro-batches and over processes."""

import copy
import dataclasses
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch.distributed.tensor import DTensor
from tqdm import tqdm
from transformers import get_scheduler

from pipeline.errors import WaznError
from pipeline.models.prompt import Example
from pipeline.training.batching import collate, optimiser_steps, shares
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.likelihood import mean_nll, score_answers
from pipeline.training.loss import coefficients
from pipeline.training.objective import AnswerLoss
from pipeline.training.parallel import accumulating, restore_trained, shared, summed, trained_state


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over the examples.
        batch_size: sequences of one optimiser step, over all processes.
        length_window: steps within which sequences of like length are put together.
        tokens_per_microbatch: padded tokens computed at once by a process; speed and memory only.
        loss_mean: `sequence` or `token`, see `loss.py`.
        optimiser: `adamw` or `adafactor`.
        learning_rate: its peak, reached after warm-up.
        weight_decay: decoupled from the gradient.
        schedule: `linear` or `cosine` to 0 after warm-up, or `constant`.
        warmup: share of all steps over which the rate rises.
        max_grad_norm: the gradient's norm is clipped to this.
        evaluate_every: epochs between evaluations on the validation pairs.
        keep: `last`, or `best` to end with the weights of the least validation NLL.
        checkpoint_every: optimiser steps between checkpoints.
        seed: of the order and of dropout.
    """

    epochs: int
    batch_size: int
    length_window: int
    tokens_per_microbatch: int
    loss_mean: str
    optimiser: str
    learning_rate: float
    weight_decay: float
    schedule: str
    warmup: float
    max_grad_norm: float
    evaluate_every: float
    keep: str
    checkpoint_every: int
    seed: int


@dataclass(frozen=True)
class Step:
    """One optimiser step done.

    Attributes:
        number: from 1; epoch: so far.
        loss: of the step, the mean that `Recipe.loss_mean` names, weighted.
        mean_weight: of the step's pairs.
        learning_rate: with which it was made; gradient_norm: before clipping.
        tokens: of its sequences, without padding.
        valid: after it, where there was an evaluation: NLL per answer token, see `mean_nll`.
    """

    number: int
    epoch: float
    loss: float
    mean_weight: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    valid: dict[str, float | None] | None


@dataclass(frozen=True)
class Validation:
    """Pairs that are not trained on, and their severities, for evaluation during training."""

    examples: Sequence[Example]
    severities: Sequence[str]


def train(
    model: torch.nn.Module,
    examples: Sequence[Example],
    recipe: Recipe,
    name: str,
    *,
    valid: Validation | None = None,
    checkpoints: Checkpoints | None = None,
    dtype: torch.dtype = torch.float32,
) -> Generator[Step, None, None]:
    """Train `model` in place and yield each step once it is done.

    Where there is a checkpoint the steps before it are yielded as they were, and training goes on after it:
    dropout and order follow from the seed and the step's number, so the result is the same.

    Args:
        model: a causal language model or a PeftModel around one; what requires a gradient is trained.
        examples: at least one.
        recipe: how.
        name: what messages call the run.
        valid: evaluated on; None for no evaluation.
        checkpoints: where to keep them; None for none.
        dtype: that matrix products are computed in; weights keep their own.

    Raises:
        WaznError: the loss or the gradient is not finite; names step, rows and learning rate.
    """
    run = _Run(model, examples, recipe, name, dtype)
    history, best = run.resume(checkpoints) if checkpoints else ([], {})
    yield from (Step(**step) for step in history)
    with tqdm(
        total=recipe.epochs * sum(run.lengths),
        initial=sum(step["tokens"] for step in history),
        desc=name,
        unit="token",
        unit_scale=True,
        disable=not run.here.is_main_process,
    ) as bar:
        for number, indices in enumerate(run.steps(), start=1):
            if number <= len(history):
                continue
            step = run.step(number, indices)
            due = _is_due(number / run.per_epoch, 1 / run.per_epoch, recipe.evaluate_every)
            if valid and (due or number == run.total):
                found = run.evaluate(valid, number)
                step = dataclasses.replace(step, valid=found)
                if recipe.keep == "best" and found["nll"] < best.get("nll", math.inf):
                    # On a CPU the state is the very weights, which go on changing.
                    best = {"nll": found["nll"]} | copy.deepcopy(run.state(with_optimiser=False))
            history.append(dataclasses.asdict(step))
            bar.set_postfix_str(f"step {number}/{run.total}, loss {step.loss:.3f}", refresh=False)
            bar.update(step.tokens)
            if checkpoints and number % checkpoints.every == 0 and number < run.total:
                run.save(checkpoints, number, history, best)
            yield step
    if best:
        restore_trained(run.module, None, best, run.here)
    model.eval()


def _is_due(epoch: float, step: float, every: float) -> bool:
    """Whether the epoch, one step of it ago, had not reached the multiple of `every` that it has now."""
    # A hair more than the epoch: a multiple of every may be computed a little too large.
    return math.floor((epoch + 1e-9) / every) > math.floor((epoch - step + 1e-9) / every)


class _Run:
    """The model, its optimiser and schedule, and the processes that share them."""

    def __init__(
        self,
        model: torch.nn.Module,
        examples: Sequence[Example],
        recipe: Recipe,
        name: str,
        dtype: torch.dtype,
    ) -> None:
        self.here = PartialState(cpu=not torch.cuda.is_available())
        self.examples, self.recipe, self.name, self.dtype = examples, recipe, name, dtype
        self.lengths = [len(example.tokens) for example in examples]
        self.per_epoch = math.ceil(len(examples) / recipe.batch_size)
        self.total = self.per_epoch * recipe.epochs
        self.module = shared(AnswerLoss(model, in_place=self.here.num_processes == 1), self.here)
        self.trained = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.optimiser = _optimiser(self.trained, recipe)
        self.schedule = get_scheduler(
            {"constant": "constant_with_warmup"}.get(recipe.schedule, recipe.schedule),
            self.optimiser,
            num_warmup_steps=round(recipe.warmup * self.total),
            num_training_steps=self.total,
        )

    def steps(self) -> Iterator[list[int]]:
        """The sequences of every step of the run."""
        recipe = self.recipe
        for epoch in range(recipe.epochs):
            yield from optimiser_steps(
                self.lengths, recipe.batch_size, recipe.length_window, recipe.seed, epoch
            )

    def step(self, number: int, indices: Sequence[int]) -> Step:
        """Make one optimiser step."""
        recipe, here = self.recipe, self.here
        # What is drawn depends on nothing that came before, so that a run can be taken up at any step.
        torch.manual_seed(_seed(recipe.seed, number, here.process_index))
        self.module.train()
        for parameter in self.trained:
            # Kept from step to step, so that they do not break up the memory for activations.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.zero_()
        place = {index: position for position, index in enumerate(indices)}
        weights = np.array([self.examples[index].weight for index in indices])
        answers = np.array([_answer_tokens(self.examples[index]) for index in indices])
        # Gradients are averaged over the processes; the loss is their sum.
        factor = coefficients(weights, answers, recipe.loss_mean)
        nll = torch.zeros(len(indices), dtype=torch.float64, device=here.device)
        mine = shares(indices, self.lengths, recipe.tokens_per_microbatch, here.num_processes)
        groups = mine[here.process_index]
        for left, group in enumerate(groups, start=1 - len(groups)):
            batch = collate([self.examples[index] for index in group or indices[:1]]).to(here.device)
            places = [place[index] for index in group]
            # A process that has no sequence left computes one along for nothing.
            factors = here.num_processes * factor[places] if group else np.zeros(1)
            with accumulating(self.module) if left else nullcontext():
                with torch.autocast(here.device.type, self.dtype, self.dtype != torch.float32):
                    loss, found = self.module(batch, torch.as_tensor(factors, device=here.device))
                loss.backward()
            nll[places] = found[: len(group)].double()
        terms = factor * summed(nll, here).cpu().numpy()
        rate = self.schedule.get_last_lr()[0]
        total = torch.nn.utils.clip_grad_norm_(self.trained, recipe.max_grad_norm)
        norm = float(total.full_tensor() if isinstance(total, DTensor) else total)
        if not (np.isfinite(terms).all() and math.isfinite(norm)):
            raise self._diverged(
                number, [indices[k] for k in np.flatnonzero(~np.isfinite(terms)).tolist()] or indices, rate
            )
        self.optimiser.step()
        self.schedule.step()
        return Step(
            number=number,
            epoch=number / self.per_epoch,
            loss=float(terms.sum()),
            mean_weight=float(weights.mean()),
            learning_rate=rate,
            gradient_norm=norm,
            tokens=sum(self.lengths[index] for index in indices),
            valid=None,
        )

    def evaluate(self, valid: "Validation", number: int) -> dict[str, Any]:
        """NLL of the validation pairs after a step."""
        self.module.eval()
        with torch.autocast(self.here.device.type, self.dtype, self.dtype != torch.float32):
            sums, counts = score_answers(
                self.module, valid.examples, self.recipe.tokens_per_microbatch, self.here
            )
        unusable = [valid.examples[index].id for index in np.flatnonzero(~np.isfinite(sums)).tolist()]
        if unusable:
            raise WaznError(
                f"{self.name}: the NLL of validation rows {', '.join(unusable)} is not finite after step "
                f"{number}; lower finetune.learning_rate or look at these rows. Checkpoints are kept"
            )
        return dict(mean_nll(sums, counts, valid.severities))

    def state(self, *, with_optimiser: bool) -> dict[str, Any]:
        """See `trained_state`."""
        return trained_state(self.module, self.optimiser if with_optimiser else None)

    def save(self, checkpoints: Checkpoints, step: int, history: list[Any], best: dict[str, Any]) -> None:
        """Write a checkpoint."""
        state = self.state(with_optimiser=True)
        if self.here.is_main_process:
            more = {"schedule": self.schedule.state_dict(), "history": history, "best": best}
            checkpoints.save(step, state | more)

    def resume(self, checkpoints: Checkpoints) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Take up the newest checkpoint, if there is one.

        Returns:
            The steps done, and the best weights so far with their `nll` (empty if there are none).
        """
        found = (checkpoints.latest() or {}) if self.here.is_main_process else {}
        light = [
            {name: found.get(name) for name in ("schedule", "history")},
            found.get("best", {}).get("nll"),
        ]
        broadcast_object_list(light)
        said, nll = light
        if not said["history"]:
            return [], {}
        restore_trained(self.module, self.optimiser, found, self.here)
        self.schedule.load_state_dict(said["schedule"])
        if self.here.is_main_process:
            print(
                f"{self.name}: goes on after step {len(said['history'])} of {self.total}, from a checkpoint"
            )
        best = found.get("best", {"nll": nll}) if nll is not None else {}
        return said["history"], best

    def _diverged(self, number: int, rows: Sequence[int], rate: float) -> WaznError:
        named = ", ".join(self.examples[index].id for index in rows)
        return WaznError(
            f"{self.name}: loss or gradient is not finite at step {number} (learning rate {rate:g}, rows "
            f"{named}); lower finetune.learning_rate or look at these rows. Checkpoints are kept"
        )


def _answer_tokens(example: Example) -> int:
    return len(example.tokens) - example.answer_start


def _seed(*parts: int) -> int:
    """A seed that differs wherever one of `parts` does."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _optimiser(parameters: Sequence[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimiser == "adafactor":
        if any(isinstance(parameter, DTensor) for parameter in parameters):
            raise WaznError(
                "finetune.optimiser: adafactor of torch cannot update weights that FSDP has divided; "
                "set it to adamw"
            )
        return torch.optim.Adafactor(parameters, **options)
    return torch.optim.AdamW(parameters, fused=True, **options)
