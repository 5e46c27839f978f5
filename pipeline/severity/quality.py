"""How good severity probabilities are, and what they are to be compared with."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.pipeline import make_pipeline

from pipeline.severity.labels import SEVERITIES


def figures(labels: Sequence[str], probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy, macro-averaged F1 and log-loss (nats) of probabilities (n, 3) against n labels."""
    truth = [SEVERITIES.index(label) for label in labels]
    classes = list(range(len(SEVERITIES)))
    guess = probabilities.argmax(axis=1)
    # float32 rows sum to 1 within 1e-7 only, which scikit-learn warns of.
    probabilities = probabilities.astype("float64")
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(accuracy_score(truth, guess)),
        "macro_f1": float(f1_score(truth, guess, labels=classes, average="macro", zero_division=0)),
        "log_loss": float(log_loss(truth, probabilities, labels=classes)),
    }


def majority(train_labels: Sequence[str], count: int) -> np.ndarray:
    """The class shares of the training labels, for each of `count` rows, (count, 3)."""
    shares = np.array([list(train_labels).count(severity) for severity in SEVERITIES], dtype="float64")
    return np.tile(shares / shares.sum(), (count, 1))


def linear_reference(
    train_texts: Sequence[str], train_labels: Sequence[str], texts: Sequence[str]
) -> np.ndarray:
    """Probabilities of `texts` by TF-IDF of character 2- to 5-grams and logistic regression, (n, 3)."""
    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        LogisticRegression(max_iter=1000),
    )
    model.fit(train_texts, train_labels)
    found = model.predict_proba(texts)
    result = np.zeros((len(texts), len(SEVERITIES)))
    for column, severity in enumerate(model.classes_):
        result[:, SEVERITIES.index(severity)] = found[:, column]
    # A class that the training data lacks would have probability 0, and log-loss no bound.
    result = np.clip(result, 1e-6, None)
    return np.asarray(result / result.sum(axis=1, keepdims=True))


def reliability(labels: Sequence[str], probabilities: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Mean confidence and accuracy of the most likely class, in bins of equal width by confidence.

    Returns:
        One row for each bin that is not empty: `confidence`, `accuracy`, `rows`.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == [SEVERITIES.index(label) for label in labels]
    table = pd.DataFrame({"confidence": confidence, "accuracy": right.astype(float)})
    grouped = table.groupby(np.minimum((confidence * bins).astype(int), bins - 1))
    return grouped.mean().assign(rows=grouped.size()).reset_index(drop=True)
