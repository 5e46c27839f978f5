"""The training loop: one optimiser step over `batch_size` pairs, cut into micro-batches."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel
from tqdm import tqdm
from transformers import get_linear_schedule_with_warmup

from pipeline.errors import WaznError
from pipeline.training.batching import collate, optimiser_steps
from pipeline.training.grouping import microbatches
from pipeline.training.loss import answer_nll, weighted_loss
from pipeline.training.prompt import Example


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over the examples.
        batch_size: sequences of one optimiser step.
        tokens_per_microbatch: padded tokens computed at once; speed and memory only.
        learning_rate: its peak, reached after warm-up, then falling linearly to 0 (AdamW).
        warmup: share of all steps over which the rate rises.
        max_grad_norm: the gradient's norm is clipped to this.
        seed: of the order and of dropout.
    """

    epochs: int
    batch_size: int
    tokens_per_microbatch: int
    learning_rate: float
    warmup: float
    max_grad_norm: float
    seed: int


@dataclass(frozen=True)
class Step:
    """One optimiser step done: its number from 1, its loss, its learning rate, the epoch so far."""

    number: int
    loss: float
    learning_rate: float
    epoch: float


def train(model: PeftModel, examples: Sequence[Example], recipe: Recipe, name: str) -> Iterator[Step]:
    """Train `model` in place and yield each step once it is done.

    Args:
        model: an adapted causal language model; what requires a gradient is trained.
        examples: at least one.
        recipe: how.
        name: what the progress bar calls the run.

    Raises:
        WaznError: the loss is not finite; names the step and the rows.
    """
    decoder = model.get_base_model()
    place = next(decoder.parameters()).device
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=0.0)
    steps_per_epoch = math.ceil(len(examples) / recipe.batch_size)
    total = steps_per_epoch * recipe.epochs
    schedule = get_linear_schedule_with_warmup(optimiser, round(recipe.warmup * total), total)
    lengths = [len(example.tokens) for example in examples]
    torch.manual_seed(recipe.seed)
    model.train()
    number = 0
    with tqdm(total=total, desc=name, unit="step") as bar:
        for epoch in range(recipe.epochs):
            for indices in optimiser_steps(len(examples), recipe.batch_size, recipe.seed, epoch):
                number += 1
                loss = torch.zeros((), dtype=torch.float64)
                for group in microbatches(indices, lengths, recipe.tokens_per_microbatch):
                    batch = collate([examples[index] for index in group]).to(place)
                    nll, answers = answer_nll(decoder, batch)
                    part = weighted_loss(nll, answers, batch.weights, len(indices))
                    part.backward()  # type: ignore[no-untyped-call]
                    loss += part.detach().double().cpu()
                rate = schedule.get_last_lr()[0]
                if not torch.isfinite(loss):
                    rows = ", ".join(examples[index].id for index in indices)
                    raise WaznError(
                        f"{name}: the loss became {loss.item()} at step {number} (learning rate {rate:g}, "
                        f"rows {rows}); lower finetune.learning_rate or look at these rows"
                    )
                torch.nn.utils.clip_grad_norm_(trained, recipe.max_grad_norm)
                optimiser.step()
                schedule.step()
                optimiser.zero_grad(set_to_none=True)
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
                yield Step(number, loss.item(), rate, number / steps_per_epoch)
    model.eval()
