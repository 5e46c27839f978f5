"""How the page shows the quality of the severity classifier."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline.report.findings import interval, signed
from pipeline.report.language import _, marked
from pipeline.severities import SEVERITIES

QUALITY_TITLES = {
    "accuracy": marked("Accuracy"),
    "macro_f1": marked("Macro F1"),
    "log_loss": marked("Log-loss"),
    "brier": marked("Brier score"),
    "ece": marked("ECE"),
}
# The two that are compared on p_critical, and their titles in CLASSIFIER_TITLES.
SIDES = ("classifier", "linear")
CLASSIFIER_TITLES = {
    "classifier": marked("Classifier, calibrated"),
    "encoder_alone": marked("Its encoder alone, calibrated"),
    "uncalibrated": marked("Its encoder alone, before calibration"),
    "linear": marked("TF-IDF + logistic regression"),
    "majority": marked("Class shares"),
}


def comparison(difference: Mapping[str, float]) -> Markup:
    """How far the classifier's log-loss is from the linear reference's, and how certain that is.

    Args:
        difference: `value`, `low` and `high` of the classifier's log-loss less the reference's, in nats.

    Returns:
        The end of a sentence that starts with "its log-loss is".
    """
    low, high = difference["low"], difference["high"]
    lower, certain = difference["value"] < 0, low * high > 0
    figures = {"size": f"{abs(difference['value']):.3f}", "interval": interval(low, high)}
    if not certain:
        chance = _("which includes 0, so it may be chance alone")
        if lower:
            return _(
                "%(size)s nats lower (95 %% interval %(interval)s, %(chance)s)", **figures, chance=chance
            )
        return _("%(size)s nats higher (95 %% interval %(interval)s, %(chance)s)", **figures, chance=chance)
    if lower:
        return _("%(size)s nats lower (95 %% interval %(interval)s, all of it lower)", **figures)
    return _("%(size)s nats higher (95 %% interval %(interval)s, all of it higher)", **figures)


def linear_is_as_good(difference: Mapping[str, float]) -> Markup:
    """A sentence on the linear reference where the classifier's log-loss is not shown to be lower.

    Args:
        difference: as of `comparison`.
    """
    if difference["low"] > 0:
        return _("TF-IDF with logistic regression is better.")
    return _("These complaints cannot tell it from TF-IDF with logistic regression.")


def calibration_in_the_large(calibration: Mapping[str, Any]) -> Markup:
    """A sentence on mean p_critical beside the share of critical complaints.

    Args:
        calibration: of one side, as metrics/classifier.json has it.
    """
    excess = calibration["excess"]
    low, high = excess["low"], excess["high"]
    verdict = _("too low") if high < 0 else _("too high") if low > 0 else _("no difference is shown")
    return _(
        "mean p_critical is %(mean)s, and the share of critical complaints %(share)s (%(critical)s of "
        "%(rows)s): %(verdict)s (%(excess)s, %(interval)s)",
        mean=f"{calibration['mean_probability']:.3f}",
        share=f"{calibration['share']['value']:.3f}",
        critical=calibration["critical"],
        rows=calibration["rows"],
        verdict=verdict,
        excess=signed(excess["value"]),
        interval=interval(low, high),
    )


def calibration_error(calibration: Mapping[str, Any]) -> Markup:
    """The end of a sentence that starts with "its ECE of p_critical is"."""
    ece, chance = calibration["ece"], calibration["ece_by_chance"]
    return _(
        "%(ece)s (%(low)s to %(high)s), %(verdict)s what calibrated probabilities show on as many "
        "complaints (%(chance_low)s to %(chance_high)s)",
        ece=f"{ece['value']:.3f}",
        low=f"{ece['low']:.3f}",
        high=f"{ece['high']:.3f}",
        verdict=_("more than") if ece["value"] > chance["high"] else _("within"),
        chance_low=f"{chance['low']:.3f}",
        chance_high=f"{chance['high']:.3f}",
    )


def confusion_counts(confusion: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Number of rows by `actual` and then `predicted` severity."""
    counts = confusion.value_counts(["actual", "predicted"])
    return {
        actual: {predicted: int(counts.get((actual, predicted), 0)) for predicted in SEVERITIES}
        for actual in SEVERITIES
    }
