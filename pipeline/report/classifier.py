"""How the page shows the quality of the severity classifier."""

from collections.abc import Mapping

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


def confusion_counts(confusion: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Number of rows by `actual` and then `predicted` severity."""
    counts = confusion.value_counts(["actual", "predicted"])
    return {
        actual: {predicted: int(counts.get((actual, predicted), 0)) for predicted in SEVERITIES}
        for actual in SEVERITIES
    }
