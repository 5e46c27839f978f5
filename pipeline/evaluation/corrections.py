"""P-values corrected for their number: the primary endpoint apart from everything else."""

import numpy as np
import pandas as pd

from pipeline.evaluation.statistics import UNIFORM


def is_primary(table: pd.DataFrame, arm: str, metric: str, group: str) -> pd.Series:
    """Which rows of a table of differences are the primary endpoint: of `arm` less uniform, (n,) bool."""
    rows: pd.Series = (
        (table["comparison"] == f"{arm}-{UNIFORM}")
        & (table["metric"] == metric)
        & (table["group"] == group)
    )
    return rows


def adjusted(p: np.ndarray, primary: np.ndarray, family: np.ndarray) -> np.ndarray:
    """P-values corrected for their number, (n,); NaN where neither mask has them.

    Args:
        p: (n,).
        primary: the primary endpoints, corrected by Holm among themselves, (n,) bool.
        family: those whose false discovery rate is given, (n,) bool.
    """
    corrected = np.full(len(p), np.nan)
    corrected[primary], corrected[family] = holm(p[primary]), benjamini_hochberg(p[family])
    return corrected


def holm(p: np.ndarray) -> np.ndarray:
    """P-values corrected for their number so that no claim is false, but for 5 % (Holm 1979), (k,).

    Args:
        p: (k,), in any order; NaN stays and does not count.
    """
    corrected = np.full(len(p), np.nan)
    order = [index for index in np.argsort(p, kind="stable") if not np.isnan(p[index])]
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p[index]))
        corrected[index] = largest
    return corrected


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Least false discovery rate at which each of k p-values counts (Benjamini & Hochberg 1995), (k,).

    Args:
        p: (k,), in any order; NaN stays and does not count.
    """
    corrected = np.full(len(p), np.nan)
    order = [index for index in np.argsort(-p, kind="stable") if not np.isnan(p[index])]
    least = 1.0
    for place, index in enumerate(order):
        least = min(least, p[index] * len(order) / (len(order) - place))
        corrected[index] = least
    return corrected
