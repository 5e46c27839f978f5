"""How good severity probabilities are."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

from pipeline.errors import WaznError
from pipeline.evaluation.groups import MIN_ROWS, specialties
from pipeline.evaluation.resampling import percentile_interval, resampled_sums
from pipeline.severities import SEVERITIES

ECE_BINS = 15
CLASSES = len(SEVERITIES)


class Interval(TypedDict):
    """A figure with the ends of its 95 % interval, all rounded to six decimals."""

    value: float
    low: float
    high: float


def figures(
    labels: Sequence[str], probabilities: np.ndarray, seed: int, resamples: int = 1000
) -> dict[str, Interval]:
    """How good probabilities are, each figure with its 95 % bootstrap interval.

    `accuracy` and `macro_f1` of the most likely class; a class that is neither there nor guessed counts as
    0 in macro-F1. `log_loss` in nats. `brier`: the squared error summed over the classes (Brier 1950), so
    between 0 and 2. `ece`: the expected calibration error of the most likely class over 15 bins of equal
    width (Naeini et al. 2015; Guo et al., arXiv:1706.04599).

    The intervals are percentiles over resampled rows. The interval of `ece` is moved by the difference
    between the mean of the resamples and the value: a mean of absolute gaps grows with every row that is
    drawn twice, so its percentiles would lie above the value itself.

    Args:
        labels: n severities.
        probabilities: (n, 3).
        seed: of the resampling. Equal n and seed resample the same rows.
        resamples: how many.

    Raises:
        WaznError: there are no rows.
    """
    truth, probabilities = _checked(labels, probabilities)
    sums = _features(truth, probabilities)
    exact = _from_sums(sums.sum(axis=0, keepdims=True), len(truth))
    resampled = _from_sums(resampled_sums(sums, resamples, seed), len(truth))
    excess = resampled["ece"].mean() - exact["ece"][0]
    resampled["ece"] = np.maximum(resampled["ece"] - excess, 0.0)
    return {name: _interval(float(value[0]), resampled[name]) for name, value in exact.items()}


def paired_difference(
    labels: Sequence[str], a: np.ndarray, b: np.ndarray, seed: int, resamples: int = 1000
) -> Interval:
    """Log-loss of `a` less that of `b` (nats; below 0 where `a` is better), with a 95 % interval.

    Both are measured on the same resampled rows, so a row that is hard for both does not widen the
    interval.

    Args:
        labels: n severities.
        a, b: probabilities, (n, 3) each.
        seed, resamples: as of `figures`.

    Raises:
        WaznError: there are no rows.
    """
    truth, a = _checked(labels, a)
    _, b = _checked(labels, b)
    difference = (_log_losses(truth, a) - _log_losses(truth, b))[:, None]
    resampled = resampled_sums(difference, resamples, seed)[:, 0] / len(truth)
    return _interval(float(difference.mean()), resampled)


def per_class(labels: Sequence[str], probabilities: np.ndarray) -> dict[str, dict[str, float]]:
    """`precision`, `recall` and `rows` of each severity; 0 where there is nothing to divide by."""
    truth, probabilities = _checked(labels, probabilities)
    precision, recall, _, rows = precision_recall_fscore_support(
        truth, probabilities.argmax(axis=1), labels=range(CLASSES), zero_division=0
    )
    return {
        severity: {
            "precision": round(float(precision[index]), 6),
            "recall": round(float(recall[index]), 6),
            "rows": int(rows[index]),
        }
        for index, severity in enumerate(SEVERITIES)
    }


def per_specialty(
    labels: Sequence[str],
    probabilities: np.ndarray,
    names: Sequence[str],
    min_rows: int = MIN_ROWS,
) -> dict[str, dict[str, Interval | int]]:
    """Accuracy by specialty, with Wilson's 95 % interval, and `rows`; see `groups.specialties`.

    Args:
        labels: n severities.
        probabilities: (n, 3).
        names: n specialties; empty where the source gives none.
        min_rows: specialties with fewer rows are pooled.
    """
    truth, probabilities = _checked(labels, probabilities)
    right = probabilities.argmax(axis=1) == truth
    return {
        name: {"accuracy": _wilson(int(right[mask].sum()), int(mask.sum())), "rows": int(mask.sum())}
        for name, mask in specialties(pd.Series(list(names), dtype=object), min_rows)
    }


def majority(train_labels: Sequence[str], count: int) -> np.ndarray:
    """The class shares of the training labels, for each of `count` rows, (count, 3)."""
    shares = np.array([list(train_labels).count(severity) for severity in SEVERITIES], dtype="float64")
    return np.tile(shares / shares.sum(), (count, 1))


def reliability(labels: Sequence[str], probabilities: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Mean confidence and accuracy of the most likely class, in bins of equal width by confidence.

    Returns:
        One row for each bin that is not empty: `confidence`, `accuracy`, `rows`.
    """
    truth, probabilities = _checked(labels, probabilities)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    table = pd.DataFrame({"confidence": confidence, "accuracy": right.astype(float)})
    grouped = table.groupby(_bins(confidence, bins))
    return grouped.mean().assign(rows=grouped.size()).reset_index(drop=True)


