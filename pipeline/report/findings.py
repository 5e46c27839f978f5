"""The verdict of the page, in sentences that claim no more than the statistics show."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from pipeline.severities import SEVERITIES

# An effect is a row of the table of differences, as a dictionary.
Effect = Mapping[str, Any]

SIGNIFICANCE = 0.05
_MINUS = "\u2212"


def signed(value: float) -> str:
    """A difference with three decimals, or four where it is small, and a true minus sign."""
    decimals = 4 if 0 < abs(value) < 0.00495 else 3
    return f"{value:+.{decimals}f}".replace("-", _MINUS)


def probability(value: float | None) -> str:
    """A p-value; a dash where none was computed."""
    if value is None:
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def sign(effect: Effect) -> int:
    """-1 for a difference shown to be lower, 1 for higher, 0 if neither is shown.

    A difference is shown if its interval leaves out 0 and its corrected p (where there is one) is under
    `SIGNIFICANCE`.
    """
    if effect["low"] <= 0 <= effect["high"]:
        return 0
    p = effect["p_holm"]
    if p is not None and p >= SIGNIFICANCE:
        return 0
    return -1 if effect["value"] < 0 else 1


def headline(effects: Sequence[Effect], seeds: int) -> str:
    """One sentence on whether weighting helps.

    Args:
        effects: NLL of critical rows, `weighting` less `uniform`, one effect for each model.
        seeds: trainings of each arm. The intervals cover the choice of test rows; what another training
            would give, one training cannot tell.
    """
    if not effects:
        return "No critical test complaint, so whether weighting helps them cannot be told."
    if seeds < 2:
        return "One training of each arm cannot tell whether severity weighting helps."
    signs = [sign(effect) for effect in effects]
    lower, higher, models = signs.count(-1), signs.count(1), len(signs)
    if not lower and not higher:
        return "No effect of severity weighting on critical complaints can be shown."
    start = f"Severity weighting {'lowers' if lower else 'raises'} the loss on critical complaints"
    if models in (lower, higher):
        every = "" if models == 1 else " for both models" if models == 2 else f" for all {models} models"
        return f"{start}{every}."
    rest = f" and raises it for {higher}" if lower and higher else ""
    return f"{start} for {lower or higher} of {models} models{rest}."


def effect_sentences(effects: Sequence[Effect], titles: Mapping[str, str]) -> list[str]:
    """The size of the effects: a sentence for each model if there are at most three, else one for all.

    Args:
        effects: as in `headline`.
        titles: title by model.
    """
    if not effects:
        return ["There is nothing to compare."]
    if len(effects) > 3:
        values = [effect["value"] for effect in effects]
        return [
            f"Over {len(values)} models the median difference is {signed(median(values))} nats per token; "
            f"the differences go from {signed(min(values))} to {signed(max(values))}."
        ]
    words = {-1: "lower", 0: "no difference shown", 1: "higher"}
    return [
        f"{titles[effect['model']]}: {signed(effect['value'])} nats per token "
        f"({signed(effect['low'])} to {signed(effect['high'])}), {words[sign(effect)]}."
        for effect in effects
    ]


def overview(effects: Sequence[Effect]) -> dict[str, Any] | None:
    """How many models an arm lowers and raises, how many show no difference, and the median difference.

    Args:
        effects: of one comparison, metric and group, one for each model.

    Returns:
        `lower`, `higher`, `unclear` and `median`; None if there is no effect.
    """
    if not effects:
        return None
    signs = [sign(effect) for effect in effects]
    return {
        "lower": signs.count(-1),
        "higher": signs.count(1),
        "unclear": signs.count(0),
        "median": median(effect["value"] for effect in effects),
    }


def by_severity(effects: Mapping[str, Sequence[Effect]]) -> str:
    """For how many models the NLL of each severity differs.

    Args:
        effects: severity to its effects, one for each model.
    """
    sentences, unclear = [], []
    for severity in reversed(SEVERITIES):
        signs = [sign(effect) for effect in effects.get(severity, ())]
        shown = [
            f"{word} for {signs.count(value)} of {len(signs)}"
            for value, word in ((-1, "lower"), (1, "higher"))
            if signs.count(value)
        ]
        name = severity.replace("_", "-")
        if shown:
            sentences.append(f"{name.capitalize()}: {', '.join(shown)}.")
        elif signs:
            unclear.append(name)
    if unclear:
        *first, last = unclear
        listed = f"{', '.join(first)}{' and ' if first else ''}{last}"
        sentences.append(f"No difference shown for {listed} complaints.")
    return " ".join(sentences) or "No test complaint has a severity."


def certainty(models: int, seeds: int, critical_rows: int) -> str:
    """What the intervals cover, and what they do not.

    Args:
        models: number of models.
        seeds: number of training seeds of each model and arm.
        critical_rows: number of critical test rows.
    """
    corrected = f", Holm-corrected over {models} models" if models > 1 else ""
    training = (
        f"Means over {seeds} training seeds; the tables show their spread."
        if seeds > 1
        else "One training seed: the intervals do not cover chance in training."
    )
    few = f" Only {critical_rows} critical rows: expect wide intervals." if 0 < critical_rows < 30 else ""
    return f"95 % bootstrap intervals over rows, permutation p{corrected}. {training}{few}"
