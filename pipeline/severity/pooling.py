"""One vector for a text, where an encoder was not trained to give one by its first token."""

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel


def needs_mean(folder: Path, missing: set[str]) -> bool:
    """Whether the encoder in `folder` has no pooler of its own to fine-tune.

    transformers makes the pooler of a BERT from the state of the first token, and one at random where the
    weights have none. Encoders of sentences, which `modules.json` tells, were trained on the mean of all
    states; a pooler that they still have was not.

    Args:
        missing: names of the weights that `folder` lacks.
    """
    return (folder / "modules.json").is_file() or any(".pooler." in f".{name}" for name in missing)


def pool_by_mean(model: PreTrainedModel) -> None:
    """Have `model`, a classifier of sequences, classify the mean of the states of a text's tokens.

    A model without a pooler is left as it is.
    """
    encoder = model.base_model
    if getattr(encoder, "pooler", None) is None:
        return
    encoder.pooler = _Mean()
    encoder.register_forward_pre_hook(encoder.pooler.note_mask, with_kwargs=True)


class _Mean(torch.nn.Module):
    """In place of a pooler: states (B, T, H) to their mean over the tokens that are no padding, (B, H)."""

    def note_mask(self, _module: torch.nn.Module, _arguments: Any, named: dict[str, Any]) -> None:
        """Keep the mask of a batch, which the encoder does not hand on to its pooler."""
        self._mask = named["attention_mask"]

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The mean of each text's states, under the mask that was noted."""
        mask = self._mask[..., None].to(states.dtype)
        mean: torch.Tensor = (states * mask).sum(dim=1) / mask.sum(dim=1)
        return mean
