"""Which pairs make up an optimiser step, and how a step is cut into micro-batches and over processes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipeline.models.microbatches import microbatches
from pipeline.models.prompt import Example

# Most of a micro-batch's tokens that may be padding, however few sequences a step has.
MAX_PADDING = 0.05


@dataclass(frozen=True)
class Batch:
    """B sequences padded at the right to T tokens.

    Attributes:
        tokens: token ids, (B, T); padding is 0 and never read.
        mask: 1 where there is a token, (B, T).
        answers: True where the token belongs to an answer, (B, T).
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    answers: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in vars(self).values()))


def optimiser_steps(
    lengths: Sequence[int], batch_size: int, window: int, seed: int, epoch: int
) -> list[list[int]]:
    """Put every sequence into one of an epoch's optimiser steps, like lengths together.

    The sequences are shuffled; within each `window` steps of them they are sorted by length, cut into
    steps, and the steps shuffled. So a step needs little padding, yet is drawn from everywhere.

    Args:
        lengths: tokens of every sequence.
        batch_size: sequences of a step; one step may have fewer.
        window: steps; with 1, every step is drawn at random.
        seed, epoch: of the shuffles.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)

    def shuffled(count: int) -> list[int]:
        return torch.randperm(count, generator=generator).tolist()

    order, steps = shuffled(len(lengths)), []
    for start in range(0, len(order), batch_size * window):
        near = order[start : start + batch_size * window]
        near.sort(key=lambda index: (-lengths[index], index))
        cut = [near[first : first + batch_size] for first in range(0, len(near), batch_size)]
        steps += [cut[number] for number in shuffled(len(cut))]
    return steps


def shares(
    step: Sequence[int], lengths: Sequence[int], max_tokens: int, processes: int
) -> list[list[list[int]]]:
    """Divide an optimiser step over processes, and each share into micro-batches.

    Every process needs none of the others to know what they do. All have equally many micro-batches, as
    collective operations demand; where the sequences do not suffice, the last are empty.

    Args:
        step: the sequences of the step.
        lengths: tokens of every sequence, by index.
        max_tokens: padded tokens of a micro-batch.
        processes: how many.

    Returns:
        The micro-batches of each process.
    """
    # Dealt out by length, the shares take about equally long.
    order = sorted(step, key=lambda index: (-lengths[index], index))
    dealt = [
        microbatches(order[rank::processes], lengths, max_tokens, MAX_PADDING) for rank in range(processes)
    ]
    most = max(map(len, dealt))
    return [groups + [[]] * (most - len(groups)) for groups in dealt]


def collate(examples: Sequence[Example]) -> Batch:
    """Pad examples to the longest of them."""
    longest = max(len(example.tokens) for example in examples)
    tokens = torch.zeros(len(examples), longest, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    answers = torch.zeros_like(tokens, dtype=torch.bool)
    for row, example in enumerate(examples):
        # Labels go by position, so it does not matter which id padding has, and an end-of-text
        # that is the padding token too stays a label.
        length = len(example.tokens)
        tokens[row, :length] = torch.as_tensor(example.tokens)
        mask[row, :length] = 1
        answers[row, example.answer_start : length] = True
    return Batch(tokens, mask, answers)
