"""Load what `finetune` made, or the base model, to answer with."""

from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.inputs import damaged
from pipeline.models.runtime import load_decoder


def load_trained(
    model: str, arm: str, seed: int | None, dtype: torch.dtype, max_tokens: int
) -> PreTrainedModel:
    """A model of the project as an arm trained it, in evaluation mode.

    In float32 adapters are merged. In another type they stay beside the weights, in float32: added to
    weights in bfloat16, most of a small change would be rounded away.

    Args:
        model: a model of the registry.
        arm: its arm; `base` for the model before fine-tuning.
        seed: of the training; None for the base model.
        dtype: of the base model's weights, or of all where all were trained.
        max_tokens: see `load_decoder`.

    Raises:
        WaznError: the base model or what `finetune` made of it is missing or cannot be loaded.
    """
    base = paths.base_model(model)
    if seed is None:
        return load_decoder(base, dtype, max_tokens)
    trained = paths.trained_model(arm, model, seed)
    if (trained / "config.json").is_file():
        return load_decoder(trained, dtype, max_tokens)
    return add_adapter(load_decoder(base, dtype, max_tokens), trained, merge=dtype == torch.float32)


def add_adapter(model: PreTrainedModel, folder: Path, *, merge: bool) -> PreTrainedModel:
    """Put the adapter in `folder` on `model`, for inference.

    Args:
        merge: add it to the weights; otherwise layers of PEFT, in float32, stand in for those adapted.

    Raises:
        WaznError: there is no adapter, or it cannot be loaded.
    """
    if not (folder / "adapter_model.safetensors").is_file():
        raise WaznError(f"{folder}: no adapter there; run `dvc repro`, which trains it")
    try:
        adapted = PeftModel.from_pretrained(model, str(folder))
        decoder = adapted.merge_and_unload() if merge else adapted.get_base_model()
    except Exception as error:
        # A damaged file meets several libraries, each with errors of its own kinds.
        raise damaged(folder, f"PEFT cannot load the adapter ({type(error).__name__})") from error
    assert isinstance(decoder, PreTrainedModel)
    return decoder.eval()
