"""A model before fine-tuning: fetched, converted, or built from the user's text."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import paths
from pipeline.base_models.fetch import fetch
from pipeline.base_models.gguf import convert
from pipeline.base_models.tiny import build_tiny
from pipeline.models.runtime import deterministic

if TYPE_CHECKING:
    from pipeline.config.models import BaseModelConfig, ModelEntry


def fetch_or_build(
    model: str,
    config: "BaseModelConfig",
    entry: "ModelEntry",
    texts: Callable[[], list[str]],
    *,
    decoder: bool,
) -> None:
    """Write models/base/<model>/.

    Args:
        model: a model of the registry.
        config: where `path:` and `gguf:` models are, and how tiny ones are built.
        entry: names the source: `hub:…`, `path:…` (see `fetch`), `gguf:…` (see `convert`) or
            `tiny:<architecture>`.
        texts: returns the text that a tiny model is trained on; called only where it is needed.
        decoder: whether it is a causal language model, else an encoder.

    Raises:
        WaznError: it cannot be fetched, or the text is missing.
    """
    folder = paths.base_model(model)
    scheme, _, architecture = entry.source.partition(":")
    if scheme == "gguf":
        convert(entry.source, folder, Path(config.folder), decoder)
        return
    if scheme != "tiny":
        fetch(entry.source, folder, Path(config.folder), decoder)
        return
    deterministic(config.seed)
    training_texts = texts()
    print(f"building {model} on {len(training_texts)} training texts")
    build_tiny(architecture, training_texts, config.tiny, config.seed, folder)
