"""Copy a real model from the Hub or a folder, as safetensors and without code."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError
from transformers import AutoModel, AutoModelForCausalLM

from pipeline.errors import WaznError
from pipeline.files import write_json

# Configuration and tokenizer in any of their forms; never Python files.
_SMALL = ["*.json", "*.txt", "*.model", "*.jinja"]
_TENSORS = ["*.safetensors"]
_PICKLES = ["pytorch_model*.bin"]


def fetch(source: str, folder: Path, local: Path, decoder: bool) -> None:
    """Copy the model that `source` names into `folder`.

    Args:
        source: `hub:<id>@<revision>` or `path:<folder>`, the latter in `local`.
        folder: must not exist or be empty.
        local: the folder that DVC watches for `path:` models.
        decoder: whether it is read as a causal language model (else as an encoder), which
            matters only where its weights are pickled.

    Raises:
        WaznError: it cannot be reached or found, or holds no weights.
    """
    scheme, _, name = source.partition(":")
    if scheme == "hub":
        repository, _, revision = name.partition("@")
        original = _from_hub(repository, revision)
        # The Hub's cache names the folder of a snapshot by its commit.
        note = {"source": source, "commit": original.name}
    else:
        original = _from_path(source, name, local)
        note = {"source": source}
    folder.mkdir(parents=True, exist_ok=True)
    for path in _matching(original, _SMALL):
        shutil.copyfile(path, folder / path.name)
    tensors = _matching(original, _TENSORS)
    for path in tensors:
        shutil.copyfile(path, folder / path.name)
    if not tensors:
        _resave(source, original, folder, decoder)
    write_json(folder / "source.json", note)


def _from_hub(repository: str, revision: str) -> Path:
    try:
        # Small files and safetensors first; only a repository without those gives its pickles.
        snapshot = Path(snapshot_download(repository, revision=revision, allow_patterns=_SMALL + _TENSORS))
        if not _matching(snapshot, _TENSORS):
            snapshot_download(repository, revision=revision, allow_patterns=_PICKLES)
    except RepositoryNotFoundError as error:
        raise WaznError(f"hub:{repository}: no such model, or it asks for an account") from error
    except Exception as error:
        # The Hub's library, its HTTP library and the sockets below it each have their own kinds of errors.
        raise WaznError(
            f"hub:{repository}@{revision}: could not be fetched ({type(error).__name__}); "
            "check the network and the revision, then run the stage again"
        ) from error
    return snapshot


def _from_path(source: str, name: str, local: Path) -> Path:
    candidates = (local / name, Path(name))
    folder = next((path for path in candidates if (path / "config.json").is_file()), None)
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


def _resave(source: str, original: Path, folder: Path, decoder: bool) -> None:
    """Read pickled weights with torch's weights-only loader and write safetensors."""
    pickles = _matching(original, _PICKLES)
    if not pickles:
        raise WaznError(f"{source}: holds neither safetensors nor pytorch_model.bin")
    kind = AutoModelForCausalLM if decoder else AutoModel
    with tempfile.TemporaryDirectory() as scratch:
        for path in [*_matching(original, ["*.json"]), *pickles]:
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


def _matching(folder: Path, patterns: list[str]) -> list[Path]:
    return sorted(
        path for pattern in patterns for path in folder.glob(pattern) if not path.name.startswith(".")
    )
