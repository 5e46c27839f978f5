"""How well p_critical agrees with the share of critical complaints, and what a threshold on it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np

from pipeline.evaluation.group_intervals import (
    Interval,
    group_codes,
    group_sums,
    mean_interval,
    rounded,
    share_interval,
)
from pipeline.evaluation.resampling import percentile_interval, resampled_sums
from pipeline.severities import SEVERITIES

_CRITICAL = SEVERITIES.index("critical")
# Rows that a bin of p_critical has at least, but for ties, and bins at most.
_BIN_ROWS, _MAX_BINS = 20, 10
# A threshold has six decimals.
_PRECISION = 1e6


@dataclass(frozen=True)
class Judged:
    """Rows with the probabilities of the classifier and of its linear reference, neither of which saw them.

    Attributes:
        labels: n severities.
        groups: the group of near duplicates of each row.
        classifier, linear: (n, 3).
    """

    labels: Sequence[str]
    groups: Sequence[str]
    classifier: np.ndarray
    linear: np.ndarray

    @property
    def critical(self) -> np.ndarray:
        """Whether each row is critical, (n,) bool."""
        return np.array([label == SEVERITIES[_CRITICAL] for label in self.labels], dtype=bool)

    @property
    def sides(self) -> dict[str, np.ndarray]:
        """p_critical, (n,), of `classifier` and `linear`."""
        return {"classifier": _p_critical(self.classifier), "linear": _p_critical(self.linear)}


def calibration_of_both(judged: Judged, seed: int) -> dict[str, Any]:
    """`calibration` of `classifier` and `linear` on the same rows, and how far they differ.

    `brier_minus_linear` is the mean of the rows' differences in squared error, below 0 where the classifier
    is better.
    """
    critical, codes = judged.critical, group_codes(judged.groups)
    sides = judged.sides
    errors = {name: (given - critical) ** 2 for name, given in sides.items()}
    difference = errors["classifier"] - errors["linear"]
    return {
        **{name: calibration(critical, given, codes, seed) for name, given in sides.items()},
        "brier_minus_linear": mean_interval(difference, codes, (-1.0, 1.0)),
    }


def calibration(
    critical: np.ndarray, given: np.ndarray, codes: np.ndarray, seed: int, resamples: int = 1000
) -> dict[str, Any]:
    """Calibration of n values of p_critical.

    Args:
        critical: (n,) bool.
        given: p_critical, (n,).
        codes: the group of each row, see `group_codes`.
        seed: of the resampling of groups.
        resamples: how many.

    Returns:
        `rows` and `critical`, counts; `mean_probability`, the critical `share`, and `excess`, the mean of
        p_critical less that share (calibration in the large). `brier`: mean squared error, 0 to 1.
        `ece`: expected calibration error, the mean over rows of how far mean p_critical and critical share
        of the row's bin are apart; its interval is moved as that of `severity_quality.figures`.
        `ece_by_chance`: mean and 95 % range of the ECE that rows with these very probabilities have if they
        are calibrated, since no sample is free of gaps. `bins`: mean `probability`, critical `share` and
        `rows` by rising p_critical. At most 10 bins have equal numbers of rows (up to ties), at least 20:
        bins of equal width would be empty where few complaints have a high p_critical.
    """
    bins = _equal_count_bins(given)
    gaps = np.zeros((len(given), bins.max() + 2))
    gaps[np.arange(len(given)), bins] = critical - given
    gaps[:, -1] = 1.0
    resampled = _ece(resampled_sums(group_sums(gaps, codes), resamples, seed))
    ece = float(_ece(gaps.sum(axis=0, keepdims=True))[0])
    low, high = percentile_interval((resampled - (resampled.mean() - ece))[:, None])[:, 0]
    return {
        "rows": len(given),
        "critical": int(critical.sum()),
        "mean_probability": round(float(given.mean()), 6),
        "share": share_interval(critical, codes),
        "excess": mean_interval(given - critical, codes, (-1.0, 1.0)),
        "brier": mean_interval((given - critical) ** 2, codes, (0.0, 1.0)),
        "ece": rounded(ece, max(0.0, low), high),
        "ece_by_chance": _ece_by_chance(given, bins, codes, seed, resamples),
        "bins": [
            {
                "probability": round(float(given[mask].mean()), 6),
                "share": share_interval(critical[mask], group_codes(codes[mask])),
                "rows": int(mask.sum()),
            }
            for mask in (bins == number for number in np.unique(bins))
        ],
    }


def alarms(chosen_on: Judged, measured_on: Judged, recall: float, name: str) -> dict[str, Any] | None:
    """What a threshold on p_critical finds that is chosen to find a share of the critical complaints.

    For the classifier and the linear reference the threshold is chosen in the same way on the same rows: it
    is the largest at which at least `recall` of their critical rows have a p_critical that is not below it.

    Args:
        chosen_on: rows on which the thresholds are chosen.
        measured_on: other rows.
        recall: above 0, to 1.
        name: what `chosen_on` is.

    Returns:
        `recall`, `chosen_on` and its `rows` and `critical` rows; what `flagged` gives of `classifier` and
        `linear`. None where no row of `chosen_on` is critical.
    """
    critical = chosen_on.critical
    if not critical.any():
        return None
    codes = group_codes(measured_on.groups)
    return {
        "recall": recall,
        "chosen_on": name,
        "rows": len(critical),
        "critical": int(critical.sum()),
        **{
            side: flagged(
                measured_on.critical,
                measured_on.sides[side],
                codes,
                threshold(given[critical], recall),
            )
            for side, given in chosen_on.sides.items()
        },
    }


def threshold(given: np.ndarray, recall: float) -> float:
    """The largest threshold, to six decimals, that at least a share `recall` of m values reach.

    Args:
        given: p_critical of m critical rows, m at least 1.
        recall: above 0, to 1.
    """
    # 0.9 * 10 may come out as a little more than 9.
    needed = ceil(recall * len(given) - 1e-9)
    return floor(float(np.sort(given)[len(given) - needed]) * _PRECISION) / _PRECISION


def flagged(critical: np.ndarray, given: np.ndarray, codes: np.ndarray, limit: float) -> dict[str, Any]:
    """What flagging every row whose p_critical is at least `limit` finds, with Wilson's intervals.

    Returns:
        `threshold`; `rows`, `critical`, `flagged` and `found` (flagged and critical), counts; `recall`
        (None without a critical row), `precision` (None where nothing is flagged) and `share_flagged`.
    """
    flags = given >= limit
    return {
        "threshold": limit,
        "rows": len(flags),
        "critical": int(critical.sum()),
        "flagged": int(flags.sum()),
        "found": int((flags & critical).sum()),
        "recall": _share_among(flags, critical, codes),
        "precision": _share_among(critical, flags, codes),
        "share_flagged": share_interval(flags, codes),
    }


def _p_critical(probabilities: np.ndarray) -> np.ndarray:
    """(n,) float64; float32 rows sum to 1 within 1e-7 only."""
    given = probabilities.astype("float64")
    return np.asarray(given[:, _CRITICAL] / given.sum(axis=1))


def _share_among(hits: np.ndarray, rows: np.ndarray, codes: np.ndarray) -> Interval | None:
    return share_interval(hits[rows], group_codes(codes[rows])) if rows.any() else None


def _equal_count_bins(given: np.ndarray) -> np.ndarray:
    """The bin of each of n values, (n,), from 0; equal values share one, whatever the order of the rows."""
    bins = max(1, min(_MAX_BINS, len(given) // _BIN_ROWS))
    edges = np.sort(given)[[len(given) * number // bins for number in range(1, bins)]]
    return np.searchsorted(np.unique(edges), given, side="right")


def _ece(sums: np.ndarray) -> np.ndarray:
    """Calibration error, (k,), of k sums over rows: the gap of each bin, and then the number of rows."""
    return np.asarray(np.abs(sums[:, :-1]).sum(axis=1) / sums[:, -1])


def _ece_by_chance(
    given: np.ndarray, bins: np.ndarray, codes: np.ndarray, seed: int, resamples: int
) -> Interval:
    """ECE of labels drawn from the probabilities themselves; rows of a group are drawn alike."""
    generator = np.random.default_rng(seed)
    expected = np.bincount(bins, weights=given)
    drawn = np.empty(resamples)
    for number in range(resamples):
        critical = generator.random(codes.max() + 1)[codes] < given
        drawn[number] = np.abs(np.bincount(bins, weights=critical) - expected).sum() / len(given)
    return rounded(float(drawn.mean()), *np.quantile(drawn, [0.025, 0.975]))
