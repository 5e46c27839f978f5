"""The counts of metrics/data.json: rows in, kept and rejected, where they came from, duplicates."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.data.normalisation import CheckedRows
from pipeline.data.splits import SPLITS, naive_split_leaks


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
    _, copies = np.unique(rows.complaint, return_counts=True)
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
