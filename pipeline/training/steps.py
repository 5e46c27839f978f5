"""The optimiser steps of a run: `batch_size` pairs, cut into micro-batches and over processes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch.distributed.tensor import DTensor
from tqdm import tqdm

from pipeline.errors import WaznError
from pipeline.models.budgets import Budget
from pipeline.models.distributed import all_reduce_sum
from pipeline.models.microbatches import padded_tokens
from pipeline.models.prompt import Example
from pipeline.training.batching import collate, optimiser_steps, split_across_ranks
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.dropout import PairDropout
from pipeline.training.likelihood import mean_nll, score_answers
from pipeline.training.loss import token_weights
from pipeline.training.objective import AnswerLoss
from pipeline.training.optimisation import create_lr_scheduler, create_optimiser
from pipeline.training.parallel import (
    restore_trained,
    trained_state,
    without_all_reduce,
    wrap_for_processes,
)

if TYPE_CHECKING:
    from pipeline.config.resources import TrainResources
    from pipeline.config.training import TrainConfig
    from pipeline.training.dataset import Validation


@dataclass(frozen=True)
class Step:
    """One optimiser step that is done.

    Attributes:
        number: from 1; epoch: passes over the pairs so far.
        loss: of the step, weighted and averaged as `TrainConfig.loss_reduction` says.
        mean_weight: of the step's pairs.
        learning_rate: of the step; gradient_norm: before clipping.
        tokens: of its sequences, without padding.
        valid: NLL per answer token after the step, where there was an evaluation; see `mean_nll`.
    """

    number: int
    epoch: float
    loss: float
    mean_weight: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    valid: dict[str, float | None] | None


class Run:
    """The model, its optimiser and lr_scheduler, and the processes that train it together.

    In float16 the loss is scaled, so that small gradients are not rounded to 0 (arXiv:1710.03740, section
    3.2). A step whose gradient then overflows is computed again with half the scale, so none is left out.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        examples: Sequence[Example],
        config: "TrainConfig",
        resources: "TrainResources",
        seed: int,
        name: str,
        dtype: torch.dtype,
    ) -> None:
        self.processes = PartialState(cpu=not torch.cuda.is_available())
        self.examples, self.config, self.seed, self.name, self.dtype = examples, config, seed, name, dtype
        self.budget = Budget.of(resources.tokens_per_microbatch, "microbatch_tokens")
        self.budget.fixed = self.processes.num_processes > 1  # they must cut alike
        self.lengths = [len(example.input_ids) for example in examples]
        self.steps_per_epoch = math.ceil(len(examples) / config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.answer_loss = AnswerLoss(model, in_place=self.processes.num_processes == 1)
        self.module = wrap_for_processes(self.answer_loss, self.processes)
        self.trained = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.optimiser = create_optimiser(self.trained, config)
        self.lr_scheduler = create_lr_scheduler(self.optimiser, config, self.total_steps)
        self.scaler = torch.amp.GradScaler(self.processes.device.type, enabled=dtype == torch.float16)

    def steps(self) -> Iterator[list[int]]:
        """The sequences of every step of the run."""
        config = self.config
        for epoch in range(config.epochs):
            yield from optimiser_steps(
                self.lengths, config.batch_size, config.length_window, self.seed, epoch
            )

    def step(self, number: int, indices: Sequence[int]) -> Step:
        """Make one optimiser step."""
        weights = np.array([self.examples[index].weight for index in indices])
        examples = [self.examples[index] for index in indices]
        counts = np.array([len(example.input_ids) - example.prompt_length for example in examples])
        token_weight = token_weights(weights, counts, self.config.loss_reduction)
        learning_rate = float(self.lr_scheduler.get_last_lr()[0])
        terms, norm = self._gradients(number, indices, token_weight)
        while np.isfinite(terms).all() and not math.isfinite(norm) and self.scaler.get_scale() > 1:
            scale = self.scaler.get_scale()
            if self.processes.is_main_process:
                tqdm.write(
                    f"{self.name}: a gradient of step {number} is beyond float16 with the loss times "
                    f"{scale:g}; computed again with {scale / 2:g}"
                )
            self.scaler.update(scale / 2)
            terms, norm = self._gradients(number, indices, token_weight)
        if not (np.isfinite(terms).all() and math.isfinite(norm)):
            broken = [indices[row] for row in np.flatnonzero(~np.isfinite(terms)).tolist()] or indices
            raise self._diverged(number, broken, learning_rate)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.lr_scheduler.step()
        return Step(
            number=number,
            epoch=number / self.steps_per_epoch,
            loss=float(terms.sum()),
            mean_weight=float(weights.mean()),
            learning_rate=learning_rate,
            gradient_norm=norm,
            tokens=sum(self.lengths[index] for index in indices),
            valid=None,
        )

    def _gradients(
        self, number: int, indices: Sequence[int], token_weight: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Leave the clipped gradient of a step in `.grad`.

        Returns:
            Each pair's part of the loss, (N,), and the gradient's norm before clipping.
        """
        terms = token_weight * self._backward(number, indices, token_weight)
        self.scaler.unscale_(self.optimiser)
        total = torch.nn.utils.clip_grad_norm_(self.trained, self.config.max_grad_norm)
        return terms, float(total.full_tensor() if isinstance(total, DTensor) else total)

    def _backward(self, number: int, indices: Sequence[int], token_weight: np.ndarray) -> np.ndarray:
        """Set `.grad` to the gradient of a step, computed one micro-batch after the other.

        Where one does not fit into the memory, the step is cut anew.

        Args:
            number: of the step, from 1.
            indices: its N sequences.
            token_weight: (N,).

        Returns:
            NLL of each answer in nats, (N,), in every process.
        """
        processes = self.processes
        row_of = {index: row for row, index in enumerate(indices)}
        done = False
        while not done:
            self.zero_gradients()
            nll = torch.zeros(len(indices), dtype=torch.float64, device=processes.device)
            parts = split_across_ranks(indices, self.lengths, self.budget.size, processes.num_processes)
            groups = parts[processes.process_index]
            for left, group in enumerate(groups, start=1 - len(groups)):
                rows = [row_of[index] for index in group]
                # Gradients are averaged over the processes, and the loss is their sum. A process that has
                # no sequence left computes one along with weight 0.
                computed = group or [indices[0]]
                weight = processes.num_processes * token_weight[rows] if group else np.zeros(1)
                microbatch = partial(self.microbatch, self.module, number, computed, weight, nll, rows)
                with without_all_reduce(self.module) if left else nullcontext():
                    done = self.budget.fits(
                        microbatch, padded_tokens(computed, self.lengths), len(computed)
                    )
                if not done:
                    break
        return all_reduce_sum(nll, processes).cpu().numpy()

    def zero_gradients(self) -> None:
        """Start a gradient anew, with the model in training mode."""
        self.module.train()
        for parameter in self.trained:
            # Gradients are kept from step to step, so that they do not break up the memory for activations.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.zero_()

    def microbatch(
        self,
        module: torch.nn.Module,
        number: int,
        computed: Sequence[int],
        token_weight: np.ndarray,
        nll: torch.Tensor,
        rows: Sequence[int],
    ) -> None:
        """Add the gradient of B sequences to `.grad`; set `nll[rows]` to the NLL of the first of them."""
        device = self.processes.device
        batch = collate([self.examples[index] for index in computed]).to(device)
        # It scales the loss as well, and the gradient of the logits before that is rounded to float16.
        weight = self.scaler.scale(torch.as_tensor(token_weight, device=device))
        dropout = PairDropout([_seed(self.seed, number, index) for index in computed])
        with dropout, torch.autocast(device.type, self.dtype, self.dtype != torch.float32):
            loss, found = module(batch, weight)
        loss.backward()
        nll[rows] = found[: len(rows)].double()

    def evaluate(self, valid: "Validation", number: int) -> dict[str, Any]:
        """NLL of the validation pairs after a step."""
        self.module.eval()
        with torch.autocast(self.processes.device.type, self.dtype, self.dtype != torch.float32):
            sums, counts = score_answers(self.module, valid.examples, self.budget, self.processes)
        broken = [valid.examples[row].id for row in np.flatnonzero(~np.isfinite(sums)).tolist()]
        if broken:
            raise WaznError(
                f"{self.name}: the NLL of validation rows {', '.join(broken)} is not finite after step "
                f"{number}; {self._remedy()}. Checkpoints are kept"
            )
        return dict(mean_nll(sums, counts, valid.severities))

    def state(self, *, with_optimiser: bool) -> dict[str, Any]:
        """See `trained_state`."""
        return trained_state(self.module, self.optimiser if with_optimiser else None)

    def save(self, checkpoints: Checkpoints, step: int, history: list[Any], best: dict[str, Any]) -> None:
        """Write a checkpoint."""
        state = self.state(with_optimiser=True)
        if self.processes.is_main_process:
            more = {"lr_scheduler": self.lr_scheduler.state_dict(), "history": history, "best": best}
            more["scaler"] = self.scaler.state_dict()  # empty but in float16
            checkpoints.save(step, state | more)

    def resume(self, checkpoints: Checkpoints) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Go on from the newest checkpoint, if there is one.

        Returns:
            The steps that are done, and the best weights so far with their `nll`; empty if there are none.
        """
        state = (checkpoints.latest() or {}) if self.processes.is_main_process else {}
        # Without the weights, which `restore_trained` sends in a way of its own.
        shared: list[Any] = [state.get(name) for name in ("lr_scheduler", "history", "scaler")]
        shared.append(state.get("best", {}).get("nll"))
        broadcast_object_list(shared)
        lr_scheduler, history, scaler, best_nll = shared
        if not history:
            return [], {}
        restore_trained(self.module, self.optimiser, state, self.processes)
        self.lr_scheduler.load_state_dict(lr_scheduler)
        if scaler:
            self.scaler.load_state_dict(scaler)
        if self.processes.is_main_process:
            print(
                f"{self.name}: goes on after step {len(history)} of {self.total_steps}, from a checkpoint"
            )
        best = state.get("best", {"nll": best_nll}) if best_nll is not None else {}
        return history, best

    def _diverged(self, number: int, indices: Sequence[int], learning_rate: float) -> WaznError:
        rows = ", ".join(self.examples[index].id for index in indices)
        return WaznError(
            f"{self.name}: loss or gradient is not finite at step {number} (learning rate "
            f"{learning_rate:g}, rows {rows}); {self._remedy()}. Checkpoints are kept"
        )

    def _remedy(self) -> str:
        remedy = "lower finetune.learning_rate or look at these rows"
        # A model that was made in bfloat16 may compute numbers that float16 lacks.
        return remedy if self.dtype != torch.float16 else f"set finetune.dtype to float32, {remedy}"


def _seed(*parts: int) -> int:
    """A seed of 64 bits that differs wherever one of `parts` does."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])
