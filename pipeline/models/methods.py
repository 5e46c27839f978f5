"""Which weights of a base model are trained: low-rank adapters, adapters on 4-bit weights, or all."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import BitsAndBytesConfig

from pipeline.errors import WaznError
from pipeline.models.lora import add_lora
from pipeline.models.products import use_onednn
from pipeline.models.runtime import device, load_decoder

if TYPE_CHECKING:
    from pipeline.config.training import TrainConfig


def load_trainable(
    folder: Path,
    config: "TrainConfig",
    targets: Sequence[str],
    dtype: torch.dtype,
    attn_implementation: str = "auto",
) -> torch.nn.Module:
    """The model in `folder`; what is to be trained requires a gradient.

    Args:
        folder: as `base_model` writes it.
        config: `method` is `lora`; `qlora`, on weights in 4-bit nf4 (arXiv:2305.14314); or `full`, every
            weight, kept in float32 whatever `dtype` is, as updates are too small for bfloat16.
        targets: see `add_lora`.
        dtype: of frozen weights; 4-bit ones are made from it and computed in it.
        attn_implementation: see `config/resources.py`.

    Raises:
        WaznError: see `load_decoder` and `add_lora`; or `qlora` needs what is not here.
    """
    options: dict[str, Any] = {}
    if config.method == "qlora":
        check_quantised()
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    weights_dtype = torch.float32 if config.method == "full" else dtype
    # Without PEFT's `prepare_model_for_kbit_training`, which puts the lm_head into float32: autocast would
    # copy it for every chunk of logits.
    model = load_decoder(folder, weights_dtype, config.max_length, attn_implementation, **options)
    trainable: torch.nn.Module = model if config.method == "full" else add_lora(model, targets, config.lora)
    use_onednn(trainable)  # adapters too
    return trainable


def check_bitsandbytes(key: str, value: str, instead: str) -> None:
    """Refuse what bitsandbytes computes where it cannot.

    Args:
        key, value: what asks for it in params.yaml; instead: another value, and what is to be known of it.

    Raises:
        WaznError: there is no NVIDIA GPU, or not the package.
    """
    if device().type != "cuda":
        raise WaznError(f"{key}: {value} takes an NVIDIA GPU, and there is none; set it to {instead}")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise WaznError(
            f"{key}: {value} needs the package bitsandbytes; install it (pip install bitsandbytes) or set "
            f"it to {instead}"
        )


def check_quantised() -> None:
    """Refuse 4-bit weights where they cannot be computed with.

    Raises:
        WaznError: see `check_bitsandbytes`.
    """
    check_bitsandbytes(
        "finetune.method", "qlora", "lora (what was trained with qlora is evaluated with it too)"
    )


def count_trainable(model: torch.nn.Module) -> int:
    """Parameters that are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
