"""What each run of a model measures, by group of rows, and how surely runs differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import permutation_test

from pipeline.evaluation.metrics import COLUMNS, COMPARED, METRICS, terms, values
from pipeline.severities import SEVERITIES

ALL = "all"
WEIGHTING, UNIFORM = "weighting−uniform", "uniform−base"
COMPARISONS = {WEIGHTING: ("weighting", "uniform"), UNIFORM: ("uniform", "base")}
# What one block of resamples may hold, so that memory stays flat however many rows there are.
BLOCK = 2_000_000

Runs = Mapping[str, Sequence[pd.DataFrame]]


def measure(runs: Runs, *, resamples: int = 2000, seed: int = 17) -> pd.DataFrame:
    """Every metric of every run of a model, with its 95 % percentile bootstrap interval.

    With several training seeds a row counts with its mean over them; the interval tells of the choice of
    test rows alone, `sd_seeds` of the training.

    Args:
        runs: run to its tables, one a training seed, all with the same rows in the same order: `COLUMNS`,
            `severity` and perhaps `specialty`.
        resamples: of the rows, within each group.
        seed: of the resampling. Equal numbers of rows are resampled alike.

    Returns:
        `run`, `metric`, `group` (`all`, a severity or a specialty), `rows` (those that count in the
        denominator), `value`, `low`, `high`, `sd_seeds` (standard deviation over the seeds, NaN for one
        seed) and `seeds`. A metric without such rows is absent.
    """
    names, found = list(METRICS), []
    for group, chosen, numerators, denominators in _parts(runs, names):
        drawn = _bootstrap(list(numerators.values()), denominators, resamples, seed)
        for (run, part), sums in zip(numerators.items(), drawn[:-1], strict=True):
            each = [[part[chosen].sum(axis=0) for part in terms(table, names)] for table in runs[run]]
            single = np.stack([values(above, below, names) for above, below in each])
            for index, row in _figures(group, names, part, denominators, sums, drawn[-1]):
                spread = single[:, index].std(ddof=1) if len(single) > 1 else np.nan
                found.append({"run": run, **row, "sd_seeds": spread, "seeds": len(single)})
    return pd.DataFrame(found)


def compare(runs: Runs, *, resamples: int = 2000, permutations: int = 4999, seed: int = 17) -> pd.DataFrame:
    """Paired differences between the runs of a model, with interval and p-value.

    Both runs of a difference are measured on the same resampled rows, so what makes a row hard for both
    does not widen its interval. The p-value is two-sided, of the hypothesis that a row's two values could
    as well be exchanged (scipy's permutation test with sign flips); there is none for a specialty.

    Args:
        runs, resamples, seed: as of `measure`.
        permutations: how many sign flips; all that there are, if they are fewer.

    Returns:
        `comparison` (of `COMPARISONS`), `metric` (of `COMPARED`), `group`, `rows`, `value`, `low`, `high`
        and `p` (NaN where there is none). A metric without rows in its denominator is absent.
    """
    found = []
    for group, _, numerators, denominators in _parts(runs, COMPARED):
        differences = [numerators[a] - numerators[b] for a, b in COMPARISONS.values()]
        drawn = _bootstrap(differences, denominators, resamples, seed)
        p = np.full((len(differences), len(COMPARED)), np.nan)
        if group in (ALL, *SEVERITIES):
            p = sign_flips(np.hstack(differences), permutations, seed).reshape(p.shape)
        for number, comparison in enumerate(COMPARISONS):
            rows = _figures(group, COMPARED, differences[number], denominators, drawn[number], drawn[-1])
            found += [{"comparison": comparison, **row, "p": p[number, index]} for index, row in rows]
    return pd.DataFrame(found)


def groups(rows: pd.DataFrame, least_rows: int = 20) -> Iterator[tuple[str, np.ndarray]]:
    """The groups of n rows that are measured, each as its name and its rows, (n,) bool.

    All rows; each severity there is, critical first; each specialty, by falling rows and then name.

    Args:
        rows: with `severity` and perhaps `specialty` (null or empty where a row has none).
        least_rows: specialties with fewer rows are pooled as `other`, with the rows that have none.
    """
    yield ALL, np.ones(len(rows), dtype=bool)
    for severity in reversed(SEVERITIES):
        chosen = (rows["severity"] == severity).to_numpy()
        if chosen.any():
            yield severity, chosen
    names = (
        rows["specialty"].astype(object).fillna("")
        if "specialty" in rows
        else pd.Series("", index=rows.index)
    )
    if not names.any():
        return
    # A specialty may be called what another group is.
    names = names.where(~names.isin((ALL, *SEVERITIES)), names + " (specialty)")
    names = names.where((names.map(names.value_counts()) >= least_rows) & (names != ""), "other")
    counts = names.value_counts()
    for name in sorted(counts.index, key=lambda name: (name == "other", -counts[name], name)):
        yield name, (names == name).to_numpy()


def sign_flips(differences: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Two-sided p-values of sums of paired differences under flips of their signs, (m,).

    Args:
        differences: (n, m). All m are flipped alike, row by row.
        permutations: see `compare`.
        seed: of the flips.

    Returns:
        NaN where n is less than 2: no flip of one row tells anything.
    """
    rows = len(differences)
    if rows < 2:
        return np.full(differences.shape[1], np.nan)
    sizes = np.abs(differences).sum(axis=0)
    scaled = differences / np.where(sizes > 0, sizes, 1.0)

    def sums(signs: np.ndarray, axis: int) -> np.ndarray:
        # Rounded, so that sums which are equal but for the order of their terms are equal.
        return np.round(signs @ scaled, 12)

    # What scipy flips are n ones: a matrix product then gives the sums of all m at once.
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
    runs: Runs, names: Sequence[str]
) -> Iterator[tuple[str, np.ndarray, dict[str, np.ndarray], np.ndarray]]:
    """Each group's name and rows, and of those the numerators by run and the denominators (see `terms`)."""
    means = {run: _mean(tables) for run, tables in runs.items()}
    for group, chosen in groups(next(iter(means.values()))):
        parts = {run: terms(mean[chosen], names) for run, mean in means.items()}
        denominators = next(iter(parts.values()))[1]
        yield group, chosen, {run: numerators for run, (numerators, _) in parts.items()}, denominators


