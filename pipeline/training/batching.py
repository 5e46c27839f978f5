"""Which pairs make up an optimiser step, and how a step is cut into micro-batches and over processes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipeline.models.microbatches import max_padding, microbatches
from pipeline.models.prompt import Example

# Share of a micro-batch's tokens that may be padding at most on a CPU, however few sequences a step has.
MAX_PADDING = 0.15


@dataclass(frozen=True)
class Batch:
    """B sequences padded at the right to T tokens.

    Attributes:
        input_ids: token ids, (B, T); padding is 0. A causal model needs no mask for it: no token sees what
            stands to its right.
        completion_mask: True where the token belongs to an answer, (B, T).
    """

    input_ids: torch.Tensor
    completion_mask: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in vars(self).values()))


def optimiser_steps(
    lengths: Sequence[int], batch_size: int, window: int, seed: int, epoch: int
) -> list[list[int]]:
    """Put every sequence into one of the optimiser steps of an epoch, similar lengths together.

    The sequences are shuffled. Within each `window` steps of them they are sorted by length, cut into
    steps, and the steps shuffled. So a step needs little padding, yet its sequences come from everywhere.

    Args:
        lengths: tokens of every sequence.
        batch_size: sequences of a step; one step may have fewer.
        window: number of steps; with 1, every step is drawn at random.
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


def split_across_ranks(
    step: Sequence[int], lengths: Sequence[int], max_tokens: int, num_processes: int
) -> list[list[list[int]]]:
    """Divide an optimiser step over processes, and the part of each into micro-batches.

    Every process can compute the parts of all. All have equally many micro-batches, as collective
    operations demand; where there are too few sequences, the last micro-batches of a process are empty.

    Args:
        step: the sequences of the step.
        lengths: tokens of every sequence, by index.
        max_tokens: padded tokens of a micro-batch.
        num_processes: how many.

    Returns:
        The micro-batches of each process.
    """
    # Dealt out by length, so that the parts take about equally long.
    order = sorted(step, key=lambda index: (-lengths[index], index))
    parts = [
        microbatches(order[rank::num_processes], lengths, max_tokens, max_padding(MAX_PADDING))
        for rank in range(num_processes)
    ]
    most = max(map(len, parts))
    return [groups + [[]] * (most - len(groups)) for groups in parts]


def collate(examples: Sequence[Example]) -> Batch:
    """Pad examples to the longest of them."""
    longest = max(len(example.input_ids) for example in examples)
    input_ids = torch.zeros(len(examples), longest, dtype=torch.long)
    completion_mask = torch.zeros_like(input_ids, dtype=torch.bool)
    for row, example in enumerate(examples):
        # Labels go by position. So it does not matter which id padding has, and an end-of-text that
        # is the padding token too stays a label.
        length = len(example.input_ids)
        input_ids[row, :length] = torch.as_tensor(example.input_ids)
        completion_mask[row, example.prompt_length : length] = True
    return Batch(input_ids, completion_mask)
