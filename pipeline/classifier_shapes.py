"""The keys that the readers of metrics/classifier.json need in it."""

from typing import Literal

from pipeline.shapes import BySplit, Count, Interval, Labels, Shape


class Quality(Shape):
    """The figures of a classifier."""

    accuracy: Interval
    macro_f1: Interval
    log_loss: Interval
    brier: Interval
    ece: Interval


class ClassQuality(Shape):
    """Precision and recall of one severity."""

    precision: float
    recall: float
    rows: Count


class PerClass(Shape):
    """Precision and recall by severity."""

    non_critical: ClassQuality
    neutral: ClassQuality
    critical: ClassQuality


class SpecialtyQuality(Shape):
    """Accuracy on the rows of a specialty."""

    accuracy: Interval
    rows: Count


class Folds(Shape):
    """Cross-validated figures."""

    k: Count
    rows: Count
    classifier: Quality
    linear: Quality
    log_loss_minus_linear: Interval


class CriticalBin(Shape):
    """Rows of like p_critical: its mean, and the share that is critical."""

    probability: float
    share: Interval
    rows: Count


class CriticalCalibration(Shape):
    """How well p_critical agrees with the share of critical rows."""

    rows: Count
    critical: Count
    mean_probability: float
    share: Interval
    excess: Interval
    brier: Interval
    ece: Interval
    ece_by_chance: Interval
    bins: list[CriticalBin]


class BothCalibrations(Shape):
    """The same of the classifier and the linear reference, on the same rows."""

    classifier: CriticalCalibration
    linear: CriticalCalibration
    brier_minus_linear: Interval


class Flagged(Shape):
    """What flagging every row from a threshold of p_critical finds."""

    threshold: float
    rows: Count
    critical: Count
    flagged: Count
    found: Count
    recall: Interval | None
    precision: Interval | None
    share_flagged: Interval


class Alarms(Shape):
    """The rows on which both thresholds are chosen, and what they find on the test rows."""

    recall: float
    chosen_on: Literal["folds", "valid"]
    rows: Count
    critical: Count
    classifier: Flagged
    linear: Flagged


class Critical(Shape):
    """How far p_critical can be relied on."""

    test: BothCalibrations
    folds: BothCalibrations | None
    alarms: Alarms | None


class ClassifierMetrics(Shape):
    """metrics/classifier.json."""

    encoder: str
    labels: Labels
    rows: BySplit
    epochs: Count
    temperature: float
    ngram_weight: float
    beats_linear: bool
    classifier: Quality
    encoder_alone: Quality
    uncalibrated: Quality
    linear: Quality
    majority: Quality
    log_loss_minus_linear: Interval
    per_class: PerClass
    per_specialty: dict[str, SpecialtyQuality]
    folds: Folds | None
    critical: Critical
