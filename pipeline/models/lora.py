"""LoRA adapters through PEFT: added to a model, and saved so that the same weights give the same bytes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import GenerationConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.errors import WaznError
from pipeline.files import write_json
from pipeline.models.origin import Origin

# Beside an adapter that was trained on 4-bit weights: how these were made.
QUANTISED = "quantization_config.json"

if TYPE_CHECKING:
    from pipeline.config.training import AdapterConfig


def add_lora(model: PreTrainedModel, targets: Sequence[str], config: "AdapterConfig") -> PeftModel:
    """Freeze `model` and put trainable low-rank adapters on the modules named in `targets`.

    Args:
        targets: last part of the modules' names, such as `q_proj`.
        config: rank, scale and dropout.

    Raises:
        WaznError: the model lacks a module of `targets`, or one of them cannot have an adapter.
    """
    modules = dict(model.named_modules())
    last_parts = {name.rpartition(".")[2] for name in modules}
    for target in targets:
        if target not in last_parts:
            linear = sorted({n.rpartition(".")[2] for n, m in modules.items() if hasattr(m, "weight")})
            raise WaznError(
                f"{model.name_or_path}: lora_targets names '{target}', which it does not have; "
                f"its modules with weights are {', '.join(linear)}"
            )
    _refuse_tied(model, targets)
    conv = any(isinstance(m, Conv1D) for n, m in modules.items() if n.rpartition(".")[2] in targets)
    lora = LoraConfig(
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(targets),
        task_type="CAUSAL_LM",
        fan_in_fan_out=conv,
    )
    try:
        adapted = get_peft_model(model, lora)
    except ValueError as error:
        raise WaznError(
            f"{model.name_or_path}: lora_targets ({', '.join(targets)}) names a module that cannot take an "
            "adapter; name linear layers"
        ) from error
    assert isinstance(adapted, PeftModel)
    return adapted


def _refuse_tied(model: PreTrainedModel, targets: Sequence[str]) -> None:
    """Refuse an adapter on either end of a pair of tied weights.

    Merging it would change the other end too, so the model that is evaluated would not be the trained one.
    """
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    if ends[1] is None or ends[0].weight is not ends[1].weight:
        return
    names = {name.rpartition(".")[2] for name, module in model.named_modules() if module in ends}
    tied = sorted(names & set(targets))
    if tied:
        raise WaznError(
            f"{model.name_or_path}: lora_targets names '{tied[0]}', but input embedding and lm_head of "
            "this model are one matrix: merging an adapter on one would change the other; leave it out"
        )


def decoder_of(model: torch.nn.Module) -> PreTrainedModel:
    """The causal language model in `model`, with the layers that PEFT has replaced."""
    decoder = model.get_base_model() if isinstance(model, PeftModel) else model
    assert isinstance(decoder, PreTrainedModel)
    return decoder


def save_trained(
    model: PeftModel | PreTrainedModel,
    state: dict[str, torch.Tensor],
    folder: Path,
    *,
    base: Origin,
    settings: GenerationConfig,
) -> None:
    """Save an adapter, or a whole model, as safetensors; the same weights give the same bytes.

    Args:
        model: gives the configuration; of a PeftModel the adapter is saved.
        state: the trained weights, by their names in `model`.
        folder: is written to.
        base: what an adapter is to be put on.
        settings: with which it answers; the base model's own would end answers elsewhere.
    """
    if not isinstance(model, PeftModel):
        model.generation_config = settings
        # `state` has a tied weight under both of its names.
        tied = model.all_tied_weights_keys
        model.save_pretrained(folder, state_dict={k: v for k, v in state.items() if k not in tied})
        return
    # Of an embedding with an adapter, PEFT would save the frozen matrix too.
    model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
    settings.save_pretrained(folder)
    if quantised := getattr(decoder_of(model).config, "quantization_config", None):
        write_json(folder / QUANTISED, quantised.to_dict())
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.name, "revision": base.commit}
    # PEFT keeps the targets as a set, whose order changes from process to process.
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
