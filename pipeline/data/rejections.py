"""Rows that are rejected, as they came, with where they came from and why."""

import json

import numpy as np
import pyarrow as pa

REJECTED_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("source", pa.string()),
        ("line", pa.int64()),
        ("reason", pa.string()),
        ("row", pa.string()),
    ]
)


def rejected_rows(dataset: str, raw: pa.Table, reason: np.ndarray, reasons: list[str]) -> pa.Table:
    """The rejected rows of a batch, with the schema `REJECTED_SCHEMA`; `row` is JSON of every raw cell.

    Args:
        dataset: `pairs` or `labelled`.
        raw: n raw rows.
        reason: (n,), index of `reasons`; 0 for a row that is kept.
    """
    rows = raw.filter(reason > 0)
    originals = rows.drop_columns(["source", "line"]).to_pylist()
    return pa.table(
        {
            "dataset": [dataset] * len(rows),
            "source": rows["source"],
            "line": rows["line"],
            "reason": [reasons[number] for number in reason[reason > 0]],
            "row": [json.dumps(original, ensure_ascii=False) for original in originals],
        },
        schema=REJECTED_SCHEMA,
    )
