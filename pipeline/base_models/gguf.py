"""Convert a GGUF file, as llama.cpp uses them, to float32 safetensors and an ordinary tokenizer."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from pipeline.base_models.distributions import place
from pipeline.base_models.fetch import refuse_missing, refuse_outside
from pipeline.base_models.gguf_header import Header, read_header
from pipeline.errors import WaznError
from pipeline.files import replacing_folder, write_json
from pipeline.hashes import digest

# `<distribution>==<version>/<file>`; anything else is a path.
_OF_DISTRIBUTION = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.!+-]+)/([^/]+)")


def convert(source: str, folder: Path, local: Path, decoder: bool) -> None:
    """Write the model and the tokenizer of the GGUF file that `source` names into `folder`.

    Args:
        source: `gguf:<path>`, a file in `local`, or `gguf:<distribution>==<version>/<file>`, a file of an
            installed Python distribution.
        folder: takes the place of what is there, once all is written.
        local: the folder that DVC watches for `path:` models.
        decoder: whether it is read as a causal language model, else as an encoder.

    Raises:
        WaznError: the file cannot be found or read, or is not one that transformers converts.
    """
    with replacing_folder(folder) as unfinished:
        # transformers looks into the folder of the file for more than the file.
        alone = unfinished / "gguf"
        alone.mkdir()
        print(f"reading {source}", flush=True)
        file = _find(source, alone, local)
        header = read_header(file, source)
        _refuse_unsuitable(header, source)
        note = _note(source, file, header)
        types = ", ".join(f"{count} of {kind}" for kind, count in header.types.items())
        print(f"converting its tensors ({types}) to float32", flush=True)
        model = _load_model(source, file, decoder)
        print(f"saving {model.num_parameters():,} parameters", flush=True)
        model.save_pretrained(unfinished)
        # A large vocabulary takes a gigabyte, and so may the model.
        del model
        print("converting the tokenizer", flush=True)
        _load_tokenizer(source, file, decoder).save_pretrained(unfinished)
        shutil.rmtree(alone)
        write_json(unfinished / "source.json", note)


def _find(source: str, folder: Path, local: Path) -> Path:
    """The file that `source` names, in `folder`: a link to it, or its parts joined."""
    name = source.partition(":")[2]
    if named := _OF_DISTRIBUTION.fullmatch(name):
        return place(source, named[1], named[2], named[3], folder)
    path = next((path for path in (local / name, Path(name)) if path.exists()), None)
    if path is None:
        raise WaznError(
            f"{source}: no such file, nor in {local}; a file of an installed distribution is written "
            "gguf:<distribution>==<version>/<file>"
        )
    if path.is_dir():
        raise WaznError(f"{source}: is a folder; name the .gguf file in it")
    refuse_outside(source, path, local)
    link = folder / path.name
    link.symlink_to(path.resolve())
    return link


def _refuse_unsuitable(header: Header, source: str) -> None:
    """Refuse what is no whole model.

    Raises:
        WaznError: it is an adapter, a vision projector, a piece of a model or the like.
    """
    values = header.values
    if values.get("general.type", "model") != "model":
        raise WaznError(
            f"{source}: holds no language model but what llama.cpp calls {values['general.type']!r}"
        )
    if "general.architecture" not in values or not header.types:
        raise WaznError(
            f"{source}: holds no model (no architecture or no tensors); take another file of the model"
        )
    if (pieces := values.get("split.count", 1)) != 1:
        raise WaznError(
            f"{source}: is one of {pieces} pieces of a model; join them with `llama-gguf-split --merge` "
            "and name the joined file"
        )
    if not values.get("tokenizer.ggml.tokens"):
        raise WaznError(
            f"{source}: holds no tokenizer; take a file of the model with which llama.cpp can generate text"
        )


def _note(source: str, file: Path, header: Header) -> dict[str, Any]:
    """What `source.json` says: where the model is from, and what the file says of itself."""
    described = {key: header.values.get(f"general.{key}") for key in ("architecture", "name", "license")}
    return {
        "source": source,
        "sha256": digest(file, "sha256"),
        **{key: value for key, value in described.items() if value is not None},
        "tensors": header.types,
    }


def _load_model(source: str, file: Path, decoder: bool) -> PreTrainedModel:
    """The model of the file in float32, as if it had never been quantised."""
    with _converting(source, "model"):
        model, info = (AutoModelForCausalLM if decoder else AutoModel).from_pretrained(
            file.parent,
            gguf_file=file.name,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            # Else it only says that there are some.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    refuse_missing(source, info, "its metadata asks for")
    if model.config.is_encoder_decoder:
        raise WaznError(
            f"{source}: has an encoder and a decoder, so it is neither a language model nor an encoder"
        )
    # What is marked as quantised cannot be saved.
    if quantizer := getattr(model, "hf_quantizer", None):
        quantizer.remove_quantization_config(model)
    return model


def _load_tokenizer(source: str, file: Path, decoder: bool) -> PreTrainedTokenizerFast:
    # AutoTokenizer would first read all of the metadata again, which takes ten seconds where the vocabulary
    # is large, to choose a class, which changes no token.
    with _converting(source, "tokenizer"):
        tokenizer = PreTrainedTokenizerFast.from_pretrained(
            file.parent, gguf_file=file.name, local_files_only=True
        )
    if decoder and tokenizer.eos_token_id is None:
        raise WaznError(f"{source}: its tokenizer names no end-of-text token, so no answer could end")
    return tokenizer


@contextmanager
def _converting(source: str, what: str) -> Iterator[None]:
    """Turn whatever transformers says of a file that it does not convert into one sentence."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise WaznError(
            f"{source}: transformers cannot convert its {what} ({reason[:200].rstrip('.')}); take another "
            "file of the model, or its safetensors as hub: or path:"
        ) from error
