"""Which rows are used where fewer are wanted than there are."""

import hashlib

import numpy as np
import pandas as pd

from pipeline.severities import SEVERITIES


def stratified_subset(rows: pd.DataFrame, count: int | None, seed: int) -> pd.DataFrame:
    """A seeded choice of rows in which each severity keeps its share.

    Of a severity those rows are chosen whose hash of seed and id is least. So the choice does not depend on
    the order of the rows, and a larger one holds a smaller one as far as the shares allow.

    Args:
        rows: n rows with `id` and `severity`.
        count: how many; None, or n or more, for all of them.
        seed: another seed, another choice.

    Returns:
        The chosen rows, in their order, with their index.
    """
    if count is None or count >= len(rows):
        return rows
    severity = rows["severity"].to_numpy()
    ids = rows["id"].astype(str)
    keys = np.array([hashlib.sha256(f"{seed}\0{row_id}".encode()).hexdigest() for row_id in ids])
    chosen = np.zeros(len(rows), dtype=bool)
    for name, quota in zip(SEVERITIES, _quotas(severity, count), strict=True):
        places = np.flatnonzero(severity == name)
        chosen[places[np.argsort(keys[places], kind="stable")[:quota]]] = True
    return rows[chosen]


def _quotas(severity: np.ndarray, count: int) -> list[int]:
    """How many rows of each of `SEVERITIES` are chosen, by the largest remainders.

    A severity that has rows gets one at least, from the one with most, where `count` suffices.
    """
    sizes = np.array([(severity == name).sum() for name in SEVERITIES])
    # Whole numbers, so that no remainder is rounded.
    quotas, remainders = np.divmod(count * sizes, sizes.sum())
    for index in np.argsort(-remainders, kind="stable")[: count - quotas.sum()]:
        quotas[index] += 1
    for index in np.flatnonzero((sizes > 0) & (quotas == 0)):
        if quotas.max() > 1:
            quotas[quotas.argmax()] -= 1
            quotas[index] += 1
    return [int(quota) for quota in quotas]
