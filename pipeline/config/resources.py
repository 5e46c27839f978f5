"""The section `resources`: what changes speed and memory only, so that no stage depends on it."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import Positive, Section

Auto = Literal["auto"] | Annotated[int, Field(gt=0)]


class ScoreResources(Section):
    """Padded tokens that the classifier computes at once; `auto`: see `models/microbatches.py`."""

    tokens_per_batch: Auto


class TrainResources(Section):
    """How a fine-tuning uses its device.

    Attributes:
        tokens_per_microbatch: padded tokens that a process computes at once; `auto`: see
            `models/microbatches.py`.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping them.
        checkpoint_every: optimiser steps between two checkpoints.
    """

    tokens_per_microbatch: Auto
    gradient_checkpointing: bool
    checkpoint_every: Positive


class EvaluateResources(Section):
    """Questions answered at once, and texts that the encoder of BERTScore reads at once."""

    batch_size: Auto
    bertscore_batch_size: Auto


class Resources(Section):
    """Speed and memory, by stage."""

    score: ScoreResources
    finetune: TrainResources
    evaluate: EvaluateResources
