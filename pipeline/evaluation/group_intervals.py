"""95 % intervals of figures of rows, of which near duplicates come in groups and say the same twice."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import pandas as pd
from scipy.stats import norm

from pipeline.evaluation.crossed import crossed_interval


class Interval(TypedDict):
    """A figure with the ends of its 95 % interval, all rounded to six decimals."""

    value: float
    low: float
    high: float


def group_codes(groups: Sequence[str]) -> np.ndarray:
    """Number of each row's group, (n,), from 0, in the order in which the groups first occur."""
    return pd.factorize(np.asarray(groups, dtype=object))[0]


def group_sums(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sums of the rows of each group, (g, f).

    Args:
        rows: (n, f).
        codes: (n,), as of `group_codes`.
    """
    return np.asarray(pd.DataFrame(rows).groupby(codes, sort=True).sum())


def mean_interval(values: np.ndarray, codes: np.ndarray, bounds: tuple[float, float]) -> Interval:
    """Mean of n values, with an interval over the choice of groups.

    The mean is a ratio, sum over number of rows, and each group's linearised deviation from it goes into
    `crossed_interval`, which allows for skewed values and few groups.

    Args:
        values, codes: (n,), n at least 1.
        bounds: between which a mean lies, whatever the rows. A single group has them as its interval.
    """
    mean = values.mean()
    sums = group_sums(values[:, None] - mean, codes)[:, 0]
    return influence_interval(float(mean), sums * len(sums) / len(values), bounds)


def influence_interval(value: float, influences: np.ndarray, bounds: tuple[float, float]) -> Interval:
    """A figure that is nearly linear in g groups, with an interval over their choice.

    Args:
        influences: (g,), see `crossed_interval`; centred here.
        bounds: as of `mean_interval`.
    """
    if len(influences) == 1:
        return rounded(value, *bounds)
    ends = crossed_interval(np.array([value]), (influences - influences.mean())[None, :, None])
    low, high = np.clip([ends.low[0], ends.high[0]], *bounds)
    return rounded(value, low, high)


def share_interval(hits: np.ndarray, codes: np.ndarray) -> Interval:
    """Share of rows that are hits, with Wilson's score interval (Wilson 1927).

    In place of the number of rows stands n^2 / sum of m^2, m being the sizes of the groups (Kish 1965): all
    rows of a group are taken to be alike, so that many copies of one complaint count as one.

    Args:
        hits: (n,) bool, n at least 1.
        codes: (n,).
    """
    share, rows = hits.mean(), len(hits) ** 2 / float((np.bincount(codes) ** 2.0).sum())
    z = norm.ppf(0.975)
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    width = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return rounded(float(share), max(0.0, middle - width), min(1.0, middle + width))


def rounded(value: float, low: float, high: float) -> Interval:
    """An interval, rounded."""
    return {"value": round(value, 6), "low": round(float(low), 6), "high": round(float(high), 6)}
