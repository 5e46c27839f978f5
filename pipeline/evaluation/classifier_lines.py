"""What `train_classifier` prints of the figures that it measured."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.evaluation.group_intervals import Interval


def quality_lines(measured: Mapping[str, Any], difference: Interval, labels: str) -> Iterator[str]:
    """The figures of every model, and whether the classifier is better than the linear reference.

    Args:
        measured: model to `severity_quality.figures`.
        difference: the classifier's log-loss less that of the linear reference.
        labels: `human` or `lexicon`.
    """
    for name, values in measured.items():
        figures = ", ".join(f"{key} {value['value']:.3f}" for key, value in values.items())
        yield f"{name:>12} {figures}"
    low, high = difference["low"], difference["high"]
    verdict = "beats" if high < 0 else "does worse than" if low > 0 else "CANNOT BE TOLD FROM"
    yield (
        f"The classifier {verdict} the linear reference on log-loss: {difference['value']:+.3f} nats "
        f"(95 % interval {low:+.3f} to {high:+.3f}; same rows, same calibration)."
    )
    if labels == "lexicon":
        yield "Its labels are weak: they come from a list of symptom terms, not from people."


def critical_lines(critical: Mapping[str, Any]) -> Iterator[str]:
    """How p_critical is calibrated, and what a threshold on it finds, for classifier and reference alike.

    Args:
        critical: `test` and `folds` (None without folds) as `calibration_of_both` gives them, and `alarms`.
    """
    yield from _calibration_lines(critical["test"], "test complaints")
    if critical["folds"] is not None:
        yield from _calibration_lines(critical["folds"], "complaints of the folds")
    alarms = critical["alarms"]
    if alarms is None:
        yield "No complaint outside the test split is critical, so there is no threshold on p_critical."
        return
    others = (
        f"{alarms['recall']:.0%} of the {alarms['critical']} critical of {alarms['rows']} other complaints"
    )
    for side in ("classifier", "linear"):
        values = alarms[side]
        caught = "no test complaint is critical"
        if values["recall"] is not None:
            caught = f"finds {values['found']} of {values['critical']} critical test complaints, recall "
            caught += _with_ends(values["recall"])
        if values["precision"] is not None:
            caught += f", precision {_with_ends(values['precision'])}"
        yield (
            f"{side}, flagging p_critical from {values['threshold']:.3f}, which finds {others}: {caught}; "
            f"flags {values['flagged']} of {values['rows']}, {_with_ends(values['share_flagged'])}"
        )


def _calibration_lines(both: Mapping[str, Any], rows: str) -> Iterator[str]:
    for side in ("classifier", "linear"):
        values = both[side]
        yield (
            f"{side}, {values['rows']} {rows}: mean p_critical {values['mean_probability']:.3f}, "
            f"critical {values['share']['value']:.3f}, difference {_with_ends(values['excess'], '+.3f')}; "
            f"ECE of p_critical {_with_ends(values['ece'])}, by chance alone "
            f"{_with_ends(values['ece_by_chance'])}; Brier score {_with_ends(values['brier'])}"
        )
    difference = _with_ends(both["brier_minus_linear"], "+.3f")
    yield f"  Brier score of critical, classifier less linear: {difference}"


def _with_ends(figure: Interval, form: str = ".3f") -> str:
    low, high = format(figure["low"], form), format(figure["high"], form)
    return f"{figure['value']:{form}} ({low} to {high})"
