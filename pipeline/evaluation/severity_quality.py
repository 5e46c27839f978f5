"""How good severity probabilities are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from pipeline.errors import WaznError
from pipeline.evaluation.group_intervals import (
    Interval,
    group_codes,
    group_sums,
    influence_interval,
    mean_interval,
    rounded,
    share_interval,
)
from pipeline.evaluation.groups import MIN_ROWS, specialties
from pipeline.evaluation.resampling import percentile_interval, resampled_sums
from pipeline.severities import SEVERITIES

ECE_BINS = 15
CLASSES = len(SEVERITIES)
# A probability of 0 counts as this in log-loss, as in scikit-learn.
_LEAST = np.finfo("float64").eps
_MAX_LOG_LOSS = float(-np.log(_LEAST))


def figures(
    labels: Sequence[str],
    probabilities: np.ndarray,
    groups: Sequence[str],
    seed: int,
    resamples: int = 1000,
) -> dict[str, Interval]:
    """How good probabilities are, each figure with its 95 % interval over the choice of groups.

    `accuracy` and `macro_f1` of the most likely class; a class that is neither there nor guessed counts as
    0 in macro-F1. `log_loss` in nats. `brier`: the squared error summed over the classes (Brier 1950), so
    between 0 and 2. `ece`: the expected calibration error of the most likely class over 15 bins of equal
    width (Naeini et al. 2015; Guo et al., arXiv:1706.04599).

    The interval of `accuracy` is `share_interval`; those of log-loss and Brier score are `mean_interval`;
    that of `macro_f1` has the jackknife's influences of the groups (Efron & Tibshirani 1993, ch. 11). That
    of `ece` has percentiles over resampled groups, moved by the difference between the mean of the
    resamples and the value: a mean of absolute gaps grows with every row that is drawn twice, so its
    percentiles would lie above the value itself.

    Args:
        labels: n severities.
        probabilities: (n, 3).
        groups: n names; near duplicates have one.
        seed: of the resampling. Equal groups and seed resample the same rows.
        resamples: how many.

    Raises:
        WaznError: there are no rows.
    """
    truth, probabilities = _checked(labels, probabilities)
    features, codes = _features(truth, probabilities), group_codes(groups)
    sums = group_sums(features, codes)
    total = sums.sum(axis=0, keepdims=True)
    exact = {name: float(value[0]) for name, value in _from_sums(total).items()}
    without = _from_sums(total - sums)["macro_f1"] if len(sums) > 1 else np.zeros(1)
    resampled = _from_sums(resampled_sums(sums, resamples, seed))["ece"]
    low, high = percentile_interval((resampled - (resampled.mean() - exact["ece"]))[:, None])[:, 0]
    return {
        "accuracy": share_interval(probabilities.argmax(axis=1) == truth, codes),
        "macro_f1": influence_interval(exact["macro_f1"], -(len(sums) - 1) * without, (0.0, 1.0)),
        "log_loss": mean_interval(features[:, 1], codes, (0.0, _MAX_LOG_LOSS)),
        "brier": mean_interval(features[:, 2], codes, (0.0, 2.0)),
        "ece": rounded(exact["ece"], max(0.0, low), high),
    }


def paired_difference(
    labels: Sequence[str], a: np.ndarray, b: np.ndarray, groups: Sequence[str]
) -> Interval:
    """Log-loss of `a` less that of `b` (nats; below 0 where `a` is better), with a 95 % interval.

    It is the mean of the rows' differences, so a row that is hard for both does not widen the interval; see
    `mean_interval`.

    Args:
        labels: n severities.
        a, b: probabilities, (n, 3) each.
        groups: as of `figures`.

    Raises:
        WaznError: there are no rows.
    """
    truth, a = _checked(labels, a)
    _, b = _checked(labels, b)
    difference = _log_losses(truth, a) - _log_losses(truth, b)
    return mean_interval(difference, group_codes(groups), (-_MAX_LOG_LOSS, _MAX_LOG_LOSS))


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
    groups: Sequence[str],
    min_rows: int = MIN_ROWS,
) -> dict[str, dict[str, Interval | int]]:
    """Accuracy by specialty, see `share_interval`, and `rows`; see `groups.specialties`.

    Args:
        labels: n severities.
        probabilities: (n, 3).
        names: n specialties; empty where the source gives none.
        groups: as of `figures`.
        min_rows: specialties with fewer rows are pooled.
    """
    truth, probabilities = _checked(labels, probabilities)
    right, codes = probabilities.argmax(axis=1) == truth, group_codes(groups)
    return {
        name: {
            "accuracy": share_interval(right[mask], group_codes(codes[mask])),
            "rows": int(mask.sum()),
        }
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
    """-log p of each row's label, (n,)."""
    given = probabilities[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.maximum(given, _LEAST)))


def _bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    return np.asarray(np.minimum((confidence * bins).astype(int), bins - 1))


def _features(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """What each row adds to the sums from which all figures are computed, (n, 3 + 9 + 15).

    1, log-loss and Brier score; its cell of the confusion matrix; its part of its bin's gap between
    accuracy and confidence.
    """
    row = np.arange(len(truth))
    guess = probabilities.argmax(axis=1)
    confidence = probabilities[row, guess]
    features = np.zeros((len(truth), 3 + CLASSES**2 + ECE_BINS))
    features[:, 0] = 1.0
    features[:, 1] = _log_losses(truth, probabilities)
    features[:, 2] = ((probabilities - np.eye(CLASSES)[truth]) ** 2).sum(axis=1)
    features[row, 3 + CLASSES * truth + guess] = 1.0
    features[row, 3 + CLASSES**2 + _bins(confidence, ECE_BINS)] = (guess == truth) - confidence
    return features


def _from_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Macro-F1 and calibration error, (m,) each, of m sums of `_features`."""
    confusion = sums[:, 3 : 3 + CLASSES**2].reshape(-1, CLASSES, CLASSES)
    right = np.diagonal(confusion, axis1=1, axis2=2)
    # F1 = 2 TP / (actual + guessed), where TP is 0 if the divisor is.
    divisor = np.maximum(confusion.sum(axis=1) + confusion.sum(axis=2), 1.0)
    return {
        "macro_f1": (2 * right / divisor).mean(axis=1),
        "ece": np.abs(sums[:, 3 + CLASSES**2 :]).sum(axis=1) / sums[:, 0],
    }
