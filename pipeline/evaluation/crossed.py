"""Confidence intervals of a mean over training seeds and groups of rows, both of which are drawn.

A difference between two arms varies with the trainings (seeds) and with the test rows. The seeds cross the
rows: each training is measured on all of them. So one row's value is

    theta + seed effect + row effect + their interaction,

a random-effects model with two crossed factors. Its variance components follow from the mean squares, and
the standard error of the mean from them (Searle, Casella & McCulloch, Variance Components, 1992, ch. 4).
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95


class Interval(NamedTuple):
    """Ends of a confidence interval and the two-sided p-value that agrees with it, (m,) each."""

    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


class MeanSquares(NamedTuple):
    """Mean squares of S seeds, G groups and their interaction, (m,) each; NaN where S or G is 1."""

    seeds: np.ndarray
    groups: np.ndarray
    interaction: np.ndarray


def mean_squares(influences: np.ndarray) -> MeanSquares:
    """The mean squares of a crossed layout.

    Their expectations are `interaction` = c^2, `seeds` = c^2 + G a^2 and `groups` = c^2 + S b^2, where a^2,
    b^2 and c^2 are the variances of seed effects, group effects and interaction.

    Args:
        influences: (S, G, m), see `crossed_interval`.
    """
    seeds, groups, _ = influences.shape
    of_seeds, of_groups = influences.mean(axis=1), influences.mean(axis=0)
    total = influences.mean(axis=(0, 1))
    rest = influences - of_seeds[:, None] - of_groups[None] + total
    unknown = np.full(influences.shape[2], np.nan)
    return MeanSquares(
        groups * ((of_seeds - total) ** 2).sum(axis=0) / (seeds - 1) if seeds > 1 else unknown,
        seeds * ((of_groups - total) ** 2).sum(axis=0) / (groups - 1) if groups > 1 else unknown,
        (rest**2).sum(axis=(0, 1)) / ((seeds - 1) * (groups - 1)) if seeds > 1 < groups else unknown,
    )


def crossed_interval(estimate: np.ndarray, influences: np.ndarray, *, skewed: bool = True) -> Interval:
    """Intervals of m estimates that are means, or are nearly linear, over seeds and groups of rows.

    An interval is the widest of three at each end, so that it covers with few rows, skewed rows and few
    seeds (tests/evaluation/test_coverage.py):

    - Student's t with the standard error of the crossed model and Satterthwaite's degrees of freedom;
    - the same after Hall's transformation, which corrects for the skewness of the groups (Hall 1992, J. R.
      Statist. Soc. B 54:221);
    - Student's t over the S seeds alone. With two or three seeds Satterthwaite's degrees of freedom are
      themselves too uncertain.

    With one seed the interval covers the choice of rows only.

    Args:
        estimate: (m,).
        influences: (S, G, m), how each seed's value of a group moves the estimate: of a mean, its deviation
            from the mean; of a ratio, its linearised deviation. Their mean is 0.
        skewed: whether Hall's transformation is among the three.

    Returns:
        NaN where there is one seed and one group.
    """
    seeds, groups, _ = influences.shape
    third = third_moment(influences.mean(axis=0)) if skewed else np.zeros_like(estimate)
    return interval_of(estimate, mean_squares(influences), third, seeds, groups)


def interval_of(
    estimate: np.ndarray, squares: MeanSquares, third: np.ndarray, seeds: int, groups: int
) -> Interval:
    """The intervals of `crossed_interval`, from what they depend on.

    Args:
        estimate: (m,).
        squares: (m,) each.
        third: see `third_moment`; 0 for no correction of skewness, (m,).
    """
    error, freedom = standard_error(squares, seeds, groups)
    quantile = stats.t.ppf((1 + LEVEL) / 2, freedom)
    # Of the mean over the groups.
    skewness = np.divide(third / groups**2, error**3, out=np.zeros_like(third), where=error > 0)
    below = error * np.maximum(quantile, _hall_inverse(quantile, skewness))
    above = error * np.maximum(quantile, -_hall_inverse(-quantile, skewness))
    # As if the side that faces 0 were Student's, so that p agrees with the interval.
    facing = np.where(estimate > 0, below, above) / quantile
    tail = stats.t.sf(np.abs(_ratio(estimate, facing)), freedom)
    if seeds > 1:
        of_seeds = np.sqrt(squares.seeds / (seeds * groups))
        width = of_seeds * stats.t.ppf((1 + LEVEL) / 2, seeds - 1)
        below, above = np.maximum(below, width), np.maximum(above, width)
        tail = np.maximum(tail, stats.t.sf(np.abs(_ratio(estimate, of_seeds)), seeds - 1))
    return Interval(estimate - below, estimate + above, np.minimum(1.0, 2 * tail))


def standard_error(squares: MeanSquares, seeds: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of a mean over S seeds x G groups, and its degrees of freedom (Satterthwaite 1946).

    Args:
        squares: (m,) each.

    Returns:
        Two arrays, (m,). NaN where S and G are 1.
    """
    if seeds == 1 or groups == 1:
        square = squares.groups if seeds == 1 else squares.seeds
        return np.sqrt(square / (seeds * groups)), np.full(square.shape, max(seeds, groups) - 1.0)
    a, b, c = squares
    both = a + b - c
    spread = a**2 / (seeds - 1) + b**2 / (groups - 1) + c**2 / ((seeds - 1) * (groups - 1))
    freedom = np.divide(both**2, spread, out=np.ones_like(both), where=spread > 0)
    # A variance component cannot be negative: where one is estimated so, the other's mean square has all.
    choice = np.argmax([both, a, b], axis=0)
    square = np.choose(choice, [both, a, b])
    freedom = np.choose(choice, [freedom, np.full_like(a, seeds - 1), np.full_like(b, groups - 1)])
    return np.sqrt(square / (seeds * groups)), freedom


def third_moment(of_groups: np.ndarray) -> np.ndarray:
    """Unbiased third central moment of G groups' values, (G, m), to (m,); 0 with fewer than three groups.

    Args:
        of_groups: their mean is 0.
    """
    groups = len(of_groups)
    if groups < 3:
        return np.zeros(of_groups.shape[1])
    return np.asarray((of_groups**3).sum(axis=0) * groups / ((groups - 1) * (groups - 2)))


def _ratio(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Values over their standard errors; 0 / 0 is 0, and all else over 0 is infinite."""
    signs = np.where(values == 0, 0.0, np.copysign(np.inf, values))
    return np.asarray(np.divide(values, errors, out=signs, where=errors != 0))


def _hall_inverse(value: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """The statistic t of which Hall's transformation makes `value`.

    It takes the skewness g out of t: t + g t^2 / 3 + g^2 t^3 / 27 + g / 6, which rises with t.
    """
    small = np.abs(skewness) < 1e-6
    divisor = np.where(small, 1.0, skewness)
    exact = 3 / divisor * (np.cbrt(1 + divisor * (value - divisor / 6)) - 1)
    return np.where(small, value - skewness / 6, exact)
