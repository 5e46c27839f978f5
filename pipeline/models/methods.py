"""What of a base model is trained: low-rank adapters, those on 4-bit weights, or all of it."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig

from pipeline.errors import WaznError
from pipeline.models.lora import add_lora
from pipeline.models.runtime import device, load_decoder


def load_trainable(
    base: Path,
    method: str,
    *,
    targets: Sequence[str],
    lora: Mapping[str, Any],
    dtype: torch.dtype,
    tokens: int,
    gradient_checkpointing: bool,
) -> torch.nn.Module:
    """The model in `base`, with what is to be trained requiring a gradient.

    Args:
        base: a folder as `base_model` writes it.
        method: `lora`; `qlora`, on weights in 4-bit nf4 (arXiv:2305.14314); `full`, every weight, kept in
            float32 whatever `dtype` is, as updates are too small for bfloat16.
        targets, lora: see `add_lora`.
        dtype: of frozen weights.
        tokens: the longest sequence it will be given.
        gradient_checkpointing: compute activations anew in the backward pass rather than keep them.

    Raises:
        WaznError: see `load_decoder` and `add_lora`; or `qlora` cannot be had here.
    """
    options: dict[str, Any] = {}
    if method == "qlora":
        _needs_cuda()
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    model = load_decoder(base, torch.float32 if method == "full" else dtype, tokens, **options)
    if method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    trained: torch.nn.Module = model if method == "full" else add_lora(model, targets, **lora)
    return trained


def _needs_cuda() -> None:
    if device().type != "cuda":
        raise WaznError(
            "finetune.method: qlora keeps weights in 4 bits, which takes an NVIDIA GPU, and there is none; "
            "set it to lora"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise WaznError(
            "finetune.method: qlora needs the package bitsandbytes; install it (pip install bitsandbytes) "
            "or set it to lora"
        )


def count_trainable(model: torch.nn.Module) -> int:
    """Parameters that are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
