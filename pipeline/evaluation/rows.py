"""Which pairs are evaluated."""

import pandas as pd

from pipeline.errors import WaznError
from pipeline.parquet_inputs import read_parquet
from pipeline.paths import SCORED
from pipeline.schemas import SCORED as SCORED_SCHEMA


def evaluated_pairs(test_rows: int | None) -> pd.DataFrame:
    """The first `test_rows` of the scored test pairs, in their order; None for all of them.

    Raises:
        WaznError: the file is missing or damaged, or has no test pair.
    """
    rows = read_parquet(SCORED, SCORED_SCHEMA)
    rows = rows[rows["split"] == "test"].head(test_rows or len(rows)).reset_index(drop=True)
    if rows.empty:
        raise WaznError(f"{SCORED}: no test pair; raise normalise.split.test or give more pairs")
    return rows
