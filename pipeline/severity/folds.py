"""Folds for cross-validation that keep near duplicates together."""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from heapq import heapreplace

import numpy as np

from pipeline.errors import WaznError


def folds(groups: Sequence[str], k: int, seed: int) -> np.ndarray:
    """The fold of each row for cross-validation; rows of one group are in one fold.

    The largest group is placed first, and each group goes to the fold with the fewest rows, so folds are as
    equal as the groups allow. Groups of one size are ordered by a hash of their name and the seed, so a
    row's fold does not depend on the order of the rows.

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
    fold_of = {}
    for group in order:
        count, fold_of[group] = waiting[0]
        heapreplace(waiting, (count + rows[group], fold_of[group]))
    return np.array([fold_of[group] for group in groups])
