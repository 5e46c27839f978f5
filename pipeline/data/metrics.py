"""The counts of metrics/data.json: rows in, kept and rejected, where they came from, duplicates.

Rejections are counted by severity too: a reason that meets the severe cases more or less often than the
others changes what a model learns about them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import chi2_contingency

from pipeline.data.label_conflicts import UNKNOWN, labels_of
from pipeline.data.normalisation import CheckedRows
from pipeline.data.splits import naive_split_leaks
from pipeline.schemas import SPLITS
from pipeline.severities import SEVERITIES

# A reason meets the severities unequally if chance would do so this rarely, over all reasons together.
_SIGNIFICANCE = 0.05
# What repeats a row is no loss: the row stays.
_NO_LOSS = "duplicate"


def row_counts(rows: CheckedRows, sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows in, kept, rejected by reason; the same for each source; rows of each split.

    Args:
        rows: of one data set, after duplicates were rejected.
        sources: as data/raw/sources.json describes them, in the order of the rows.
    """
    kept = rows.reason == 0
    ends = np.cumsum([0, *(source["rows"] for source in sources)])
    counts = np.bincount(rows.reason, minlength=len(rows.reasons))
    splits = np.bincount(rows.split[kept[rows.usable]], minlength=len(SPLITS))
    return {
        "rows": len(kept),
        "kept": int(kept.sum()),
        "rejected": {
            reason: int(count)
            for reason, count in sorted(zip(rows.reasons, counts, strict=True))
            if reason and count
        },
        "sources": [
            {**source, "kept": int(kept[start:end].sum())}
            for source, start, end in zip(sources, ends[:-1], ends[1:], strict=True)
        ],
        "splits": {split: int(count) for split, count in zip(SPLITS, splits, strict=True)},
    }


def duplicate_counts(rows: CheckedRows, fractions: Mapping[str, float], seed: int) -> dict[str, Any]:
    """Groups of pairs with the same or nearly the same complaint, and what a naive split would leak.

    Args:
        rows: of the pairs.
        fractions, seed: see `naive_split_leaks`.
    """
    sizes = np.bincount(np.unique(rows.group, return_inverse=True)[1])
    _, copies = np.unique(rows.complaint[rows.usable], return_counts=True)
    return {
        "usable_rows": len(rows.group),
        "exact": int(copies[copies > 1].sum()),
        "groups": int((sizes > 1).sum()),
        "rows_in_groups": int(sizes[sizes > 1].sum()),
        "largest": int(sizes.max(initial=0)),
        "sizes": {
            "2": int((sizes == 2).sum()),
            "3": int((sizes == 3).sum()),
            "4-9": int(((sizes >= 4) & (sizes <= 9)).sum()),
            "10+": int((sizes >= 10).sum()),
        },
        "naive_split_leaks": naive_split_leaks(rows.group, fractions, seed),
    }


def complaint_severity(pairs: CheckedRows, labelled: CheckedRows) -> np.ndarray:
    """The severity of each of n pairs: the label of the same complaint, else what its own source says.

    Returns:
        (n,), int8, index of `SEVERITIES` or `UNKNOWN`.
    """
    # Of a complaint that was labelled several times, the label that stays.
    known = (labelled.severity != UNKNOWN) & (labelled.reason != labelled.number("duplicate"))
    labels = labels_of(pairs.complaint, labelled.complaint[known], labelled.severity[known])
    return np.where(labels == UNKNOWN, pairs.severity, labels)


def rejections_by_severity(rows: CheckedRows, severity: np.ndarray) -> dict[str, Any]:
    """How many rows of each severity there are, and how many of them each reason rejects.

    Args:
        rows: of one data set, after duplicates were rejected.
        severity: (n,), index of `SEVERITIES` or `UNKNOWN`.

    Returns:
        `rows` by severity, and `unknown`; for each of `reasons` the same, and whether it is `unequal`: by a
        chi-squared test of independence between the reason and the three severities, p below 0.05 divided
        by the number of reasons (Bonferroni); None where the test does not apply (an expected count below
        5, Cochran 1954).
    """
    totals = _by_severity(severity)
    counts = {
        reason: _by_severity(severity[rows.reason == number])
        for number, reason in enumerate(rows.reasons)
        if reason and (rows.reason == number).any()
    }
    tested = max(1, len(counts.keys() - {_NO_LOSS}))
    return {
        "rows": totals,
        "reasons": {
            reason: {**by, "unequal": None if reason == _NO_LOSS else _unequal(by, totals, tested)}
            for reason, by in sorted(counts.items())
        },
    }


def _by_severity(severity: np.ndarray) -> dict[str, int]:
    counts = {name: int((severity == number).sum()) for number, name in enumerate(SEVERITIES)}
    return {**counts, "unknown": int((severity == UNKNOWN).sum())}


def _unequal(rejected: Mapping[str, int], totals: Mapping[str, int], tested: int) -> bool | None:
    table = np.array([[rejected[name], totals[name] - rejected[name]] for name in SEVERITIES])
    table = table[table.sum(axis=1) > 0]
    if len(table) < 2 or (table.sum(axis=0) == 0).any():
        return None
    test = chi2_contingency(table, correction=False)
    if test.expected_freq.min() < 5:
        return None
    return bool(test.pvalue < _SIGNIFICANCE / tested)
