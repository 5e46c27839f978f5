"""The metrics of each arm of a model, by group of rows, and how surely arms differ."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import permutation_test

from pipeline.evaluation.groups import ALL, groups
from pipeline.evaluation.metrics import COLUMNS, COMPARED, METRICS, terms, values
from pipeline.evaluation.resampling import BLOCK, percentile_interval, resampled_sums
from pipeline.severities import SEVERITIES

# The arm that the others are compared with, and the model before fine-tuning.
UNIFORM, BASE = "uniform", "base"

ArmTables = Mapping[str, Sequence[pd.DataFrame]]
"""Of one model: arm (and `base`) to its evaluated rows, one table for each training seed. All tables have
the same rows in the same order: `COLUMNS`, `severity` and perhaps `specialty`."""


def comparisons(arms: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Which arms are compared: each with `uniform`, and then `uniform` with `base`.

    Args:
        arms: in the order in which they are shown.

    Returns:
        The name of a comparison, such as `weighting-uniform`, to the two arms; the first less the second.
    """
    pairs = [*((arm, UNIFORM) for arm in arms if arm not in (UNIFORM, BASE)), (UNIFORM, BASE)]
    return {f"{one}-{other}": (one, other) for one, other in pairs}


def measure(tables: ArmTables, *, resamples: int = 2000, seed: int = 17) -> pd.DataFrame:
    """Every metric of every arm of a model, with its 95 % percentile bootstrap interval.

    With several training seeds a row counts with its mean over them. The interval covers the choice of
    test rows alone; `sd_seeds` shows how much the training varies.

    Args:
        tables: see `ArmTables`.
        resamples: of the rows, within each group.
        seed: of the resampling. Equal numbers of rows are resampled alike.

    Returns:
        `arm`, `metric`, `group` (`all`, a severity or a specialty), `rows` (those that count in the
        denominator), `value`, `low`, `high`, `sd_seeds` (standard deviation over the seeds, NaN for one
        seed) and `seeds`. A metric without such rows is absent.
    """
    names, rows = list(METRICS), []
    for group, mask, numerators, denominators in _parts(tables, names):
        resampled = _resampled(list(numerators.values()), denominators, resamples, seed)
        for (arm, numerator), sums in zip(numerators.items(), resampled[:-1], strict=True):
            totals = [[part[mask].sum(axis=0) for part in terms(table, names)] for table in tables[arm]]
            by_seed = np.stack([values(above, below, names) for above, below in totals])
            for index, row in _figures(group, names, numerator, denominators, sums, resampled[-1]):
                spread = by_seed[:, index].std(ddof=1) if len(by_seed) > 1 else np.nan
                rows.append({"arm": arm, **row, "sd_seeds": spread, "seeds": len(by_seed)})
    return pd.DataFrame(rows)


def compare(
    tables: ArmTables, *, resamples: int = 2000, permutations: int = 4999, seed: int = 17
) -> pd.DataFrame:
    """Paired differences between the arms of a model, with interval and p-value.

    Both arms of a difference are measured on the same resampled rows, so a row that is hard for both
    does not widen the interval. The p-value is two-sided, for the hypothesis that a row's two values could
    be exchanged (scipy's permutation test with sign flips); there is none for a specialty.

    Args:
        tables: see `ArmTables`; resamples, seed: as of `measure`.
        permutations: how many sign flips; all that there are, if they are fewer.

    Returns:
        `comparison` (of `comparisons`), `metric` (of `COMPARED`), `group`, `rows`, `value`, `low`, `high`
        and `p` (NaN where there is none). A metric without rows in its denominator is absent.
    """
    pairs, rows = comparisons(tables), []
    for group, _, numerators, denominators in _parts(tables, COMPARED):
        differences = [numerators[one] - numerators[other] for one, other in pairs.values()]
        resampled = _resampled(differences, denominators, resamples, seed)
        p = np.full((len(differences), len(COMPARED)), np.nan)
        if group in (ALL, *SEVERITIES):
            p = sign_flips(np.hstack(differences), permutations, seed).reshape(p.shape)
        for number, comparison in enumerate(pairs):
            figures = _figures(
                group, COMPARED, differences[number], denominators, resampled[number], resampled[-1]
            )
            rows += [{"comparison": comparison, **row, "p": p[number, index]} for index, row in figures]
    return pd.DataFrame(rows)


