"""How good severity probabilities are, and what they are to be compared with."""

import random
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from heapq import heapreplace
from typing import TypedDict

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_fscore_support
from sklearn.pipeline import make_pipeline

from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES

ECE_BINS = 15
CLASSES = len(SEVERITIES)
# What one block of resamples may hold, so that memory stays flat however many rows there are.
BLOCK = 2_000_000


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

    The intervals are percentiles over resampled rows. That of `ece` is moved by the difference of the
    resamples' mean and the value: a mean of absolute gaps grows with every row drawn twice, and its
    percentiles would lie above the value itself.

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
    resampled = _from_sums(_resampled_sums(sums, seed, resamples), len(truth))
    excess = resampled["ece"].mean() - exact["ece"][0]
    resampled["ece"] = np.maximum(resampled["ece"] - excess, 0.0)
    return {name: _interval(float(value[0]), resampled[name]) for name, value in exact.items()}


def paired_difference(
    labels: Sequence[str], a: np.ndarray, b: np.ndarray, seed: int, resamples: int = 1000
) -> Interval:
    """Log-loss of `a` less that of `b` (nats; below 0 where `a` is better), with a 95 % interval.

    Both are measured on the same resampled rows, so what makes a row hard for both does not widen it.

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
    resampled = _resampled_sums(difference, seed, resamples)[:, 0] / len(truth)
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
    labels: Sequence[str], probabilities: np.ndarray, specialties: Sequence[str], least_rows: int = 20
) -> dict[str, dict[str, Interval | int]]:
    """Accuracy by specialty, with Wilson's 95 % interval, and `rows`.

    Args:
        labels: n severities.
        probabilities: (n, 3).
        specialties: n names; empty where the source gives none.
        least_rows: specialties with fewer rows are pooled as `other`, with the rows that have none.

    Returns:
        The specialties by falling rows and then name, `other` last; empty where no row has one.
    """
    if not any(specialties):
        return {}
    truth, probabilities = _checked(labels, probabilities)
    names = pd.Series(list(specialties))
    small = names.map(names.value_counts()) < least_rows
    right = pd.Series(probabilities.argmax(axis=1) == truth)
    counted = right.groupby(names.mask(small | (names == ""), "other")).agg(["sum", "size"])
    order = sorted(counted.index, key=lambda name: (name == "other", -counted["size"][name], name))
    return {
        name: {
            "accuracy": _wilson(int(counted["sum"][name]), int(counted["size"][name])),
            "rows": int(counted["size"][name]),
        }
        for name in order
    }


def majority(train_labels: Sequence[str], count: int) -> np.ndarray:
    """The class shares of the training labels, for each of `count` rows, (count, 3)."""
    shares = np.array([list(train_labels).count(severity) for severity in SEVERITIES], dtype="float64")
    return np.tile(shares / shares.sum(), (count, 1))


def linear_reference(
    train_texts: Sequence[str],
    train_labels: Sequence[str],
    texts: Sequence[str],
    most_rows: int = 20_000,
    seed: int = 0,
) -> np.ndarray:
    """Probabilities of `texts` by TF-IDF of character 2- to 5-grams and logistic regression, (n, 3).

    Args:
        train_texts, train_labels: what it learns from.
        texts: n complaints.
        most_rows: of more training rows than these a random sample is used: its vocabulary, and with it
            memory and time, would grow with every row, while its figures hardly change.
        seed: of that sample.
    """
    chosen = list(range(len(train_texts)))
    if len(chosen) > most_rows:
        chosen = sorted(random.Random(seed).sample(chosen, most_rows))
    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        LogisticRegression(max_iter=1000),
    )
    model.fit([train_texts[index] for index in chosen], [train_labels[index] for index in chosen])
    result = np.zeros((len(texts), CLASSES))
    columns = [SEVERITIES.index(severity) for severity in model.classes_]
    # A block at a time: the n-grams of every text at once would be most of the memory.
    for start in range(0, len(texts), most_rows):
        result[start : start + most_rows, columns] = model.predict_proba(texts[start : start + most_rows])
    # A class that the training data lacks would have probability 0, and log-loss no bound.
    result = np.clip(result, 1e-6, None)
    return np.asarray(result / result.sum(axis=1, keepdims=True))


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


def folds(groups: Sequence[str], k: int, seed: int) -> np.ndarray:
    """The fold of each row for cross-validation; rows of one group are in one fold.

    The largest group comes first and each goes where the fewest rows are, so folds are as equal as the
    groups allow. Groups of one size are taken by a hash of their name and the seed, so a row's fold does
    not depend on the order of the rows.

    Args:
        groups: n names.
        k: how many folds.
        seed: another one gives other folds.

    Returns:
        (n,), numbers from 0 to k - 1.

    Raises:
        WaznError: there are fewer groups than folds.
    """
    rows = Counter(groups)
    if len(rows) < k:
        raise WaznError(
            f"train_classifier.folds: {k} folds need as many groups of unlike complaints, and there are "
            f"{len(rows)}; give fewer folds, or null"
        )
    order = sorted(rows, key=lambda group: (-rows[group], sha256(f"{seed}:{group}".encode()).digest()))
    waiting = [(0, fold) for fold in range(k)]
    found = {}
    for group in order:
        count, found[group] = waiting[0]
        heapreplace(waiting, (count + rows[group], found[group]))
    return np.array([found[group] for group in groups])


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
    """What each row adds to the sums that all figures are made of, (n, 2 + 9 + 15).

    Log-loss and Brier score; its cell of the confusion matrix; what it adds to its bin's gap between
    accuracy and confidence.
    """
    row = np.arange(len(truth))
    guess = probabilities.argmax(axis=1)
    confidence = probabilities[row, guess]
    found = np.zeros((len(truth), 2 + CLASSES**2 + ECE_BINS))
    found[:, 0] = _log_losses(truth, probabilities)
    found[:, 1] = ((probabilities - np.eye(CLASSES)[truth]) ** 2).sum(axis=1)
    found[row, 2 + CLASSES * truth + guess] = 1.0
    found[row, 2 + CLASSES**2 + _bins(confidence, ECE_BINS)] = (guess == truth) - confidence
    return found


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


def _resampled_sums(rows: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Column sums of n rows drawn with replacement from the (n, f) ones, (resamples, f)."""
    generator = np.random.default_rng(seed)
    n = len(rows)
    result = np.empty((resamples, rows.shape[1]))
    block = max(1, BLOCK // n)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = generator.integers(0, n, (count, n)) + n * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)
        result[start : start + count] = times @ rows
    return result


def _interval(value: float, resampled: np.ndarray) -> Interval:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {"value": round(value, 6), "low": round(float(low), 6), "high": round(float(high), 6)}


def _wilson(right: int, rows: int) -> Interval:
    ends = binomtest(right, rows).proportion_ci(method="wilson")
    return {
        "value": round(right / rows, 6),
        "low": round(float(ends.low), 6),
        "high": round(float(ends.high), 6),
    }
