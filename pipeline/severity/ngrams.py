"""A linear model of character n-grams: a part of small classifiers, and the reference for all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from pipeline.inputs import damaged
from pipeline.severities import SEVERITIES
from pipeline.severity.calibration import fit_temperature, softmax

_BUCKETS = 2**18
_TENSORS = ("idf", "coefficients", "intercepts")


class NgramModel:
    """TF-IDF of hashed character 2- to 5-grams within words, and logistic regression."""

    def __init__(self, idf: np.ndarray, weights: np.ndarray, intercepts: np.ndarray) -> None:
        """Take (buckets,), (buckets, 3) and (3,), float32."""
        self._idf, self._weights, self._intercepts = idf, weights, intercepts

    @classmethod
    def fit(cls, texts: Sequence[str], labels: Sequence[str]) -> "NgramModel":
        """Fit to n normalised complaints and their severities; each of the three must occur."""
        counts = _counts(texts)
        documents = np.bincount(counts.indices, minlength=_BUCKETS)
        idf = (np.log((1 + len(texts)) / (1 + documents)) + 1).astype(np.float32)
        model = LogisticRegression(max_iter=1000).fit(_weighted(counts, idf), list(labels))
        columns = [list(model.classes_).index(severity) for severity in SEVERITIES]
        weights = np.ascontiguousarray(model.coef_[columns].T, dtype=np.float32)
        return cls(idf, weights, model.intercept_[columns].astype(np.float32))

    @classmethod
    def load(cls, path: Path) -> "NgramModel":
        """Read what `save` wrote.

        Raises:
            WaznError: the file is not readable.
        """
        try:
            tensors = load_file(path)
            idf, weights, intercepts = (tensors[name] for name in _TENSORS)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise damaged(path, "not readable") from error
        classes = len(SEVERITIES)
        if (idf.shape, weights.shape, intercepts.shape) != ((_BUCKETS,), (_BUCKETS, classes), (classes,)):
            raise damaged(path, "its tensors have other shapes than an n-gram model")
        return cls(idf, weights, intercepts)

    def save(self, path: Path) -> None:
        """Write a safetensors file of 4 MiB."""
        tensors = dict(zip(_TENSORS, (self._idf, self._weights, self._intercepts), strict=True))
        save_file(tensors, path)

    def log_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Log-probabilities of the severities of n normalised complaints, (n, 3), float64."""
        if not texts:
            return np.zeros((0, len(SEVERITIES)))
        logits = _weighted(_counts(texts), self._idf) @ self._weights + self._intercepts
        logits = logits.astype(np.float64)
        return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


def linear_reference(
    train_texts: Sequence[str],
    train_labels: Sequence[str],
    valid_texts: Sequence[str],
    valid_labels: Sequence[str],
    texts: Sequence[str],
) -> np.ndarray:
    """Severity probabilities of n texts by the linear model alone, (n, 3) float64.

    It has what the classifier has: it learns from the training rows, its temperature is fitted on the
    validation rows, and then it learns from both. So a difference between the two is not one of
    calibration.
    """
    first = NgramModel.fit(train_texts, train_labels)
    temperature = fit_temperature(first.log_probabilities(valid_texts), valid_labels)
    model = NgramModel.fit([*train_texts, *valid_texts], [*train_labels, *valid_labels])
    return softmax(model.log_probabilities(texts), temperature)


def _counts(texts: Sequence[str]) -> scipy.sparse.csr_matrix:
    vectoriser = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 5), n_features=_BUCKETS, alternate_sign=False, norm=None
    )
    return vectoriser.transform(texts)


def _weighted(counts: scipy.sparse.csr_matrix, idf: np.ndarray) -> scipy.sparse.csr_matrix:
    """(1 + log count) * idf, each row to length 1."""
    weighted = counts.astype(np.float32)
    weighted.data = (1 + np.log(weighted.data)) * idf[weighted.indices]
    return normalize(weighted, copy=False)
