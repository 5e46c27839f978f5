"""Strengths of arms from which of their answers raters prefer."""

from math import lcm

import choix
import numpy as np
import pandas as pd
from scipy.special import expit

from pipeline.evaluation.crossed import crossed_interval
from pipeline.evaluation.group_intervals import Interval, rounded
from pipeline.evaluation.reviews import first_ratings, rated_arms


def strengths(ratings: pd.DataFrame) -> dict[str, Interval]:
    """How likely each arm's answer is preferred to one of the first arm, with 95 % intervals.

    Bradley and Terry's model (1952), as Luce (1959) has it for the best of several: an answer is chosen in
    proportion to its arm's strength. The strengths are the maximum likelihood estimates of `choix`, with
    one complaint more on which all arms are alike, so that an arm that is never chosen has one too. The
    intervals cover raters and complaints: a choice moves the estimate by its score times the inverse of
    the information (van der Vaart, Asymptotic Statistics, 1998, section 5.3); see `crossed_interval`.

    Args:
        ratings: rows of data/reviews/ratings.parquet of one model, with `group` (of near duplicates).

    Returns:
        By arm, without the first (`uniform` where it was rated); empty where nothing was compared.
    """
    first = first_ratings(ratings)
    arms = rated_arms(first)
    compared = first[first["preferred"].notna()]
    chosen = compared.pivot_table("preferred", ["rater", "round", "item", "group"], "arm").reindex(
        columns=arms
    )
    if chosen.empty:
        return {}
    shares, shown = chosen.fillna(0.0).to_numpy("float64"), chosen.notna().to_numpy()
    everyone = np.ones((1, len(arms)))
    theta = np.asarray(
        choix.ilsr_top1(
            len(arms),
            _choices(np.concatenate([shares, everyone / len(arms)]), np.concatenate([shown, everyone > 0])),
        )
    )
    influences = _influences(chosen, shares, _expected(theta, shown), _expected(theta, everyone > 0))
    estimate = theta[1:] - theta[0]
    ends = crossed_interval(estimate, influences[:, :, 1:] - influences[:, :, :1])
    return {
        arm: rounded(
            *(float(expit(value)) for value in (estimate[place], ends.low[place], ends.high[place]))
        )
        for place, arm in enumerate(arms[1:])
    }


def _choices(shares: np.ndarray, shown: np.ndarray) -> list[tuple[int, tuple[int, ...]]]:
    """Winner and losers of n choices, as `choix` reads them; a tie among k is 1 / k of a choice for each.

    Args:
        shares: see `preferred` of the ratings, (n, A).
        shown: which arms' answers there were to choose from, (n, A) bool.
    """
    winners = shares > 0
    times = lcm(*winners.sum(axis=1).tolist())
    return [
        (int(winner), tuple(int(arm) for arm in np.flatnonzero(there) if arm != winner))
        for won, there in zip(winners, shown, strict=True)
        for winner in np.flatnonzero(won)
        for _ in range(times // int(won.sum()))
    ]


def _expected(theta: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Luce's probability of each answer among those shown, (n, A)."""
    weights = np.where(shown, np.exp(theta - theta.max()), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _influences(
    chosen: pd.DataFrame, shares: np.ndarray, expected: np.ndarray, added: np.ndarray
) -> np.ndarray:
    """How each rater's choices on a group of complaints move the strengths, (R, G, A); their mean is 0.

    Args:
        chosen: its index names rater and group of the n choices.
        shares, expected: (n, A).
        added: as `expected`, of the complaint that was added, (1, A).
    """
    probabilities = np.concatenate([expected, added])
    # Of a choice diag(p) - p p'; the strengths have no common level, so the sum has no inverse.
    information = np.diag(probabilities.sum(axis=0)) - probabilities.T @ probabilities
    raters, groups = (pd.factorize(chosen.index.get_level_values(name))[0] for name in ("rater", "group"))
    moved = np.zeros((raters.max() + 1, groups.max() + 1, shares.shape[1]))
    np.add.at(moved, (raters, groups), (shares - expected) @ np.linalg.pinv(information))
    moved *= moved.shape[0] * moved.shape[1]
    return np.asarray(moved - moved.mean(axis=(0, 1)))
