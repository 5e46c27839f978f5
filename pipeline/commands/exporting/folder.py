"""Write a trained model into a folder that stands alone."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from transformers import GenerationConfig, PreTrainedModel

from pipeline import paths
from pipeline.commands.exporting.card import card
from pipeline.commands.exporting.exported import Exported
from pipeline.commands.exporting.note import NOTE, refuse_foreign
from pipeline.commands.exporting.sharing import licences_of
from pipeline.errors import WaznError
from pipeline.files import replacing_folder, write_json
from pipeline.inputs import read_json
from pipeline.models.chat_template import chat_template, response_template
from pipeline.models.lora import QUANTISED
from pipeline.models.origin import Origin, origin
from pipeline.models.runtime import load_tokenizer, torch_dtype
from pipeline.models.trained import load_trained
from pipeline.shapes import Shape

if TYPE_CHECKING:
    from pipeline.config.params import Params

# What transformers keeps of how a tokenizer was loaded.
_OF_LOADING = ("is_local", "local_files_only", "trust_remote_code")
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")


class Settings(Shape):
    """What is needed of the generation_config.json that `finetune` wrote."""

    eos_token_id: Annotated[list[int], Field(min_length=1)]
    pad_token_id: int


def write(folder: Path, params: "Params", model: str, arm: str, seed: int, dtype: str | None) -> None:
    """Write the folder, which takes the place of an export that is there.

    Args:
        folder: gets model or adapter, tokenizer, chat template, generation settings, card and `NOTE`.
        dtype: of the merged weights, `float32`, `bfloat16` or `float16`; None for the adapter.

    Raises:
        WaznError: what it is made of is missing or damaged, it cannot be exported so, or something else
            stands in the folder's place.
    """
    refuse_foreign(folder)
    entry, evaluate = params.registry[model], params.evaluate
    base, trained = paths.base_model(model), paths.trained_model(arm, model, seed)
    found_in = origin(base)
    _refuse_impossible(trained, found_in, entry.source, dtype)
    tokenizer = load_tokenizer(base)
    # A base model's own template would ask in another way than training did.
    tokenizer.chat_template = chat_template(tokenizer)
    # Token types, which some tokenizers make of everything, are nothing to a decoder, or harm it.
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    for name in _OF_LOADING:
        tokenizer.init_kwargs.pop(name, None)
    ends = read_json(trained / "generation_config.json", Settings)
    if tokenizer.chat_template is not None:
        tokenizer.response_template = response_template(
            tokenizer.convert_ids_to_tokens(ends["eos_token_id"])
        )
    settings = GenerationConfig(
        do_sample=False,
        eos_token_id=ends["eos_token_id"],
        pad_token_id=ends["pad_token_id"],
        max_new_tokens=evaluate.max_new_tokens,
    )
    licences = licences_of(entry, params.download.pairs)
    exported = Exported(
        model, arm, seed, entry.title, entry.source, found_in, dtype, tokenizer.chat_template is not None
    )
    text = card(exported, evaluate, licences)
    merged = None
    if dtype is not None:
        max_tokens = evaluate.max_length + evaluate.max_new_tokens
        merged = _rounded(load_trained(model, arm, seed, torch.float32, max_tokens), dtype)
    with replacing_folder(folder) as unfinished:
        if merged is None:
            for name in (*_ADAPTER, *([QUANTISED] if (trained / QUANTISED).is_file() else [])):
                shutil.copyfile(trained / name, unfinished / name)
            settings.save_pretrained(unfinished)
        else:
            merged.generation_config = settings
            merged.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        (unfinished / "README.md").write_text(text, encoding="utf-8")
        # safetensors writes files that only their owner may read.
        for weights in unfinished.glob("*.safetensors"):
            shutil.copymode(unfinished / "README.md", weights)
        write_json(
            unfinished / NOTE,
            {"model": model, "arm": arm, "seed": seed, "dtype": dtype, "licences": dict(licences)},
        )
    if not exported.has_template:
        print(f"{folder}: has no chat template; this tokenizer would read one otherwise than in training")
    print(f"{folder}: {model} {arm} {seed}, {'adapter' if dtype is None else f'merged, {dtype}'}")


def _refuse_impossible(trained: Path, found_in: Origin, source: str, dtype: str | None) -> None:
    if not trained.is_dir():
        raise WaznError(f"{trained}: no model there; run `dvc repro`, which trains it")
    if dtype is None:
        if (trained / "config.json").is_file():
            raise WaznError(
                f"{trained}: all weights were trained, so there is no adapter; leave --adapter out"
            )
        if found_in.commit is None:
            raise WaznError(
                f"{trained}: its base model ({source}) is on no Hub, so nobody else could put the adapter "
                "on it; leave --adapter out"
            )
    elif (trained / QUANTISED).is_file():
        raise WaznError(
            f"{trained}: was trained on weights in 4 bits, and would answer otherwise merged into others; "
            "export the adapter, with --adapter"
        )


def _rounded(model: PreTrainedModel, dtype: str) -> PreTrainedModel:
    """The model with weights of this type.

    Raises:
        WaznError: a weight is beyond it.
    """
    rounded: PreTrainedModel = model.to(torch_dtype(dtype))
    if not all(parameter.isfinite().all() for parameter in rounded.parameters()):
        raise WaznError(
            f"weights of this model are beyond {dtype}; export it with --dtype bfloat16 or float32"
        )
    return rounded
