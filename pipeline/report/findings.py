"""What the page says of effects, in sentences that claim no more than the statistics show."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.placebos import NEEDED, SIGNIFICANCE
from pipeline.report.language import _, left_to_right, listed, ngettext
from pipeline.severities import SEVERITIES

if TYPE_CHECKING:
    from pipeline.config.evaluation import PrimaryConfig

# An effect is a row of the table of differences, as a dictionary.
Effect = Mapping[str, Any]

_MINUS = "\u2212"


def signed(value: float) -> str:
    """A difference with three decimals, or four where it is small, and a true minus sign."""
    decimals = 4 if 0 < abs(value) < 0.00495 else 3
    return left_to_right(f"{value:+.{decimals}f}".replace("-", _MINUS))


def probability(value: float | None) -> str:
    """A p-value; a dash where none was computed."""
    if value is None:
        return "–"
    return left_to_right("<0.001") if value < 0.001 else f"{value:.3f}"


def interval(low: float, high: float) -> Markup:
    """The ends of an interval of differences, with their signs."""
    return _("%(low)s to %(high)s", low=signed(low), high=signed(high))


def sign(effect: Effect) -> int:
    """-1 for a difference shown to be lower, 1 for higher, 0 if neither is shown.

    A difference is shown if its p, corrected for the number of differences, is under `SIGNIFICANCE`. With
    one training seed there is no p, and nothing is shown.
    """
    p = effect["p_adjusted"]
    if p is None or p >= SIGNIFICANCE:
        return 0
    return -1 if effect["value"] < 0 else 1


def complaints(group: str) -> Markup:
    """The complaints of a group as the middle of a sentence has them."""
    match group:
        case "critical":
            return _("critical complaints")
        case "neutral":
            return _("neutral complaints")
        case "non_critical":
            return _("non-critical complaints")
    return _("all complaints")


def endpoint(primary: "PrimaryConfig") -> Markup:
    """The primary metric on its group, such as `the loss on critical complaints`."""
    metric = _("the loss") if primary.metric == "nll" else _(METRICS[primary.metric].title)
    return _("%(metric)s on %(complaints)s", metric=metric, complaints=complaints(primary.group))


def effect_sentences(
    effects: Sequence[Effect], titles: Mapping[str, str], metric: str, seeds: int
) -> list[Markup]:
    """The size of the effects: a sentence for each model if there are at most three, else one for all.

    Args:
        effects: as in `headline`.
        titles: title by model.
        metric: that of the effects.
        seeds: trainings of each arm.
    """
    if not effects:
        return [_("There is nothing to compare.")]
    if len(effects) > 3:
        values = [effect["value"] for effect in effects]
        return [
            _(
                "Over %(models)s models the median difference is %(median)s; the differences go from "
                "%(low)s to %(high)s.",
                models=len(values),
                median=amount(median(values), metric),
                low=signed(min(values)),
                high=signed(max(values)),
            )
        ]
    verdicts = {-1: _("lower"), 0: _("no difference shown"), 1: _("higher")}
    sentences = []
    for effect in effects:
        size = amount(effect["value"], metric)
        if effect["low"] is not None:
            size = _("%(size)s (%(interval)s)", size=size, interval=interval(effect["low"], effect["high"]))
        if seeds > 1:
            size = _("%(size)s, %(verdict)s", size=size, verdict=verdicts[sign(effect)])
        sentences.append(_("%(title)s: %(size)s.", title=titles[effect["model"]], size=size))
    return sentences


def amount(value: float, metric: str) -> str:
    """A difference of a metric with its unit, where it has one."""
    return _("%(value)s nats per token", value=signed(value)) if metric == "nll" else signed(value)


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


def by_severity(effects: Mapping[str, Sequence[Effect]], seeds: int) -> Markup:
    """For how many models the NLL of each severity differs.

    Args:
        effects: severity to its effects, one for each model.
        seeds: trainings of each arm.
    """
    if seeds < 2:
        return _("One training of each arm cannot tell.")
    sentences, unclear = [], []
    for severity in reversed(SEVERITIES):
        signs = [sign(effect) for effect in effects.get(severity, ())]
        lower, higher, name = signs.count(-1), signs.count(1), severity_title(severity)
        counts = {"severity": upper(name), "lower": lower, "higher": higher, "models": len(signs)}
        if lower and higher:
            sentences.append(
                _(
                    "%(severity)s: lower for %(lower)s of %(models)s, higher for %(higher)s of %(models)s.",
                    **counts,
                )
            )
        elif lower:
            sentences.append(_("%(severity)s: lower for %(lower)s of %(models)s.", **counts))
        elif higher:
            sentences.append(_("%(severity)s: higher for %(higher)s of %(models)s.", **counts))
        elif signs:
            unclear.append(name)
    if unclear:
        sentences.append(
            _("No difference shown for %(severities)s complaints.", severities=listed(unclear))
        )
    return Markup(" ").join(sentences) or _("No test complaint has a severity.")


def certainty(models: int, seeds: int, rows: int, group: str, placebos: bool) -> Markup:
    """What the intervals cover, and what they do not.

    Args:
        models: number of models.
        seeds: number of training seeds of each model and arm.
        rows: test rows of the primary group.
        group: its name.
        placebos: whether an arm has some.
    """
    sentences = []
    if seeds < 2:
        sentences.append(
            _(
                "95 %% intervals over the test rows alone. One training seed: chance in training is not "
                "covered, so nothing is called shown."
            )
        )
    else:
        sentences.append(
            _(
                "95 %% intervals over %(seeds)s training seeds and the test rows, near duplicates as one.",
                seeds=seeds,
            )
        )
        sentences.append(
            _(
                "One primary endpoint, corrected over %(models)s models (Holm); all else is exploratory, "
                "at a false discovery rate of 5 %%.",
                models=models,
            )
            if models > 1
            else _("One primary endpoint; all else is exploratory, at a false discovery rate of 5 %%.")
        )
    if 0 < rows < 30:
        sentences.append(
            ngettext(
                "Only %(num)s row of %(complaints)s: expect wide intervals.",
                "Only %(num)s rows of %(complaints)s: expect wide intervals.",
                rows,
                complaints=complaints(group),
            )
        )
    if seeds > 1 and not placebos:
        sentences.append(_("No placebo ran, so a difference from CE need not be due to severity."))
    return Markup(" ").join(sentences)


def placebo_sentence(arm: str, count: int, values: Sequence[float]) -> Markup:
    """Where an arm stands among its placebos, and what so few placebos can show.

    Args:
        arm: its title.
        count: of its placebos, at least 1.
        values: p of each model, see `randomisation_p`.
    """
    shown = sum(p <= SIGNIFICANCE for p in values)
    if count < NEEDED:
        return ngettext(
            "%(arm)s has %(num)s placebo, so p cannot be below %(least)s; %(needed)s are needed for "
            "%(level)s.",
            "%(arm)s has %(num)s placebos, so p cannot be below %(least)s; %(needed)s are needed for "
            "%(level)s.",
            count,
            arm=arm,
            least=f"{1 / (count + 1):.3f}",
            needed=NEEDED,
            level=f"{SIGNIFICANCE:g}",
        )
    if not shown:
        return _("%(arm)s does not stand out among its %(count)s placebos.", arm=arm, count=count)
    return ngettext(
        "%(arm)s stands out among its %(count)s placebos for %(shown)s of %(num)s model.",
        "%(arm)s stands out among its %(count)s placebos for %(shown)s of %(num)s models.",
        len(values),
        arm=arm,
        count=count,
        shown=shown,
    )


def severity_title(severity: str) -> Markup:
    """What the page calls a severity; `unknown` is one too."""
    return _(severity.replace("_", "-"))


def upper(text: Markup) -> Markup:
    """A text with a capital as its first letter."""
    return text[0].upper() + text[1:]