def sign_flips(differences: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Two-sided p-values of sums of paired differences under flips of their signs, (m,).

    Args:
        differences: (n, m). All m are flipped alike, row by row.
        permutations: see `compare`.
        seed: of the flips.

    Returns:
        NaN where n is less than 2, as nothing follows from flips of one row.
    """
    rows = len(differences)
    if rows < 2:
        return np.full(differences.shape[1], np.nan)
    sizes = np.abs(differences).sum(axis=0)
    scaled = differences / np.where(sizes > 0, sizes, 1.0)

    def sums(signs: np.ndarray, axis: int) -> np.ndarray:
        # Rounded, so that sums which are equal but for the order of their terms are equal.
        return np.round(signs @ scaled, 12)

    # scipy flips the signs of n ones; a matrix product then gives the sums of all m at once.
    result = permutation_test(
        (np.ones(rows),),
        sums,
        permutation_type="samples",
        vectorized=True,
        n_resamples=permutations,
        batch=max(1, BLOCK // rows),
        rng=np.random.default_rng(seed),
    )
    return np.asarray(result.pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """P-values corrected for their number (Holm 1979), (k,); NaN stays and does not count.

    Args:
        p: (k,), in any order.
    """
    corrected = np.full(len(p), np.nan)
    order = [index for index in np.argsort(p, kind="stable") if not np.isnan(p[index])]
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p[index]))
        corrected[index] = largest
    return corrected


def _parts(
    tables: ArmTables, names: Sequence[str]
) -> Iterator[tuple[str, np.ndarray, dict[str, np.ndarray], np.ndarray]]:
    """Each group's name and rows, and of these the numerators by arm and the denominators (see `terms`)."""
    means = {arm: _mean(of_seeds) for arm, of_seeds in tables.items()}
    for group, mask in groups(next(iter(means.values()))):
        parts = {arm: terms(mean[mask], names) for arm, mean in means.items()}
        denominators = next(iter(parts.values()))[1]
        yield group, mask, {arm: numerators for arm, (numerators, _) in parts.items()}, denominators


def _figures(
    group: str,
    names: Sequence[str],
    numerators: np.ndarray,
    denominators: np.ndarray,
    resampled: np.ndarray,
    resampled_denominators: np.ndarray,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Index in `names` and figures of each metric whose denominator is not 0.

    Args:
        numerators, denominators: (n, m).
        resampled, resampled_denominators: their sums over resampled rows, (resamples, m).
    """
    exact = values(numerators.sum(axis=0), denominators.sum(axis=0), names)
    low, high = percentile_interval(values(resampled, resampled_denominators, names))
    for index, name in enumerate(names):
        if not np.isnan(exact[index]):
            yield (
                index,
                {
                    "metric": name,
                    "group": group,
                    "rows": int((denominators[:, index] > 0).sum()),
                    "value": exact[index],
                    "low": low[index],
                    "high": high[index],
                },
            )


def _mean(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The first table, with the mean over all tables of each row's figures."""
    figures = np.mean([table[list(COLUMNS)].to_numpy(dtype="float64") for table in tables], axis=0)
    return tables[0].assign(**dict(zip(COLUMNS, figures.T, strict=True)))


def _resampled(
    numerators: Sequence[np.ndarray], denominators: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """Sums over resampled rows, (k + 1, resamples, m): of each of k numerators, then of the denominators.

    Args:
        numerators: k times (n, m); all are summed over the same resamples.
        denominators: (n, m).
    """
    sums = resampled_sums(np.hstack([*numerators, denominators]), resamples, seed)
    return sums.reshape(resamples, len(numerators) + 1, denominators.shape[1]).swapaxes(0, 1)
