"""Probabilities that pairs came with, and probabilities that are sharpened."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.errors import WaznError
from pipeline.severities import PROBABILITIES


def provided(path: Path, shard: pa.Table) -> np.ndarray:
    """The probabilities that the source gives for the rows of a shard, divided by their sum: (rows, 3),
    float32.

    Raises:
        WaznError: a row has none, or one that is no probability.
    """
    given = np.column_stack(
        [shard[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in PROBABILITIES]
    )
    total = given.sum(axis=1)
    broken = ~(np.isfinite(total) & (given >= 0).all(axis=1) & (total > 0))
    if broken.any():
        raise WaznError(
            f"{path}: row {shard['id'][broken.argmax()]} came without usable probabilities; name their "
            "columns in download.pairs, or set severity.source to classifier"
        )
    return np.asarray(given / total[:, None], dtype=np.float32)


def sharpened(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """`p^(1/T)`, divided by the sum over the severities; the same array where T is 1.

    Args:
        probabilities: (n, 3), float32, each row summing to 1.
        temperature: T > 0. Below 1 the probabilities spread more, above 1 less; 1 / T takes T back.

    Returns:
        (n, 3), float32, computed in float64.
    """
    if temperature == 1:
        return probabilities
    with np.errstate(divide="ignore"):
        logarithms = np.log(probabilities.astype(np.float64))
    # Less their greatest, so that a small T does not make all powers of a row 0.
    powers = np.exp((logarithms - logarithms.max(axis=1, keepdims=True)) / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)
