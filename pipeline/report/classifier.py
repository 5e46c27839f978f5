"""How the page shows the quality of the severity classifier."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.report.findings import signed
from pipeline.severities import SEVERITIES

QUALITY_TITLES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "log_loss": "Log-loss",
    "brier": "Brier score",
    "ece": "ECE",
}
# The two that are compared on p_critical, and their titles in CLASSIFIER_TITLES.
SIDES = ("classifier", "linear")
CLASSIFIER_TITLES = {
    "classifier": "Classifier, calibrated",
    "encoder_alone": "Its encoder alone, calibrated",
    "uncalibrated": "Its encoder alone, before calibration",
    "linear": "TF-IDF + logistic regression",
    "majority": "Class shares",
}


def comparison(difference: Mapping[str, float]) -> str:
    """How far the classifier's log-loss is from the linear reference's, and how certain that is.

    Args:
        difference: `value`, `low` and `high` of the classifier's log-loss less the reference's, in nats.

    Returns:
        The end of a sentence that starts with "its log-loss is".
    """
    low, high = difference["low"], difference["high"]
    word = "lower" if difference["value"] < 0 else "higher"
    certain = f"all of it {word}" if low * high > 0 else "which includes 0, so it may be chance alone"
    interval = f"{signed(low)} to {signed(high)}"
    return f"{abs(difference['value']):.3f} nats {word} (95 % interval {interval}, {certain})"


def linear_is_as_good(difference: Mapping[str, float]) -> str:
    """A sentence on the linear reference where the classifier's log-loss is not shown to be lower.

    Args:
        difference: as of `comparison`.
    """
    if difference["low"] > 0:
        return "TF-IDF with logistic regression is better."
    return "These complaints cannot tell it from TF-IDF with logistic regression."


def calibration_in_the_large(calibration: Mapping[str, Any]) -> str:
    """A sentence on mean p_critical beside the share of critical complaints.

    Args:
        calibration: of one side, as metrics/classifier.json has it.
    """
    excess = calibration["excess"]
    low, high = excess["low"], excess["high"]
    told = (
        f"mean p_critical is {calibration['mean_probability']:.3f}, and the share of critical complaints "
    )
    told += f"{calibration['share']['value']:.3f} ({calibration['critical']} of {calibration['rows']}): "
    verdict = "too low" if high < 0 else "too high" if low > 0 else "no difference is shown"
    return told + f"{verdict} ({signed(excess['value'])}, {signed(low)} to {signed(high)})"


def calibration_error(calibration: Mapping[str, Any]) -> str:
    """The end of a sentence that starts with "its ECE of p_critical is"."""
    ece, chance = calibration["ece"], calibration["ece_by_chance"]
    beyond = "more than" if ece["value"] > chance["high"] else "within"
    return (
        f"{ece['value']:.3f} ({ece['low']:.3f} to {ece['high']:.3f}), {beyond} what calibrated "
        f"probabilities show on as many complaints ({chance['low']:.3f} to {chance['high']:.3f})"
    )


def confusion_counts(confusion: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Number of rows by `actual` and then `predicted` severity."""
    counts = confusion.value_counts(["actual", "predicted"])
    return {
        actual: {predicted: int(counts.get((actual, predicted), 0)) for predicted in SEVERITIES}
        for actual in SEVERITIES
    }
