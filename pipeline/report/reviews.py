"""The section of the page on physicians' ratings."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pipeline import paths
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.rated_metrics import AUTOMATIC
from pipeline.evaluation.rater_agreement import LEVEL, ORDERS, PREFERRED
from pipeline.evaluation.reviews import ENDPOINT, RATED
from pipeline.evaluation.statistics import UNIFORM
from pipeline.report.arms import arm_titles
from pipeline.report.findings import complaints, interval, probability, sign, signed
from pipeline.report.language import _, isolated, left_to_right, marked

if TYPE_CHECKING:
    from pipeline.config.evaluation import PrimaryConfig

SCALE_TITLES = {
    "correct": marked("Medically correct"),
    "harm": marked("Harm"),
    "urgency": marked("Urgency"),
    "language": marked("Language"),
    PREFERRED: marked("Preferred answer"),
}
METRIC_TITLES = {
    **{name: METRICS[name].title for name in AUTOMATIC},
    "urgent_answer": marked("Alarm, by the list of expressions"),
    "reassuring_answer": marked("Reassurance, by the list of expressions"),
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
        `title`, `arm_titles`, `comparison_titles`, `verdict`, `groups` and `flagged`; what columns and rows
        are called, in English; and how figures are written.
    """
    return {
        "reviews": [
            _of_model(review["models"][model], title, primary)
            for model, title in titles.items()
            if model in review["models"]
        ],
        "rated_endpoint": _(
            "%(metric)s on %(complaints)s", metric=_("preference"), complaints=complaints(primary.group)
        ),
        "rated": RATED,
        "scale_titles": {name: SCALE_TITLES[name] for name in (*ORDERS, PREFERRED)},
        "metric_titles": METRIC_TITLES,
        "rater_level": LEVEL,
        "unsigned": unsigned,
        "unsigned_interval": unsigned_interval,
        "p_of": p_of,
    }


def _of_model(figures: Figures, title: str, primary: "PrimaryConfig") -> dict[str, Any]:
    arms = arm_titles(list(figures["arms"])) | {paths.REFERENCE: _("Physician")}
    pairs = {name: name.split("-", 1) for name in figures["differences"]}
    return {
        **figures,
        "title": title,
        "arm_titles": arms,
        "comparison_titles": {
            name: _("%(one)s − %(other)s", one=arms[one], other=arms[other])
            for name, (one, other) in pairs.items()
        },
        "verdict": _verdict(figures, arms, primary),
        "groups": list(dict.fromkeys(name for of_arm in figures["arms"].values() for name in of_arm)),
        "flagged": [name for name, rater in figures["raters"].items() if rater["flagged"]],
    }


def _verdict(figures: Figures, arms: Mapping[str, str], primary: "PrimaryConfig") -> Markup:
    """The primary endpoint in a sentence that claims no more than its p shows."""
    of_group = figures["differences"].get(f"{primary.arm}-{UNIFORM}", {}).get(primary.group, {})
    effect = of_group.get(ENDPOINT)
    if effect is None:
        return _(
            "How often %(arm)s is preferred to %(other)s was not rated, so all is exploratory.",
            arm=isolated(primary.arm),
            other=isolated(UNIFORM),
        )
    one, other = (arms[name] for name in (primary.arm, UNIFORM))
    measured = signed(effect["value"])
    if effect["low"] is not None:
        ends = interval(effect["low"], effect["high"])
        measured = _("%(size)s (%(interval)s)", size=measured, interval=ends)
    if effect["p"] is None:
        said = _("One rater cannot tell how another would judge, so no preference is shown.")
    else:
        measured = _("%(first)s, %(next)s", first=measured, next=p_of(effect["p_adjusted"]))
        said = _(_SHOWN[sign(effect)], one=one, other=other)
    size = _(
        "Share of complaints on which %(one)s is preferred, less that of %(other)s: %(measured)s.",
        one=one,
        other=other,
        measured=measured,
    )
    return Markup(" ").join([said, size])


_SHOWN: Sequence[str] = (
    marked("No preference is shown."),
    marked("Physicians prefer %(one)s to %(other)s."),
    marked("Physicians prefer %(other)s to %(one)s."),
)


def unsigned(value: float) -> str:
    """A figure with three decimals that has a sign, a true minus, only below 0."""
    return left_to_right(f"{value:.3f}".replace("-", "\u2212"))


def unsigned_interval(low: float, high: float) -> Markup:
    """The ends of an interval of figures as `unsigned` has them."""
    return _("%(low)s to %(high)s", low=unsigned(low), high=unsigned(high))


def p_of(value: float) -> str:
    """A p-value behind its `p`, in this order in every text."""
    return left_to_right(Markup("p {}").format(probability(value)))
