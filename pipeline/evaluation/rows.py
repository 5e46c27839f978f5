"""Which pairs are evaluated."""

from pathlib import Path

import pandas as pd

from pipeline.errors import WaznError
from pipeline.files import read_parquet


def evaluated_pairs(scored: Path, test_rows: int | None) -> pd.DataFrame:
    """The first `test_rows` (None for all) of the test pairs that `score` wrote, in their order.

    Raises:
        WaznError: the file is missing, or has no test pair.
    """
    rows = read_parquet(scored)
    rows = rows[rows["split"] == "test"].head(test_rows or len(rows)).reset_index(drop=True)
    if rows.empty:
        raise WaznError(f"{scored}: no test pair; raise normalise.split.test or give more pairs")
    return rows