def _checked(labels: Sequence[str], probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as numbers, (n,), and probabilities in float64, each row summing to 1."""
    if not len(labels):
        raise WaznError(
            "there are no labelled test complaints to measure the classifier on; "
            "give normalise.split.test a share, or more labelled rows"
        )
    truth = np.array([SEVERITIES.index(label) for label in labels])
    # float32 rows sum to 1 within 1e-7 only.
    probabilities = probabilities.astype("float64")
    return truth, probabilities / probabilities.sum(axis=1, keepdims=True)


def _log_losses(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """-log p of each row's label, (n,); a p of 0 counts as the machine epsilon, as in scikit-learn."""
    given = probabilities[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.maximum(given, np.finfo("float64").eps)))


def _bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    return np.asarray(np.minimum((confidence * bins).astype(int), bins - 1))


def _features(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """What each row adds to the sums from which all figures are computed, (n, 2 + 9 + 15).

    Log-loss and Brier score; its cell of the confusion matrix; its part of its bin's gap between accuracy
    and confidence.
    """
    row = np.arange(len(truth))
    guess = probabilities.argmax(axis=1)
    confidence = probabilities[row, guess]
    features = np.zeros((len(truth), 2 + CLASSES**2 + ECE_BINS))
    features[:, 0] = _log_losses(truth, probabilities)
    features[:, 1] = ((probabilities - np.eye(CLASSES)[truth]) ** 2).sum(axis=1)
    features[row, 2 + CLASSES * truth + guess] = 1.0
    features[row, 2 + CLASSES**2 + _bins(confidence, ECE_BINS)] = (guess == truth) - confidence
    return features


def _from_sums(sums: np.ndarray, rows: int) -> dict[str, np.ndarray]:
    """The figures, (m,) each, of m sums over `rows` rows of `_features`."""
    confusion = sums[:, 2 : 2 + CLASSES**2].reshape(-1, CLASSES, CLASSES)
    right = np.diagonal(confusion, axis1=1, axis2=2)
    # F1 = 2 TP / (actual + guessed), where TP is 0 if the divisor is.
    divisor = np.maximum(confusion.sum(axis=1) + confusion.sum(axis=2), 1.0)
    return {
        "accuracy": right.sum(axis=1) / rows,
        "macro_f1": (2 * right / divisor).mean(axis=1),
        "log_loss": sums[:, 0] / rows,
        "brier": sums[:, 1] / rows,
        "ece": np.abs(sums[:, 2 + CLASSES**2 :]).sum(axis=1) / rows,
    }


def _interval(value: float, resampled: np.ndarray) -> Interval:
    low, high = percentile_interval(resampled[:, None])[:, 0]
    return {"value": round(value, 6), "low": round(float(low), 6), "high": round(float(high), 6)}


def _wilson(right: int, rows: int) -> Interval:
    ends = binomtest(right, rows).proportion_ci(method="wilson")
    return {
        "value": round(right / rows, 6),
        "low": round(float(ends.low), 6),
        "high": round(float(ends.high), 6),
    }
