"""The device, number type and random state that a stage computes with, and how a model is loaded."""

import copy
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainingArguments,
)

from pipeline.errors import WaznError
from pipeline.inputs import damaged
from pipeline.models.budgets import refuse_too_large
from pipeline.models.products import use_onednn

# Activations that are 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), in GPT-2 and Bloom.
_SPELT_OUT_GELU = ("NewGELUActivation", "BloomGelu")
_OWN_TOKENIZER = "take the tokenizer that the model was trained with"


def device() -> torch.device:
    """This process's CUDA device, or the CPU where there is none."""
    return (
        torch.device("cuda", torch.cuda.current_device())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def on_one_device(arguments: TrainingArguments) -> TrainingArguments:
    """Have the Trainer use one GPU, even where several are visible.

    It would give each a batch of its own, and so train on larger ones than asked for.
    """
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def torch_dtype(name: str) -> torch.dtype:
    """The number type called `float32`, `bfloat16`, `float16` or `auto`.

    `auto` is bfloat16 on a GPU whose hardware computes in it, float16 on an older one (T4, V100), which
    would emulate it, and float32 on a CPU: on most of them bfloat16 matrix products run hundreds of times
    slower.
    """
    if name == "auto" and not torch.cuda.is_available():
        name = "float32"
    elif name == "auto":
        name = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def deterministic(seed: int) -> None:
    """Seed every generator, and have torch choose algorithms that repeat to the last bit.

    An operator without such an algorithm is an error, which `budgets.Budget` answers. Were it a warning
    (`warn_only`), torch would take the backward passes of flash and memory-efficient attention that do not
    repeat, although both have one that does.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # With it torch writes every new tensor twice, to show reads of memory that was never written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the language model in `folder`; see `endings.pad_token_id` for its padding.

    Raises:
        WaznError: there is none, it has no end-of-text token, or it reads text as a token that the
            model's embedding has no row for.
    """
    tokenizer: PreTrainedTokenizerBase = load_pretrained(AutoTokenizer, folder)
    if tokenizer.eos_token_id is None:
        raise WaznError(f"{folder}: its tokenizer names no end-of-text token, so no answer could end")
    _check_rows(folder, tokenizer)
    return tokenizer


def _check_rows(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer with a token of a text, its start or its end beyond the rows of the embedding.

    The model would end in an IndexError, perhaps hours later. Other special tokens may lie there, as
    Gemma 3's soft token for images does: where a text spells one out it is read as text.
    """
    rows = load_pretrained(AutoConfig, folder).get_text_config(decoder=True).vocab_size
    if tokenizer.eos_token_id >= rows:
        raise WaznError(
            f"{folder}: its tokenizer's end-of-text has the id {tokenizer.eos_token_id}, but the model's "
            f"embedding has {rows} rows, so no answer could end; {_OWN_TOKENIZER}"
        )
    special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    around = set(tokenizer("")["input_ids"])
    beyond = sorted(
        index
        for index in tokenizer.get_vocab().values()
        if index >= rows and (index not in special or index in around)
    )
    if beyond:
        raise WaznError(
            f"{folder}: its tokenizer reads text as tokens that the model lacks ({len(beyond)}, from id "
            f"{beyond[0]} on; its embedding has {rows} rows); {_OWN_TOKENIZER}"
        )


def load_decoder(
    folder: Path, dtype: torch.dtype, tokens: int, attn_implementation: str = "auto", **options: Any
) -> PreTrainedModel:
    """The causal language model in `folder` on `device()`, in evaluation mode.

    Args:
        tokens: the longest sequence that it will be given.
        attn_implementation: see `config/resources.py`.
        options: what else transformers is to be told.

    Raises:
        WaznError: there is none, it is not stored as safetensors, it reads fewer tokens, or it has no such
            attention.
    """
    if attn_implementation != "auto":
        options["attn_implementation"] = attn_implementation
    # Quantised weights cannot be moved, so all go to their place at once.
    place = {"": device()} if device().type == "cuda" else None
    try:
        model, loading_info = load_pretrained(
            AutoModelForCausalLM,
            folder,
            dtype=dtype,
            use_safetensors=True,
            device_map=place,
            output_loading_info=True,
            **options,
        )
    except WaznError as error:
        if "attention implementation" not in str(error.__cause__):
            raise
        raise WaznError(
            f"{folder}: transformers has no {attn_implementation} for this architecture; set "
            "attn_implementation in resources to auto"
        ) from error
    # transformers initialises missing weights at random, and says so in a log only.
    missing = loading_info["missing_keys"]
    if missing:
        raise WaznError(
            f"{folder}: its weights lack {len(missing)} that config.json asks for, such as "
            f"{min(missing)}; fetch the model again"
        )
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and context < tokens:
        raise WaznError(
            f"{folder}: reads at most {context} tokens, {tokens} are asked for; lower max_length (and "
            "max_new_tokens) in params.yaml"
        )
    fuse_activations(model)
    use_onednn(model)
    decoder: PreTrainedModel = model.eval()
    return decoder


def fuse_activations(model: torch.nn.Module) -> None:
    """Replace activations that spell out the tanh form of GELU step by step by torch's own function.

    The formula is the same. But each step would keep values for the backward pass, and read and write
    memory.
    """
    for module in model.modules():
        for name, child in module.named_children():
            if type(child).__name__ in _SPELT_OUT_GELU:
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


@contextmanager
def float32_head(model: PreTrainedModel) -> Iterator[None]:
    """While it lasts, a `model` in 16 bits computes its logits with a float32 copy of its lm_head.

    What the model does to logits after the head (scaling, soft-capping) is then in float32 too. Logits near
    -100, as GPT-2's are, lie 0.5 apart in bfloat16. A weight that the head shares with the input embedding
    keeps its type there; an adapter on the head stays.
    """
    head = model.get_output_embeddings()
    # PEFT puts a layer around it.
    head = getattr(head, "base_layer", head)
    if head.weight.dtype.itemsize >= torch.float32.itemsize:
        yield
        return
    exact = copy.deepcopy(head).float()
    own = head.__dict__.get("forward")
    head.forward = lambda states: exact(states.float())
    try:
        yield
    finally:
        del head.forward
        if own is not None:
            head.forward = own


def require_model(folder: Path) -> None:
    """Refuse a folder without a model.

    Raises:
        WaznError: there is none.
    """
    if not (folder / "config.json").is_file():
        raise WaznError(f"{folder}: no model there; run `dvc repro`, which makes it")


def load_pretrained(kind: Any, folder: Path, **options: Any) -> Any:
    """What transformers' class `kind` loads from `folder`: from disk only, and without running its code.

    Raises:
        WaznError: there is no model, it cannot be loaded, or the memory does not hold it.
    """
    require_model(folder)
    try:
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except Exception as error:
        refuse_too_large(folder, error)
        # A damaged file meets many libraries (tokenizers, safetensors, huggingface_hub), each with errors
        # of its own kinds.
        first = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise damaged(folder, f"transformers cannot load it ({first[:200]})") from error
