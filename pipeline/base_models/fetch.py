"""Copy a real model from the Hub or a folder, as safetensors and without code."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoModel, AutoModelForCausalLM

from pipeline.base_models.hub import download
from pipeline.base_models.loadable import refuse_unloadable
from pipeline.errors import WaznError
from pipeline.files import replacing_folder, write_json

# Configuration and tokenizer in any of their forms; never Python files.
_SMALL = ["*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken"]
# Weights have one of these names, or that of an index which names several files. Others are not read:
# consolidated.safetensors, say, is the same model once more.
_TENSORS, _PICKLE = "model.safetensors", "pytorch_model.bin"
# transformers would put an adapter that lies beside a model into the model.
_ADAPTER, _ADAPTERS = "adapter_config.json", "adapter_"


def fetch(source: str, folder: Path, local: Path, decoder: bool) -> None:
    """Copy the model that `source` names into `folder`.

    Args:
        source: `hub:<id>@<revision>` or `path:<folder>`, the latter in `local`.
        folder: takes the place of what is there, once all is written.
        local: the folder that DVC watches for `path:` models.
        decoder: whether it is read as a causal language model, else as an encoder.

    Raises:
        WaznError: it cannot be reached or found, or is no whole model that transformers reads.
    """
    scheme, _, name = source.partition(":")
    note = {"source": source}
    if scheme == "hub":
        repository, _, revision = name.partition("@")
        original = download(source, repository, revision, _SMALL)
        # The branch may move meanwhile.
        note["commit"] = original.name

        def more(names: list[str]) -> None:
            # With a file that is there, as the library warns where nothing is.
            download(source, repository, original.name, ["config.json", *names])
    else:
        original = _from_path(source, name, local)

        def more(names: list[str]) -> None:
            """They are there, or they are not."""

    weights = _weights(source, original, more)
    with replacing_folder(folder) as unfinished:
        for path in _small(original):
            shutil.copyfile(path, unfinished / path.name)
        if weights[0].name.startswith(_PICKLE):
            _resave(source, original, weights, unfinished, decoder)
        else:
            for path in weights:
                shutil.copyfile(path, unfinished / path.name)
        refuse_unloadable(source, unfinished, decoder)
        write_json(unfinished / "source.json", note)


def _from_path(source: str, name: str, local: Path) -> Path:
    candidates = (local / name, Path(name))
    folder = next(
        (path for path in candidates for file in ("config.json", _ADAPTER) if (path / file).is_file()), None
    )
    if folder is None:
        raise WaznError(f"{source}: no folder with a config.json there, nor in {local}")
    refuse_outside(source, folder, local)
    return folder


def refuse_outside(source: str, path: Path, local: Path) -> None:
    """Refuse a model outside `local`, the folder that DVC watches.

    Raises:
        WaznError: `path`, or what it links to, lies outside.
    """
    if not path.resolve().is_relative_to(local.resolve()):
        raise WaznError(
            f"{source}: lies outside {local}, so DVC would not notice when it changes; "
            "move it there, or set base_model.folder and base_encoder.folder to the folder it is in"
        )


def refuse_missing(source: str, info: dict[str, Any], asks: str) -> None:
    """Refuse a model with missing weights, which transformers initialises at random and only logs.

    Args:
        info: what `from_pretrained` returns for `output_loading_info`.
        asks: what says that there should be more, such as `config.json asks for`.

    Raises:
        WaznError: weights are missing, or have other shapes than they should.
    """
    if missing := info["missing_keys"]:
        raise WaznError(f"{source}: its weights lack {len(missing)} that {asks}, such as {min(missing)}")
    if mismatched := info["mismatched_keys"]:
        # Each is a name with two shapes.
        raise WaznError(
            f"{source}: {len(mismatched)} of its weights have other shapes than {asks}, such as "
            f"{min(mismatched)[0]}"
        )


def _weights(source: str, original: Path, more: Callable[[list[str]], None]) -> list[Path]:
    """The files of weights: safetensors where there are any, or else pickles; an index first.

    Args:
        original: the folder with the small files.
        more: brings files with these names there, as far as there are such.

    Raises:
        WaznError: it holds an adapter, no weights or not all of them.
    """
    if not (original / "config.json").is_file():
        raise WaznError(f"{source}: {_instead(original)}")
    for whole in (_TENSORS, _PICKLE):
        more([whole])
        if (original / whole).is_file():
            return [original / whole]
        index = original / f"{whole}.index.json"
        if index.is_file():
            names = _shards(source, index)
            more(names)
            if missing := [name for name in names if not (original / name).is_file()]:
                raise WaznError(
                    f"{source}: lacks {len(missing)} of the {len(names)} files that {index.name} names, "
                    f"such as {missing[0]}"
                )
            return [index, *(original / name for name in names)]
    raise WaznError(
        f"{source}: holds neither {_TENSORS} nor {_PICKLE}, whole or in parts; weights in other forms "
        "(TensorFlow, Flax, GGUF of the Hub) are not read"
    )


def _instead(original: Path) -> str:
    """What a repository without config.json is."""
    try:
        base = json.loads((original / _ADAPTER).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        return "has no config.json, so it is no model that transformers reads"
    return (
        f"holds an adapter ({_ADAPTER}), not a model; name the model that it is for ({base}), or merge the "
        "two first (merge_and_unload of PEFT)"
    )


def _shards(source: str, index: Path) -> list[str]:
    """The names of the files that an index names.

    Raises:
        WaznError: it is damaged, or names a file elsewhere.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        elsewhere = [name for name in names if Path(name).name != name]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise WaznError(f"{source}: {index.name} is damaged; fetch it again") from error
    if elsewhere or not names:
        raise WaznError(f"{source}: {index.name} names files that do not lie beside it, or none")
    return names


def _small(original: Path) -> list[Path]:
    """Configuration and tokenizer: what is copied, and what pickles are read with."""
    return sorted(
        path
        for pattern in _SMALL
        for path in original.glob(pattern)
        if not path.name.startswith((".", _ADAPTERS)) and not path.name.endswith(".index.json")
    )


def _resave(source: str, original: Path, pickles: list[Path], folder: Path, decoder: bool) -> None:
    """Read pickled weights with torch's weights-only loader and write safetensors."""
    kind = AutoModelForCausalLM if decoder else AutoModel
    with tempfile.TemporaryDirectory() as scratch:
        for path in [*_small(original), *pickles]:
            (Path(scratch) / path.name).symlink_to(path.resolve())
        try:
            model, info = kind.from_pretrained(
                scratch,
                use_safetensors=False,
                weights_only=True,
                trust_remote_code=False,
                dtype="auto",
                output_loading_info=True,
            )
        except Exception as error:
            raise WaznError(
                f"{source}: its pickled weights could not be read by the weights-only loader "
                f"({type(error).__name__})"
            ) from error
        # An encoder's checkpoint may lack its pooler, which nobody uses.
        if decoder:
            refuse_missing(source, info, "config.json asks for")
        model.save_pretrained(folder)
