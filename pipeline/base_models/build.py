"""A base model: fetched from the Hub or a folder, or built on the spot."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.base_models.fetch import fetch
from pipeline.base_models.tiny import Shape, build
from pipeline.models.runtime import deterministic


def fetch_or_build(
    source: str,
    folder: Path,
    local: Path,
    texts: Callable[[], list[str]],
    shape: Mapping[str, Any],
    seed: int,
    decoder: bool,
) -> None:
    """Put the model that `source` names into `folder`.

    Args:
        source: `hub:…` or `path:…` (see `fetch`), or `tiny:<architecture>`.
        folder: must not exist or be empty.
        local: the folder that DVC watches for `path:` models.
        texts: gives the text that a tiny model is trained on.
        shape: of a tiny model, see `Shape`.
        seed: of a tiny model.
        decoder: whether it is a causal language model, else an encoder.

    Raises:
        WaznError: it cannot be fetched, or the text is missing.
    """
    scheme, _, architecture = source.partition(":")
    if scheme != "tiny":
        fetch(source, folder, local, decoder)
        return
    deterministic(seed)
    found = texts()
    print(f"building {folder.name} on {len(found)} training texts")
    build(architecture, found, Shape(**shape), seed, folder)
