"""The groups of test rows that are measured apart: all, by severity, by specialty."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.severities import SEVERITIES

ALL = "all"
# Specialties with fewer rows are pooled.
MIN_ROWS = 20
POOLED = "other"


def groups(rows: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """The groups of n rows, each as its name and which rows it has, (n,) bool.

    All rows; each severity that occurs, critical first; each specialty, see `specialties`.

    Args:
        rows: with `severity` and perhaps `specialty` (null or empty where a row has none).
    """
    yield ALL, np.ones(len(rows), dtype=bool)
    for severity in reversed(SEVERITIES):
        mask = (rows["severity"] == severity).to_numpy()
        if mask.any():
            yield severity, mask
    if "specialty" not in rows:
        return
    names = rows["specialty"].astype(object).fillna("")
    # A specialty may have the name of another group.
    yield from specialties(names.where(~names.isin((ALL, *SEVERITIES)), names + " (specialty)"))


def specialties(names: pd.Series, min_rows: int = MIN_ROWS) -> Iterator[tuple[str, np.ndarray]]:
    """The specialties of n rows, each as its name and which rows it has, (n,) bool.

    They come by falling rows and then by name. Those with fewer than `min_rows` rows are pooled as `other`,
    which comes last, with the rows that have none. Where no row has a specialty there are none.

    Args:
        names: (n,), empty for a row without a specialty.
    """
    if not (names != "").any():
        return
    pooled = names.where((names.map(names.value_counts()) >= min_rows) & (names != ""), POOLED)
    counts = pooled.value_counts()
    for name in sorted(counts.index, key=lambda name: (name == POOLED, -counts[name], name)):
        yield name, (pooled == name).to_numpy()