def _figures(
    group: str,
    names: Sequence[str],
    numerators: np.ndarray,
    denominators: np.ndarray,
    drawn: np.ndarray,
    drawn_denominators: np.ndarray,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Place in `names` and row of a result of each metric that has something to be divided by.

    Args:
        numerators, denominators: (n, m).
        drawn, drawn_denominators: their sums over resampled rows, (resamples, m).
    """
    exact = values(numerators.sum(axis=0), denominators.sum(axis=0), names)
    low, high = _ends(values(drawn, drawn_denominators, names))
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
    """The first table with the mean over all of each row's figures."""
    figures = np.mean([table[list(COLUMNS)].to_numpy(dtype="float64") for table in tables], axis=0)
    return tables[0].assign(**dict(zip(COLUMNS, figures.T, strict=True)))


def _bootstrap(
    numerators: Sequence[np.ndarray], denominators: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """Sums over resampled rows, (k + 1, resamples, m): of each of k numerators, then of the denominators.

    Args:
        numerators: k times (n, m); all are summed over the same resamples.
        denominators: (n, m).
        resamples, seed: see `measure`.
    """
    summed = np.hstack([*numerators, denominators])
    rows, generator = len(summed), np.random.default_rng(seed)
    found, block = [], max(1, BLOCK // rows)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = generator.integers(0, rows, (count, rows)) + rows * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows)
        found.append(times.astype("float64") @ summed)
    shape = (resamples, len(numerators) + 1, denominators.shape[1])
    return np.vstack(found).reshape(shape).swapaxes(0, 1)


def _ends(resampled: np.ndarray) -> np.ndarray:
    """Ends of the 95 % intervals of m metrics, (2, m), from (resamples, m); NaN where all are.

    A resample without a row in the denominator has no value, and does not count.
    """
    ends = np.full((2, resampled.shape[1]), np.nan)
    there = ~np.isnan(resampled).all(axis=0)
    ends[:, there] = np.nanquantile(resampled[:, there], [0.025, 0.975], axis=0)
    return ends
