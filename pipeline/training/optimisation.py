"""The optimiser and the course of its learning rate."""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor
from transformers import get_scheduler

from pipeline.errors import WaznError
from pipeline.models.methods import check_bitsandbytes

if TYPE_CHECKING:
    from pipeline.config.training import TrainConfig

# Of bitsandbytes: smaller tensors keep moments in float32; and numbers that share a scale.
_LEAST_IN_8_BITS, _BLOCK = 4096, 256


def create_optimiser(
    parameters: Sequence[torch.nn.Parameter], config: "TrainConfig"
) -> torch.optim.Optimizer:
    """AdamW (arXiv:1711.05101) or Adafactor (arXiv:1804.04235) of torch, or AdamW of bitsandbytes.

    The last keeps its moments in 8 bits, in blocks with a scale each (arXiv:2110.02861).

    Raises:
        WaznError: one that is not `adamw` for weights that FSDP has divided; or `adamw_8bit` needs what is
            not here.
    """
    options: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    name = config.optimiser
    if name == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **options)
    if any(isinstance(parameter, DTensor) for parameter in parameters):
        raise WaznError(
            f"finetune.optimiser: {name} cannot update weights that FSDP has divided; set it to adamw"
        )
    if name == "adafactor":
        return torch.optim.Adafactor(parameters, **options)
    check_bitsandbytes("finetune.optimiser", name, "adamw, or to adafactor for less memory")
    made: torch.optim.Optimizer = importlib.import_module("bitsandbytes.optim").AdamW8bit(
        parameters, **options
    )
    return made


def state_bytes(optimiser: str, parameters: Sequence[torch.nn.Parameter]) -> int:
    """Memory of an optimiser's states, in bytes.

    AdamW keeps two moments of each number; in 8 bits they take a byte each, but for tensors of less than
    4,096 numbers, whose moments stay in float32. Adafactor keeps a row and a column of each matrix.

    Args:
        optimiser: see `TrainConfig`.
        parameters: what is trained; may be on the device `meta`.
    """
    total = 0
    for parameter in parameters:
        count, size = parameter.numel(), parameter.element_size()
        if optimiser == "adafactor":
            *_, rows, columns = (1, *parameter.shape)
            total += (
                (rows + columns) * (count // (rows * columns)) * size
                if parameter.dim() > 1
                else count * size
            )
        elif optimiser == "adamw_8bit" and count >= _LEAST_IN_8_BITS:
            total += 2 * (count + size * -(-count // _BLOCK))
        else:
            total += 2 * count * size
    return total


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
