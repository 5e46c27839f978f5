"""Which split a row is in, and what a split of single rows would have leaked."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.errors import WaznError
from pipeline.schemas import SPLITS


def assign_splits(keys: np.ndarray, fractions: Mapping[str, float], seed: int) -> np.ndarray:
    """The split of each of n rows, by a hash of its key and the seed alone.

    Args:
        keys: (n,), uint64, of `duplicates.Sketches`: near duplicates nearly always share theirs.
        fractions: share of each of `SPLITS`; they sum to 1.
        seed: another seed, another assignment.

    Returns:
        (n,), uint8, indices of `SPLITS`.
    """
    salt = int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:8], "big")
    mixed = (keys ^ np.uint64(salt)) * np.uint64(0xFF51AFD7ED558CCD)
    mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    position = (mixed >> np.uint64(11)).astype(np.float64) / 2**53
    bounds = np.cumsum([fractions[split] for split in SPLITS[:-1]])
    return np.searchsorted(bounds, position, side="right").astype(np.uint8)


def check_splits(dataset: str, counts: Mapping[str, Any], fractions: Mapping[str, float]) -> None:
    """Refuse a data set that has no row in a split that should have some.

    Args:
        dataset: `pairs` or `labelled`.
        counts: as `data/metrics.py` makes them.
        fractions: share of each split.

    Raises:
        WaznError: a split is empty.
    """
    for split in SPLITS:
        if fractions[split] and not counts["splits"][split]:
            raise WaznError(
                f"data/raw/{dataset}.parquet: none of its {counts['kept']} usable rows falls into the "
                f"{split} split; give more rows, or another normalise.split or normalise.seed "
                f"(rejected: {counts['rejected']})"
            )


def naive_split_leaks(groups: np.ndarray, fractions: Mapping[str, float], seed: int) -> dict[str, int]:
    """What a split that is drawn at random over rows, as the paper's was, would leak.

    Args:
        groups: (n,), equal for near duplicates.
        fractions: share of each split.
        seed: of the draw.

    Returns:
        `test_rows`, and of these `leaked`: those with a near duplicate in the training split.
    """
    draw = np.random.default_rng(seed).random(len(groups))
    train = draw < fractions["train"]
    test = draw >= 1 - fractions["test"]
    leaked = np.isin(groups[test], groups[train])
    return {"test_rows": int(test.sum()), "leaked": int(leaked.sum())}
