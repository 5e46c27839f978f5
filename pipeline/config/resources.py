"""The section `resources`: what changes speed and memory only, so that no stage depends on it."""

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from pipeline.config.base import Positive, Section


def _check_auto(value: Any) -> Any:
    if value == "auto" or (type(value) is int and value > 0):
        return value
    shown = f", found {value!r}" if isinstance(value, str | int | float) else ""
    raise ValueError(f"expected auto or a whole number greater than 0{shown}")


# How attention is computed: `auto`, as transformers chooses for the model; `sdpa`, by torch's fused kernels
# (FlashAttention's is one); `eager`, step by step. The package of FlashAttention is no choice, as its
# dropout is not that of `training/dropout.py`.
Attention = Literal["auto", "sdpa", "eager"]
# A number, or `auto`: then the device decides (`models/microbatches.py`).
Auto = Annotated[int | Literal["auto"], PlainValidator(_check_auto)]


class ScoreResources(Section):
    """Padded tokens that the classifier computes at once."""

    tokens_per_batch: Auto


class TrainResources(Section):
    """How a fine-tuning uses its device.

    Attributes:
        tokens_per_microbatch: padded tokens that a process computes at once.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping them.
        attn_implementation: how attention is computed.
        checkpoint_every: optimiser steps between two checkpoints.
    """

    tokens_per_microbatch: Auto
    gradient_checkpointing: bool
    attn_implementation: Attention
    checkpoint_every: Positive


class EvaluateResources(Section):
    """Questions answered and texts that BERTScore's encoder reads at once; how attention is computed."""

    batch_size: Auto
    bertscore_batch_size: Auto
    attn_implementation: Attention


class JobResources(Section):
    """What a job of a cluster asks for.

    Attributes:
        gpus: of one node.
        cpus: cores, and with them threads.
        minutes: after them it is ended; the stages that have checkpoints are started again.
    """

    gpus: Annotated[int, Field(ge=0)]
    cpus: Positive
    memory_gb: Positive
    minutes: Positive


class SlurmResources(Section):
    """The jobs of stages that compute with a model, and those of the others."""

    gpu: JobResources
    cpu: JobResources


class Resources(Section):
    """Speed and memory, by stage; and the jobs of `wazn run --slurm`."""

    score: ScoreResources
    finetune: TrainResources
    evaluate: EvaluateResources
    slurm: SlurmResources
