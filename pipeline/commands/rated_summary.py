"""What physicians said of the arms, as `wazn table` lays it out."""

from collections.abc import Mapping
from typing import Any

from pipeline import paths
from pipeline.evaluation.groups import ALL
from pipeline.evaluation.reviews import RATED
from pipeline.inputs import read_json
from pipeline.review_shapes import ReviewMetrics
from pipeline.severities import SEVERITIES

# The name of a figure in the table, and which figure of which complaints it is.
RATED_METRICS = {
    **{name: (name, ALL) for name in RATED},
    **{f"{name}_{severity}": (name, severity) for name in RATED for severity in reversed(SEVERITIES)},
}


def read_review() -> Mapping[str, Any]:
    """By model what metrics/review.json says; nothing where nobody has rated anything.

    Raises:
        WaznError: it is damaged.
    """
    if not paths.REVIEW_METRICS.is_file():
        return {}
    models: Mapping[str, Any] = read_json(paths.REVIEW_METRICS, ReviewMetrics)["models"]
    return models


def rated_summary(review: Mapping[str, Any], metric: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Model to arm to the figure, and its `_low` and `_high` where they are known.

    Args:
        review: see `read_review`.
        metric: of `RATED_METRICS`.
    """
    name, group = RATED_METRICS[metric]
    by_model: dict[str, dict[str, dict[str, Any]]] = {}
    for model, figures in review.items():
        for arm, by_group in figures["arms"].items():
            figure = by_group.get(group, {}).get(name)
            if figure is not None:
                ends = {f"{metric}_{end}": figure[end] for end in ("low", "high")}
                by_model.setdefault(model, {})[arm] = {metric: figure["value"], **ends}
    return by_model


def rated_caption(review: Mapping[str, Any], metric: str, titles: Mapping[str, str]) -> str:
    """Who rated what, by model.

    Args:
        titles: of the models in the table.
    """
    name, group = RATED_METRICS[metric]
    what = f"{RATED[name].title}{'' if group == ALL else f', {group} complaints'}, as physicians rated it"
    rated = [f"{title}: {_counts(review[model])}" for model, title in titles.items() if model in review]
    return f"{what}. {'; '.join(rated) or 'No model of the table was rated'}."


def _counts(figures: Mapping[str, Any]) -> str:
    raters, complaints = len(figures["raters"]), f"{figures['complaints']} complaints"
    if raters == 1:
        return f"1 rater, {complaints} (intervals over complaints alone)"
    return f"{raters} raters, {complaints}"
