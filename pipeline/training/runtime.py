"""The device, number type and random state that a stage computes with, and how a model is loaded."""

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.errors import WaznError


def device() -> torch.device:
    """The first CUDA device, or the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def torch_dtype(name: str) -> torch.dtype:
    """The number type called `float32`, `bfloat16` or `auto`.

    `auto` is bfloat16 on a GPU that computes in it, else float32: on most CPUs bfloat16 matrix
    products run hundreds of times slower.
    """
    if name == "auto":
        fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def deterministic(seed: int) -> None:
    """Seed every generator, and have torch choose algorithms that repeat to the last bit."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`.

    Raises:
        WaznError: there is none, or it has no end-of-text token.
    """
    tokenizer = _load(AutoTokenizer, folder)
    if tokenizer.eos_token_id is None and tokenizer.sep_token_id is None:
        raise WaznError(f"{folder}: its tokenizer names no end-of-text token, so no answer could end")
    return tokenizer


def load_decoder(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The causal language model in `folder` on `device()`, in evaluation mode.

    Raises:
        WaznError: there is none, or it is not stored as safetensors.
    """
    model = _load(AutoModelForCausalLM, folder, dtype=dtype, use_safetensors=True)
    return model.to(device()).eval()


def _load(kind: Any, folder: Path, **options: Any) -> Any:
    if not (folder / "config.json").is_file():
        raise WaznError(f"{folder}: no model there; run `dvc repro`, which fetches or builds it")
    try:
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0]
        raise WaznError(f"{folder}: transformers cannot load it ({first[:200]})") from error
