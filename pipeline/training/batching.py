"""Which pairs make up an optimiser step, and how a step is cut into micro-batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipeline.training.prompt import Example


@dataclass(frozen=True)
class Batch:
    """B sequences padded at the right to T tokens.

    Attributes:
        tokens: token ids, (B, T); padding is 0 and never read.
        mask: 1 where there is a token, (B, T).
        answers: True where the token belongs to an answer, (B, T).
        weights: severity weight of each sequence, (B,), float32.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    answers: torch.Tensor
    weights: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in vars(self).values()))


def optimiser_steps(count: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Cut a shuffle of `count` sequences into steps of `batch_size`; the last may be smaller."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator).tolist()
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


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
    return Batch(tokens, mask, answers, torch.tensor([example.weight for example in examples]))
