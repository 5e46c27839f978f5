"""LoRA adapters through PEFT: put on, saved in a form that repeats, taken up again."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.errors import WaznError
from pipeline.models.runtime import load_decoder


def add_lora(
    model: PreTrainedModel, targets: Sequence[str], r: int, alpha: float, dropout: float
) -> PeftModel:
    """Freeze `model` and put trainable low-rank adapters on the modules named in `targets`.

    Args:
        targets: last part of the modules' names, such as `q_proj`.
        r, alpha, dropout: rank, scale (applied as alpha / r) and dropout of arXiv:2106.09685.

    Raises:
        WaznError: the model lacks a module of `targets`.
    """
    modules = dict(model.named_modules())
    last_parts = {name.rpartition(".")[2] for name in modules}
    for target in targets:
        if target not in last_parts:
            linear = sorted({n.rpartition(".")[2] for n, m in modules.items() if hasattr(m, "weight")})
            raise WaznError(
                f"{model.name_or_path}: lora_targets names '{target}', which this model has not; "
                f"its modules with weights are {', '.join(linear)}"
            )
    conv = any(isinstance(m, Conv1D) for n, m in modules.items() if n.rpartition(".")[2] in targets)
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=list(targets),
        task_type="CAUSAL_LM",
        fan_in_fan_out=conv,
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise WaznError(
            f"{model.name_or_path}: lora_targets ({', '.join(targets)}) names a module that cannot take an "
            "adapter; name linear layers"
        ) from error
    assert isinstance(adapted, PeftModel)
    return adapted


def save_trained(model: PeftModel | PreTrainedModel, state: dict[str, torch.Tensor], folder: Path) -> None:
    """Save an adapter, or a whole model, as safetensors; the same weights give the same bytes.

    Args:
        model: says what it is of; a PeftModel is saved as its adapter.
        state: the trained weights, by their names in `model`.
        folder: where to.
    """
    if not isinstance(model, PeftModel):
        # A tied weight is there under both of its names.
        tied = model.all_tied_weights_keys
        model.save_pretrained(folder, state_dict={k: v for k, v in state.items() if k not in tied})
        return
    model.save_pretrained(folder, state_dict=state)
    # PEFT keeps the targets as a set, whose order changes from process to process.
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_run(base: Path, folder: Path | None, dtype: torch.dtype, tokens: int) -> PreTrainedModel:
    """A model to answer with: the base model, or what `finetune` made of it.

    Args:
        base: the base model's folder.
        folder: what `finetune` wrote, an adapter or a whole model; None for the base model as it is.
        dtype, tokens: see `load_decoder`.

    Raises:
        WaznError: one of them is missing or cannot be loaded.
    """
    if folder and (folder / "config.json").is_file():
        return load_decoder(folder, dtype, tokens)
    model = load_decoder(base, dtype, tokens)
    return load_adapter(model, folder) if folder else model


def load_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Put the adapter in `folder` on `model` and merge it into the weights, for inference.

    Raises:
        WaznError: there is no adapter.
    """
    if not (folder / "adapter_model.safetensors").is_file():
        raise WaznError(f"{folder}: no adapter there; run `dvc repro`, which trains it")
    merged = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    assert isinstance(merged, PreTrainedModel)
    return merged.eval()
