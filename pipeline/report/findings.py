"""The verdict of the page, in sentences that claim no more than the statistics show."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from pipeline.evaluation.groups import ALL
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.placebos import NEEDED, SIGNIFICANCE
from pipeline.report.arms import WEIGHTING
from pipeline.severities import SEVERITIES

if TYPE_CHECKING:
    from pipeline.config.evaluation import PrimaryConfig
    from pipeline.config.training import ArmConfig

# An effect is a row of the table of differences, as a dictionary.
Effect = Mapping[str, Any]

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

    A difference is shown if its p, corrected for the number of differences, is under `SIGNIFICANCE`. With
    one training seed there is no p, and nothing is shown.
    """
    p = effect["p_adjusted"]
    if p is None or p >= SIGNIFICANCE:
        return 0
    return -1 if effect["value"] < 0 else 1


def claimed(effect: Effect, placebo: Mapping[str, Any] | None) -> int:
    """As `sign`, but 0 where the arm has placebos enough to tell, and does not stand out among them.

    Args:
        effect: of the primary endpoint.
        placebo: `p` and `count` of the arm's placebos, None where it has none.
    """
    if placebo is not None and placebo["count"] >= NEEDED and placebo["p"] > SIGNIFICANCE:
        return 0
    return sign(effect)


def subject(primary: "PrimaryConfig", arm: "ArmConfig") -> str:
    """What the headline is about: severity weighting, an arm by its name, or a placebo."""
    if arm.permute is not None:
        return f"the placebo {primary.arm}"
    return "severity weighting" if primary.arm == WEIGHTING else f"the arm {primary.arm}"


def endpoint(primary: "PrimaryConfig") -> str:
    """The primary metric on its group, such as `the loss on critical complaints`."""
    metric = "the loss" if primary.metric == "nll" else METRICS[primary.metric].title
    return f"{metric} on {_group(primary.group)} complaints"


def headline(
    effects: Sequence[Effect],
    seeds: int,
    primary: "PrimaryConfig",
    arm: "ArmConfig",
    placebos: Mapping[str, Mapping[str, Any]],
) -> str:
    """One sentence on whether weighting helps: about the primary endpoint alone.

    Args:
        effects: the primary endpoint, one effect for each model.
        seeds: trainings of each arm. What another training would give, one training cannot tell.
        primary: names the endpoint; arm: the settings of its arm.
        placebos: by model, see `claimed`.
    """
    about = subject(primary, arm)
    if not effects:
        none = f"No {_group(primary.group)} test complaint"
        return f"{none}, so whether {about.removeprefix('severity ')} helps them cannot be told."
    if seeds < 2:
        return f"One training of each arm cannot tell whether {about} helps."
    signs = [claimed(effect, placebos.get(effect["model"])) for effect in effects]
    lower, higher, models = signs.count(-1), signs.count(1), len(signs)
    if not lower and not higher:
        if any(sign(effect) for effect in effects):
            return f"{_upper(about)} changes {endpoint(primary)}, but no more than its placebos do."
        return f"No effect of {about} on {endpoint(primary).partition(' on ')[2]} can be shown."
    start = f"{_upper(about)} {'lowers' if lower else 'raises'} {endpoint(primary)}"
    if models in (lower, higher):
        every = "" if models == 1 else " for both models" if models == 2 else f" for all {models} models"
        return f"{start}{every}."
    rest = f" and raises it for {higher}" if lower and higher else ""
    return f"{start} for {lower or higher} of {models} models{rest}."


def effect_sentences(
    effects: Sequence[Effect], titles: Mapping[str, str], unit: str, seeds: int
) -> list[str]:
    """The size of the effects: a sentence for each model if there are at most three, else one for all.

    Args:
        effects: as in `headline`.
        titles: title by model.
        unit: of the metric, with a space before it, or empty.
        seeds: trainings of each arm.
    """
    if not effects:
        return ["There is nothing to compare."]
    if len(effects) > 3:
        values = [effect["value"] for effect in effects]
        return [
            f"Over {len(values)} models the median difference is {signed(median(values))}{unit}; "
            f"the differences go from {signed(min(values))} to {signed(max(values))}."
        ]
    words = {-1: "lower", 0: "no difference shown", 1: "higher"}
    return [
        f"{titles[effect['model']]}: {signed(effect['value'])}{unit}{_between(effect)}"
        f"{', ' + words[sign(effect)] if seeds > 1 else ''}."
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


def by_severity(effects: Mapping[str, Sequence[Effect]], seeds: int) -> str:
    """For how many models the NLL of each severity differs.

    Args:
        effects: severity to its effects, one for each model.
        seeds: trainings of each arm.
    """
    if seeds < 2:
        return "One training of each arm cannot tell."
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
        sentences.append(f"No difference shown for {_listed(unclear)} complaints.")
    return " ".join(sentences) or "No test complaint has a severity."


def certainty(models: int, seeds: int, rows: int, group: str, placebos: bool) -> str:
    """What the intervals cover, and what they do not.

    Args:
        models: number of models.
        seeds: number of training seeds of each model and arm.
        rows: test rows of the primary group.
        group: its name.
        placebos: whether an arm has some.
    """
    few = f" Only {rows} {_group(group)} rows: expect wide intervals." if 0 < rows < 30 else ""
    if seeds < 2:
        return (
            "95 % intervals over the test rows alone. One training seed: chance in training is not "
            f"covered, so nothing is called shown.{few}"
        )
    corrected = f", corrected over {models} models (Holm)" if models > 1 else ""
    if not placebos:
        few += " No placebo ran, so a difference from CE need not be due to severity."
    return (
        f"95 % intervals over {seeds} training seeds and the test rows, near duplicates as one. One "
        f"primary endpoint{corrected}; all else is exploratory, at a false discovery rate of 5 %.{few}"
    )


def placebo_sentence(arm: str, count: int, values: Sequence[float]) -> str:
    """Where an arm stands among its placebos, and what so few placebos can show.

    Args:
        arm: its title.
        count: of its placebos, at least 1.
        values: p of each model, see `randomisation_p`.
    """
    shown = sum(p <= SIGNIFICANCE for p in values)
    if count < NEEDED:
        number = f"{count} placebo{'s' if count > 1 else ''}"
        least = 1 / (count + 1)
        return (
            f"{arm} has {number}, so p cannot be below {least:.3f}; "
            f"{NEEDED} are needed for {SIGNIFICANCE:g}."
        )
    among = f"among its {count} placebos"
    if not shown:
        return f"{arm} does not stand out {among}."
    return f"{arm} stands out {among} for {shown} of {len(values)} model{'s' if len(values) > 1 else ''}."


def _between(effect: Effect) -> str:
    if effect["low"] is None:
        return ""
    return f" ({signed(effect['low'])} to {signed(effect['high'])})"


def _group(name: str) -> str:
    return "all" if name == ALL else name.replace("_", "-")


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)}{' and ' if first else ''}{last}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
