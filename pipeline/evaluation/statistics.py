"""The metrics of each arm of a model, by group of test rows, and how surely arms differ."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.evaluation.crossed import crossed_interval
from pipeline.evaluation.groups import groups
from pipeline.evaluation.metrics import COMPARED, METRICS, Metric, terms

# The arm that the others are compared with, and the model before fine-tuning.
UNIFORM, BASE = "uniform", "base"

ArmTables = Mapping[str, Sequence[pd.DataFrame]]
"""Of one model: arm (and `base`) to its evaluated rows, one table for each training seed. All tables have
the same rows in the same order, with `severity`, `group` (of near duplicates), perhaps `specialty`, and the
columns of `metrics.with_terms` that the metrics need. `base`, which is not trained, has one table."""


def comparisons(arms: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Which arms are compared: each with `uniform`, and then `uniform` with `base`.

    Args:
        arms: in the order in which they are shown.

    Returns:
        The name of a comparison, such as `weighting-uniform`, to the two arms; the first less the second.
    """
    pairs = [*((arm, UNIFORM) for arm in arms if arm not in (UNIFORM, BASE)), (UNIFORM, BASE)]
    return {f"{one}-{other}": (one, other) for one, other in pairs}


def measure(
    tables: ArmTables, names: Sequence[str] = tuple(METRICS), known: Mapping[str, Metric] = METRICS
) -> pd.DataFrame:
    """Every metric of every arm of a model, with its 95 % interval.

    A metric is the ratio of its sums over all rows and seeds. The interval covers the choice of training
    seeds and of test rows, near duplicates as one (see `crossed_interval`); with one seed, of rows only.

    Args:
        tables: see `ArmTables`.
        names: of the metrics.
        known: what they are; others than `METRICS` are of other columns of the tables.

    Returns:
        `arm`, `metric`, `group` (`all`, a severity or a specialty), `rows` (those that count in the
        denominator), `value`, `low`, `high` (NaN where one row cannot tell), `sd_seeds` (standard deviation
        over the seeds, NaN for one seed) and `seeds`. A metric without rows in its denominator is absent.
    """
    rows = []
    for group, sums_of in _groups(tables, names, known):
        for arm, sums in sums_of.items():
            interval = _interval(sums, [known[name] for name in names])
            for index, name in enumerate(names):
                if not sums.below[:, :, index].any():
                    continue
                ends = np.array([sums.ratio()[index], interval[0][index], interval[1][index]])
                by_seed = sums.ratio_by_seed()[:, index]
                if known[name].exp:
                    ends, by_seed = np.exp(ends), np.exp(by_seed)
                rows.append(
                    {
                        "arm": arm,
                        "metric": name,
                        "group": group,
                        "rows": int(sums.rows[index]),
                        **dict(zip(("value", "low", "high"), ends.tolist(), strict=True)),
                        "sd_seeds": by_seed.std(ddof=1) if len(by_seed) > 1 else np.nan,
                        "seeds": len(by_seed),
                    }
                )
    return pd.DataFrame(rows)


def compare(
    tables: ArmTables,
    pairs: Mapping[str, tuple[str, str]] | None = None,
    names: Sequence[str] = COMPARED,
    known: Mapping[str, Metric] = METRICS,
) -> pd.DataFrame:
    """Differences between the arms of a model, paired by training seed and test row.

    Two arms of one seed have the same adapters at the start, the same order and the same dropout, and are
    measured on the same rows; what both share does not widen the interval.

    Args:
        tables: see `ArmTables`.
        pairs: see `comparisons`, which makes them of the tables' arms if they are not given.
        names, known: see `measure`.

    Returns:
        `comparison`, `metric`, `group`, `rows`, `value`, `low`, `high`, `p` (two-sided; NaN
        for one seed, as one training cannot tell), `seeds` and `by_seed` (a list: each seed's difference).
        A metric without rows in a denominator is absent.
    """
    pairs = comparisons(tables) if pairs is None else pairs
    rows = []
    for group, sums_of in _groups(tables, names, known):
        for comparison, (one, other) in pairs.items():
            ours, theirs = _paired(sums_of[one], sums_of[other])
            value = ours.ratio() - theirs.ratio()
            low, high, p = _interval(ours, [known[name] for name in names], theirs)
            by_seed = ours.ratio_by_seed() - theirs.ratio_by_seed()
            seeds = len(by_seed)
            rows += [
                {
                    "comparison": comparison,
                    "metric": name,
                    "group": group,
                    "rows": int(max(ours.rows[index], theirs.rows[index])),
                    "value": float(value[index]),
                    "low": float(low[index]),
                    "high": float(high[index]),
                    "p": float(p[index]) if seeds > 1 else np.nan,
                    "seeds": seeds,
                    "by_seed": by_seed[:, index].tolist(),
                }
                for index, name in enumerate(names)
                if not np.isnan(value[index])
            ]
    return pd.DataFrame(rows)


