"""The optimiser and the course of its learning rate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor
from transformers import get_scheduler

from pipeline.errors import WaznError

if TYPE_CHECKING:
    from pipeline.config.training import TrainConfig


def create_optimiser(
    parameters: Sequence[torch.nn.Parameter], config: "TrainConfig"
) -> torch.optim.Optimizer:
    """AdamW (arXiv:1711.05101) or Adafactor (arXiv:1804.04235), both of torch.

    Raises:
        WaznError: Adafactor for weights that FSDP has divided.
    """
    options: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimiser == "adafactor":
        if any(isinstance(parameter, DTensor) for parameter in parameters):
            raise WaznError(
                "finetune.optimiser: adafactor of torch cannot update weights that FSDP has divided; "
                "set it to adamw"
            )
        return torch.optim.Adafactor(parameters, **options)
    return torch.optim.AdamW(parameters, fused=True, **options)


def create_lr_scheduler(
    optimiser: torch.optim.Optimizer, config: "TrainConfig", steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rate of each of `steps` optimiser steps: warm-up, then as `lr_scheduler` says."""
    name = "constant_with_warmup" if config.lr_scheduler == "constant" else config.lr_scheduler
    lr_scheduler: torch.optim.lr_scheduler.LambdaLR = get_scheduler(
        name,
        optimiser,
        num_warmup_steps=round(config.warmup_ratio * steps),
        num_training_steps=steps,
    )
    return lr_scheduler
