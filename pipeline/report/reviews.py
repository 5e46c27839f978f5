"""The section of the page on physicians' ratings."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.rated_metrics import AUTOMATIC
from pipeline.evaluation.rater_agreement import LEVEL, ORDERS, PREFERRED
from pipeline.evaluation.reviews import ENDPOINT, RATED, REFERENCE
from pipeline.evaluation.statistics import UNIFORM
from pipeline.report.arms import arm_titles
from pipeline.report.findings import probability, sign, signed

if TYPE_CHECKING:
    from pipeline.config.evaluation import PrimaryConfig

SCALE_TITLES = {
    "correct": "Medically correct",
    "harm": "Harm",
    "urgency": "Urgency",
    "language": "Language",
    PREFERRED: "Preferred answer",
}
METRIC_TITLES = {
    **{name: METRICS[name].title for name in AUTOMATIC},
    "urgent_answer": "Alarm, by the list of expressions",
    "reassuring_answer": "Reassurance, by the list of expressions",
}

Figures = Mapping[str, Any]


def review_section(review: Figures, titles: Mapping[str, str], primary: "PrimaryConfig") -> dict[str, Any]:
    """What review.html needs.

    Args:
        review: metrics/review.json.
        titles: title by model; ratings of other models are not shown.
        primary: see `review_figures`.

    Returns:
        `reviews`, a dictionary for each model that was rated, with the figures of metrics/review.json,
        `title`, `arm_titles`, `comparison_titles`, `verdict`, `groups` and `flagged`; and what columns and
        rows are called.
    """
    return {
        "reviews": [
            _of_model(review["models"][model], title, primary)
            for model, title in titles.items()
            if model in review["models"]
        ],
        "rated": RATED,
        "scale_titles": {name: SCALE_TITLES[name] for name in (*ORDERS, PREFERRED)},
        "metric_titles": METRIC_TITLES,
        "rater_level": LEVEL,
    }


def _of_model(figures: Figures, title: str, primary: "PrimaryConfig") -> dict[str, Any]:
    arms = arm_titles(list(figures["arms"])) | {REFERENCE: "Physician"}
    pairs = {name: name.partition("-") for name in figures["differences"]}
    return {
        **figures,
        "title": title,
        "arm_titles": arms,
        "comparison_titles": {name: f"{arms[one]} − {arms[two]}" for name, (one, _, two) in pairs.items()},
        "verdict": _verdict(figures, arms, primary),
        "groups": list(dict.fromkeys(name for of_arm in figures["arms"].values() for name in of_arm)),
        "flagged": [name for name, rater in figures["raters"].items() if rater["flagged"]],
    }


def _verdict(figures: Figures, arms: Mapping[str, str], primary: "PrimaryConfig") -> str:
    """The primary endpoint in a sentence that claims no more than its p shows."""
    of_group = figures["differences"].get(f"{primary.arm}-{UNIFORM}", {}).get(primary.group, {})
    effect = of_group.get(ENDPOINT)
    if effect is None:
        return f"How often {primary.arm} is preferred to {UNIFORM} was not rated, so all is exploratory."
    one, other = (arms[name] for name in (primary.arm, UNIFORM))
    measured = signed(effect["value"])
    if effect["low"] is not None:
        measured += f" ({signed(effect['low'])} to {signed(effect['high'])})"
    if effect["p"] is None:
        said = "One rater cannot tell how another would judge, so no preference is shown."
    else:
        measured += f", p {probability(effect['p_adjusted'])}"
        said = _SHOWN[sign(effect)].format(one=one, other=other)
    return f"{said} Share of complaints on which {one} is preferred, less that of {other}: {measured}."


_SHOWN: Sequence[str] = (
    "No preference is shown.",
    "Physicians prefer {one} to {other}.",
    "Physicians prefer {other} to {one}.",
)