def influences_of(
    tables: ArmTables, one: str, other: str, metric: str, group: str
) -> tuple[float, np.ndarray]:
    """A difference of one metric on one group of rows, and its influences, (S, G).

    Raises:
        KeyError: the group has no rows that count.
    """
    for name, sums_of in _groups(tables, [metric]):
        if name == group:
            ours, theirs = _paired(sums_of[one], sums_of[other])
            if ours.below.any() and theirs.below.any():
                difference = ours.influences() - theirs.influences()
                return float(ours.ratio()[0] - theirs.ratio()[0]), difference[:, :, 0]
    raise KeyError(group)


@dataclass(frozen=True)
class _Sums:
    """Sums of m metrics by seed and group of near duplicates.

    Attributes:
        above, below: of numerators and denominators, (S, G, m).
        rows: that have a denominator in any seed, (m,).
    """

    above: np.ndarray
    below: np.ndarray
    rows: np.ndarray

    def ratio(self) -> np.ndarray:
        """The metrics over all seeds, (m,); NaN where there is nothing to divide by."""
        return _divide(self.above.sum(axis=(0, 1)), self.below.sum(axis=(0, 1)))

    def ratio_by_seed(self) -> np.ndarray:
        """The metrics of each seed, (S, m)."""
        return _divide(self.above.sum(axis=1), self.below.sum(axis=1))

    def influences(self) -> np.ndarray:
        """How each seed's values of a group move the metrics, linearised, (S, G, m); their mean is 0."""
        seeds, count, _ = self.above.shape
        deviations = self.above - self.ratio() * self.below
        return _divide(deviations * seeds * count, self.below.sum(axis=(0, 1)))


def _groups(
    tables: ArmTables, names: Sequence[str], known: Mapping[str, Metric] = METRICS
) -> Iterator[tuple[str, dict[str, _Sums]]]:
    """Each group of test rows with the sums of every arm."""
    first = next(iter(tables.values()))[0]
    of_rows = {arm: [terms(table, names, known) for table in of_arm] for arm, of_arm in tables.items()}
    for group, mask in groups(first):
        codes, _ = pd.factorize(first["group"][mask])
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        sums_of = {}
        for arm, of_arm in of_rows.items():
            above, below = (np.stack([part[side][mask][order] for part in of_arm]) for side in (0, 1))
            sums_of[arm] = _Sums(
                np.add.reduceat(above, starts, axis=1),
                np.add.reduceat(below, starts, axis=1),
                (below > 0).any(axis=0).sum(axis=0),
            )
        yield group, sums_of


def _paired(ours: _Sums, theirs: _Sums) -> tuple[_Sums, _Sums]:
    """Both with the same number of seeds: what has one table, as `base`, has it for each seed."""
    seeds = max(len(ours.above), len(theirs.above))

    def repeated(sums: _Sums) -> _Sums:
        shape = (seeds, *sums.above.shape[1:])
        return _Sums(np.broadcast_to(sums.above, shape), np.broadcast_to(sums.below, shape), sums.rows)

    return repeated(ours), repeated(theirs)


def _interval(
    ours: _Sums, metrics: Sequence[Metric], theirs: _Sums | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends of the intervals and p of m metrics, or of their differences, (m,) each.

    Nine rows that all fail do not show that the share is 0. So shares of rows are computed with a few rows
    more: two that count and two that do not (Agresti & Coull 1998); for differences one for which the first
    arm counts and one for which the second does (Bonett & Price 2012).
    """
    estimate, influences = _estimate(ours, theirs)
    low, high, p = crossed_interval(estimate, influences)
    shares = [index for index, metric in enumerate(metrics) if metric.share]
    if shares:
        more = _with_rows(ours, shares, [1, 0] if theirs else [1, 1, 0, 0])
        of_more = _estimate(more, _with_rows(theirs, shares, [0, 1]) if theirs else None)
        bounds = (-1.0 if theirs else 0.0, 1.0)
        exact = estimate[shares]
        ends = crossed_interval(*of_more, skewed=False)
        low[shares] = np.fmin(np.clip(ends.low, *bounds), exact)
        high[shares] = np.fmax(np.clip(ends.high, *bounds), exact)
        p[shares] = ends.p
    return low, high, p


def _estimate(ours: _Sums, theirs: _Sums | None) -> tuple[np.ndarray, np.ndarray]:
    if theirs is None:
        return ours.ratio(), ours.influences()
    return ours.ratio() - theirs.ratio(), ours.influences() - theirs.influences()


def _with_rows(sums: _Sums, metrics: Sequence[int], counting: Sequence[int]) -> _Sums:
    """The sums of some metrics with further rows, each of which counts (1) or not (0) in every seed."""
    seeds = len(sums.above)
    more = np.broadcast_to(
        np.array(counting, dtype="float64")[None, :, None], (seeds, len(counting), len(metrics))
    )
    return _Sums(
        np.concatenate([sums.above[:, :, metrics], more], axis=1),
        np.concatenate([sums.below[:, :, metrics], np.ones_like(more)], axis=1),
        sums.rows[metrics],
    )


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    undefined = np.full(np.broadcast(above, below).shape, np.nan)
    return np.asarray(np.divide(above, below, out=undefined, where=below != 0))
