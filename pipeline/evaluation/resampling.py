"""The bootstrap over rows: sums of resampled rows, and the intervals that they give."""

import numpy as np

# Numbers that one block of resamples may hold, so that memory stays flat however many rows there are.
BLOCK = 2_000_000


def resampled_sums(rows: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Column sums of n rows that are drawn with replacement from n rows (Efron 1979).

    Args:
        rows: (n, f), n at least 1.
        resamples: how many times n rows are drawn.
        seed: equal n and seed draw the same rows.

    Returns:
        (resamples, f), float64.
    """
    generator = np.random.default_rng(seed)
    n = len(rows)
    sums = np.empty((resamples, rows.shape[1]))
    block = max(1, BLOCK // n)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = generator.integers(0, n, (count, n)) + n * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)
        sums[start : start + count] = times.astype("float64") @ rows
    return sums


def percentile_interval(resampled: np.ndarray) -> np.ndarray:
    """The ends of 95 % percentile intervals of m figures, (2, m), from their resampled values.

    Args:
        resampled: (resamples, m). NaN, as of a resample without a row in the denominator, does not count.

    Returns:
        NaN for a figure that is NaN in every resample.
    """
    ends = np.full((2, resampled.shape[1]), np.nan)
    defined = ~np.isnan(resampled).all(axis=0)
    ends[:, defined] = np.nanquantile(resampled[:, defined], [0.025, 0.975], axis=0)
    return ends
