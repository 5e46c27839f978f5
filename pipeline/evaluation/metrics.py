"""The metrics: each is a ratio of sums over rows."""

from collections.abc import Mapping, Sequence
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
        numerator: a column of `with_terms`.
        denominator: likewise; None for 1, so that the metric is a mean.
        exp: whether the metric is the exponential of the ratio.
        share: whether it is a share of rows (each counts or does not), so between 0 and 1.
    """

    title: str
    better: Literal["higher", "lower", "neither"]
    numerator: str
    denominator: str | None = None
    exp: bool = False
    share: bool = False


def _share(
    title: str, better: Literal["higher", "lower"], numerator: str, denominator: str | None
) -> Metric:
    return Metric(title, better, numerator, denominator, share=True)


METRICS = {
    "bertscore_precision": Metric("BERTScore precision", "higher", "bertscore_precision"),
    "bertscore_recall": Metric("BERTScore recall", "higher", "bertscore_recall"),
    "bertscore_f1": Metric("BERTScore F1", "higher", "bertscore_f1"),
    "chrf": Metric("chrF++", "higher", "chrf"),
    "rouge_l": Metric("ROUGE-L", "higher", "rouge_l"),
    "urgency_recall": _share("Urgency recall", "higher", "alarm_right", "alarm_due"),
    "urgency_precision": _share("Urgency precision", "higher", "alarm_right", "alarm"),
    "urgency_f1": _share("Urgency F1", "higher", "alarm_right_twice", "alarm_or_due"),
    "needless_alarms": _share("Needless alarms", "lower", "alarm_needless", "alarm_not_due"),
    "dangerous_reassurance": _share("Dangerous reassurance", "lower", "critical_reassured", "critical"),
    "nll": Metric("NLL", "lower", "nll_sum", "answer_tokens"),
    "bits_per_byte": Metric("Bits per byte", "lower", "bits", "answer_bytes"),
    "perplexity": Metric("Perplexity", "lower", "nll_sum", "answer_tokens", exp=True),
    "words": Metric("Words", "neither", "words"),
    "repetition": Metric("Repetition", "lower", "repetition"),
    "empty": _share("Empty answers", "lower", "empty", None),
    "cut_off": _share("Cut off", "lower", "cut_off", None),
}
# The logarithm of the perplexity is the NLL, so a difference of perplexities would say nothing new.
COMPARED = tuple(name for name, metric in METRICS.items() if not metric.exp)
# Columns of figures in data/generated/**.parquet, and the ones that `with_terms` needs besides.
MEASURED = (
    "bertscore_precision",
    "bertscore_recall",
    "bertscore_f1",
    "chrf",
    "rouge_l",
    "nll_sum",
    "answer_tokens",
    "answer_bytes",
    "words",
    "repetition",
    "empty",
    "cut_off",
)
JUDGED = ("urgent_reference", "urgent_answer", "reassuring_answer")


def with_terms(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns that metrics are ratios of.

    An alarm is an answer that says to seek urgent care; it is due where the reference says so. A model that
    always alarms has a perfect recall, so precision and needless alarms stand beside it.

    Args:
        rows: n rows with `severity` and the columns of `MEASURED` and `JUDGED`; the latter are 0 or 1.
    """
    due, alarm = rows["urgent_reference"], rows["urgent_answer"]
    critical = (rows["severity"] == "critical").astype("int64")
    return rows.assign(
        alarm_due=due,
        alarm_not_due=1 - due,
        alarm=alarm,
        alarm_right=due * alarm,
        alarm_right_twice=2 * due * alarm,
        alarm_or_due=due + alarm,
        alarm_needless=(1 - due) * alarm,
        critical=critical,
        critical_reassured=critical * rows["reassuring_answer"],
        bits=rows["nll_sum"] / np.log(2),
    )


def terms(
    rows: pd.DataFrame, names: Sequence[str], known: Mapping[str, Metric] = METRICS
) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and denominators of every row, (n, m) each.

    Args:
        rows: n rows with the columns of the metrics, as `with_terms` gives those of `METRICS`.
        names: m metrics of `known`.
    """
    numerators, denominators = np.empty((2, len(rows), len(names)))
    for index, name in enumerate(names):
        metric = known[name]
        numerators[:, index] = rows[metric.numerator]
        denominators[:, index] = 1.0 if metric.denominator is None else rows[metric.denominator]
    return numerators, denominators
