"""What a reader should take away, as plain and careful sentences."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from pipeline.severities import SEVERITIES

ALPHA = 0.05
_MINUS = "\u2212"


def signed(value: float) -> str:
    """A difference, with a true minus sign."""
    return f"{value:+.3f}".replace("-", _MINUS)


def probability(value: float | None) -> str:
    """A p-value; a dash where none was computed."""
    if value is None:
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def sign(effect: Mapping[str, Any]) -> int:
    """−1 lower, 1 higher, 0 if neither can be shown.

    Shown is a difference whose interval leaves out 0 and whose corrected p (where there is one) is under
    0.05.
    """
    if effect["low"] <= 0 <= effect["high"]:
        return 0
    p = effect["p_holm"]
    if p is not None and p >= ALPHA:
        return 0
    return -1 if effect["value"] < 0 else 1


def headline(effects: Sequence[Mapping[str, Any]]) -> str:
    """One sentence on the NLL of critical rows, `weighting − uniform`, one effect a model."""
    if not effects:
        return "No critical test complaint, so whether weighting helps them cannot be told."
    signs = [sign(effect) for effect in effects]
    lower, higher, models = signs.count(-1), signs.count(1), len(signs)
    if not lower and not higher:
        return "No effect of severity weighting on critical complaints can be shown."
    way = f"Severity weighting {'lowers' if lower else 'raises'} the loss on critical complaints"
    if models in (lower, higher):
        return f"{way}{_for(models)}."
    rest = f" and raises it for {higher}" if lower and higher else ""
    return f"{way} for {lower or higher} of {models} models{rest}."


def _for(models: int) -> str:
    return "" if models == 1 else f" for {'both' if models == 2 else f'all {models}'} models"


def helps(effects: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> list[str]:
    """How much, in a sentence a model where they are few, else in one.

    Args:
        effects: NLL of critical rows, `weighting − uniform`, one a model.
        titles: what a model is called.
    """
    if not effects:
        return ["There is nothing to compare."]
    if len(effects) > 3:
        values = [effect["value"] for effect in effects]
        return [
            f"Over {len(values)} models the median difference is {signed(median(values))} nats per token, "
            f"the least {signed(min(values))}, the greatest {signed(max(values))}."
        ]
    words = {-1: "lower", 0: "no difference shown", 1: "higher"}
    return [
        f"{titles[effect['model']]}: {signed(effect['value'])} nats per token "
        f"({signed(effect['low'])} to {signed(effect['high'])}), {words[sign(effect)]}."
        for effect in effects
    ]


def whom(effects: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """By severity, for how many models the NLL moves.

    Args:
        effects: severity to its effects, one a model.
    """
    parts, unclear = [], []
    for severity in reversed(SEVERITIES):
        signs = [sign(effect) for effect in effects.get(severity, ())]
        moved = [
            f"{way} for {signs.count(value)} of {len(signs)}"
            for value, way in ((-1, "lower"), (1, "higher"))
            if signs.count(value)
        ]
        name = severity.replace("_", "-")
        if moved:
            parts.append(f"{name.capitalize()}: {', '.join(moved)}.")
        elif signs:
            unclear.append(name)
    if unclear:
        *first, last = unclear
        parts.append(
            f"No difference shown for {', '.join(first)}{' and ' if first else ''}{last} complaints."
        )
    return " ".join(parts) or "No test complaint has a severity."


def sure(models: int, seeds: int, rows: int) -> str:
    """What the intervals hold, and what they do not.

    Args:
        models: how many there are.
        seeds: how many trainings a model and loss had.
        rows: critical test rows.
    """
    corrected = f", Holm-corrected over {models} models" if models > 1 else ""
    training = (
        f"Means over {seeds} training seeds; their spread stands in the tables."
        if seeds > 1
        else "One training seed: chance in training is not in them."
    )
    few = f" Only {rows} critical rows: expect wide intervals." if 0 < rows < 30 else ""
    return f"95 % bootstrap intervals over rows, permutation p{corrected}. {training}{few}"
