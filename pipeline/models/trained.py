"""Load what `finetune` made, or the base model, to answer with."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import BitsAndBytesConfig, PreTrainedModel

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.inputs import damaged, read_json
from pipeline.models.budgets import refuse_too_large
from pipeline.models.lora import QUANTISED
from pipeline.models.methods import check_quantised
from pipeline.models.runtime import load_decoder


def load_trained(
    model: str,
    arm: str,
    seed: int | None,
    dtype: torch.dtype,
    max_tokens: int,
    attn_implementation: str = "auto",
) -> PreTrainedModel:
    """A model of the project as an arm trained it, in evaluation mode.

    In float32 adapters are merged. In another type they stay beside the weights, in float32: added to
    weights in bfloat16, most of a small change would be rounded away. An adapter that was trained on 4-bit
    weights is put on the same ones, whatever `dtype` is.

    Args:
        model: a model of the registry.
        arm: its arm; `base` for the model before fine-tuning.
        seed: of the training; None for the base model.
        dtype: of the base model's weights, or of all where all were trained.
        max_tokens, attn_implementation: see `load_decoder`.

    Raises:
        WaznError: the base model or what `finetune` made of it is missing or cannot be loaded, or 4-bit
            weights need what is not here.
    """
    base = paths.base_model(model)
    if seed is None:
        return load_decoder(base, dtype, max_tokens, attn_implementation)
    trained = paths.trained_model(arm, model, seed)
    if (trained / "config.json").is_file():
        return load_decoder(trained, dtype, max_tokens, attn_implementation)
    if (trained / QUANTISED).is_file():
        decoder = _load_quantised(base, trained / QUANTISED, dtype, max_tokens, attn_implementation)
        return add_adapter(decoder, trained, merge=False)
    decoder = load_decoder(base, dtype, max_tokens, attn_implementation)
    return add_adapter(decoder, trained, merge=dtype == torch.float32)


def _load_quantised(
    base: Path, note: Path, dtype: torch.dtype, max_tokens: int, attn_implementation: str
) -> PreTrainedModel:
    """The model in `base` with its weights in 4 bits, as `note` says that they were in training.

    The 4-bit numbers depend on the type that they are made from, so that is the one of the training. What
    is computed from them, and the weights that have no 4-bit form, are of `dtype`.
    """
    check_quantised()
    try:
        config = BitsAndBytesConfig.from_dict(read_json(note, dict[str, Any]))
    except (TypeError, ValueError, AttributeError) as error:
        raise damaged(note, "not a quantisation of bitsandbytes") from error
    if not config.load_in_4bit:
        raise damaged(note, "not a quantisation in 4 bits")
    made_from, config.bnb_4bit_compute_dtype = config.bnb_4bit_compute_dtype, dtype
    decoder = load_decoder(base, made_from, max_tokens, attn_implementation, quantization_config=config)
    for parameter in decoder.parameters():
        if parameter.is_floating_point():  # 4-bit numbers are packed into integers
            parameter.data = parameter.data.to(dtype)
    return decoder


def add_adapter(model: PreTrainedModel, folder: Path, *, merge: bool) -> PreTrainedModel:
    """Put the adapter in `folder` on `model`, for inference.

    Args:
        merge: add it to the weights; otherwise layers of PEFT, in float32, stand in for those adapted.

    Raises:
        WaznError: there is no adapter, it cannot be loaded, or the memory does not hold it.
    """
    if not (folder / "adapter_model.safetensors").is_file():
        raise WaznError(f"{folder}: no adapter there; run `dvc repro`, which trains it")
    try:
        adapted = PeftModel.from_pretrained(model, str(folder))
        decoder = adapted.merge_and_unload() if merge else adapted.get_base_model()
    except Exception as error:
        refuse_too_large(folder, error)
        # A damaged file meets several libraries, each with errors of its own kinds.
        raise damaged(folder, f"PEFT cannot load the adapter ({type(error).__name__})") from error
    assert isinstance(decoder, PreTrainedModel)
    return decoder.eval()
