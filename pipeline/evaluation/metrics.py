"""The metrics: each is a ratio of sums over rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Metric:
    """A metric of a set of rows: sum of `numerator` / sum of `denominator`, or `exp` of that.

    Attributes:
        title: its name in tables.
        better: which values are better; `neither` where a value alone means nothing.
        numerator: columns whose product is summed.
        denominator: a column that is the same in every arm; None for 1, so that the metric is a mean.
        exp: whether the metric is the exponential of the ratio.
    """

    title: str
    better: Literal["higher", "lower", "neither"]
    numerator: tuple[str, ...]
    denominator: str | None = None
    exp: bool = False


METRICS = {
    "bertscore_precision": Metric("BERTScore precision", "higher", ("bertscore_precision",)),
    "bertscore_recall": Metric("BERTScore recall", "higher", ("bertscore_recall",)),
    "bertscore_f1": Metric("BERTScore F1", "higher", ("bertscore_f1",)),
    "chrf": Metric("chrF++", "higher", ("chrf",)),
    "rouge_l": Metric("ROUGE-L", "higher", ("rouge_l",)),
    "urgency_recall": Metric(
        "Urgency recall", "higher", ("urgent_reference", "urgent_answer"), "urgent_reference"
    ),
    "nll": Metric("NLL", "lower", ("nll_sum",), "answer_tokens"),
    "perplexity": Metric("Perplexity", "lower", ("nll_sum",), "answer_tokens", exp=True),
    "words": Metric("Words", "neither", ("words",)),
    "repetition": Metric("Repetition", "lower", ("repetition",)),
    "empty": Metric("Empty answers", "lower", ("empty",)),
}
COLUMNS = tuple(
    dict.fromkeys(
        column
        for metric in METRICS.values()
        for column in (*metric.numerator, metric.denominator)
        if column is not None
    )
)
# The logarithm of the perplexity is the NLL, so a difference of perplexities would say nothing new.
COMPARED = tuple(name for name, metric in METRICS.items() if not metric.exp)


def terms(rows: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and denominators of every row, (n, m) each.

    Args:
        rows: n rows with the columns `COLUMNS`.
        names: m metrics.
    """
    numerators, denominators = np.empty((2, len(rows), len(names)))
    for index, name in enumerate(names):
        metric = METRICS[name]
        numerators[:, index] = rows[list(metric.numerator)].prod(axis=1)
        denominators[:, index] = 1.0 if metric.denominator is None else rows[metric.denominator]
    return numerators, denominators


def values(numerators: np.ndarray, denominators: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Metrics from sums over rows, (…, m); NaN where there is nothing to divide by.

    Args:
        numerators, denominators: (…, m), as sums of `terms`.
        names: m metrics.
    """
    undefined = np.full(np.broadcast(numerators, denominators).shape, np.nan)
    ratios: np.ndarray = np.divide(numerators, denominators, out=undefined, where=denominators > 0)
    exponential = [METRICS[name].exp for name in names]
    ratios[..., exponential] = np.exp(ratios[..., exponential])
    return ratios
