"""How much is computed at once, and how sequences are grouped so that little is padding."""

from collections.abc import Sequence
from typing import Literal

import torch

# What `auto` in the section `resources` stands for: on a CPU, on a GPU. A CPU gains nothing from large
# matrices and loses time by moving them through memory; a GPU needs them (docs/training.md has figures).
_AUTO = {
    "microbatch_tokens": (256, 16_384),
    "scoring_tokens": (512, 16_384),
    "questions": (32, 128),
    "bertscore_texts": (64, 256),
}
_MAX_PADDING_ON_GPU = 0.5
Resource = Literal["microbatch_tokens", "scoring_tokens", "questions", "bertscore_texts"]


def resolve(value: int | Literal["auto"], resource: Resource) -> int:
    """The number that a value of `resources` means on this machine."""
    if value != "auto":
        return value
    cpu, gpu = _AUTO[resource]
    return gpu if torch.cuda.is_available() else cpu


def max_padding(on_cpu: float) -> float:
    """Share of a micro-batch's tokens that may be padding: `on_cpu`, or one half on a GPU.

    A CPU takes time for every token. A GPU waits for the launches of a small micro-batch, so it gets larger
    ones, of which at least half is text.
    """
    return max(on_cpu, _MAX_PADDING_ON_GPU) if torch.cuda.is_available() else on_cpu


def padded_tokens(group: Sequence[int], lengths: Sequence[int]) -> int:
    """Tokens that a micro-batch of these sequences computes; 0 where there is none."""
    return max((lengths[index] for index in group), default=0) * len(group)


def microbatches(
    indices: Sequence[int], lengths: Sequence[int], max_tokens: int, max_padding: float = 1.0
) -> list[list[int]]:
    """Cut sequences into groups of similar length, each of at most `max_tokens` padded tokens.

    Args:
        indices: the sequences, of an optimiser step for example.
        lengths: tokens of every sequence, by index.
        max_tokens: bound on sequences times longest; a single longer sequence stands alone.
        max_padding: bound on the share of a group's tokens that is padding.
    """
    groups: list[list[int]] = []
    real = 0
    for index in sorted(indices, key=lambda index: (-lengths[index], index)):
        # Longest first: the first of a group sets its padded length.
        padded = lengths[groups[-1][0]] * (len(groups[-1]) + 1) if groups else 0
        if groups and padded <= max_tokens and padded - real - lengths[index] <= max_padding * padded:
            groups[-1].append(index)
            real += lengths[index]
        else:
            groups.append([index])
            real = lengths[index]
    return groups
