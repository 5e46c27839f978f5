"""What physicians said of an exported model's answers."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.commands.exporting.exported import Exported
from pipeline.commands.rated_summary import read_review
from pipeline.evaluation.groups import ALL
from pipeline.evaluation.reviews import ENDPOINT, RATED
from pipeline.evaluation.statistics import UNIFORM
from pipeline.severities import SEVERITIES

_GROUPS = (ALL, SEVERITIES[-1])


def rated(exported: Exported) -> Iterator[str]:
    """Lines with the figures of metrics/review.json on all complaints and on the critical ones.

    Raises:
        WaznError: the file is damaged. Where nobody rated this arm there is a line that says so.
    """
    review = read_review().get(exported.model, {"arms": {}})
    by_group = review["arms"].get(exported.arm, {})
    groups = [group for group in _GROUPS if group in by_group]
    if not groups:
        yield "No physician has rated answers of this model."
        return
    raters = review["raters"]
    over = "raters and complaints" if len(raters) > 1 else "complaints, as one rater cannot tell of others"
    yield "Physicians rated its answers without knowing whose they were; 95 % intervals are over"
    yield f"{over}. Raters: {len(raters)}. Complaints: {review['complaints']}."
    yield f"Compared: {', '.join(review['arms'])}."
    if flagged := [name for name, rater in raters.items() if rater["flagged"]]:
        yield f"Ratings like chance, which are counted all the same: {', '.join(flagged)}."
    if review["outdated"]:
        yield f"Rated answers that are of a former training: {review['outdated']} of {review['answers']}."
    yield ""
    yield f"| | {' | '.join(f'{group} complaints' for group in groups)} |"
    yield f"|---|{'---|' * len(groups)}"
    for name, metric in RATED.items():
        figures = " | ".join(_figure(by_group[group].get(name)) for group in groups)
        yield f"| {metric.title} | {figures} |"
    for group, figures in review["differences"].get(f"{exported.arm}-{UNIFORM}", {}).items():
        effect = figures.get(ENDPOINT)
        if effect and effect["role"] == "primary":
            yield ""
            p = "" if effect["p_adjusted"] is None else f", p = {effect['p_adjusted']:.3f}"
            yield f"The primary endpoint, preferred on {group} complaints less that of the arm `{UNIFORM}`:"
            yield f"{_figure(effect)}{p}."


def _figure(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "–"
    value, low, high = figure["value"], figure["low"], figure["high"]
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
