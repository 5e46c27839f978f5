"""A model, an arm and a seed that somebody names, held against what params.yaml has."""

from pipeline.config.models import ModelEntry
from pipeline.config.params import Params
from pipeline.errors import WaznError
from pipeline.paths import BASE


def chosen_entry(params: Params, model: str) -> ModelEntry:
    """The entry of a model.

    Raises:
        WaznError: the registry has none of that name.
    """
    if model not in params.registry:
        raise WaznError(f"no model '{model}' in registry; it has {', '.join(params.registry)}")
    return params.registry[model]


def check_arm(arm: str, allowed: list[str]) -> None:
    """Refuse an arm that is none of those allowed, by a WaznError."""
    if arm not in allowed:
        raise WaznError(f"no arm '{arm}'; there are {', '.join(allowed)}")


def chosen_seed(params: Params, arm: str, seed: int | None) -> int | None:
    """The seed of a training: the one given, or the first of `seeds`; None for the base model."""
    if arm == BASE:
        return None
    return params.seeds[0] if seed is None else seed
