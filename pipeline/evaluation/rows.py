"""Which pairs are evaluated."""

import pandas as pd

from pipeline.data.subsets import stratified_subset
from pipeline.errors import WaznError
from pipeline.parquet_inputs import read_parquet
from pipeline.paths import SCORED
from pipeline.schemas import SCORED as SCORED_SCHEMA


def evaluated_pairs(split: str, count: int | None, seed: int) -> pd.DataFrame:
    """The scored pairs of a split that are evaluated, in their order.

    Args:
        split: `test`; or `valid`, which may have none.
        count: how many, chosen as `stratified_subset` does; None for all of them.
        seed: of that choice.

    Raises:
        WaznError: the file is missing or damaged, or has no test pair.
    """
    rows = read_parquet(SCORED, SCORED_SCHEMA)
    rows = rows[rows["split"] == split]
    if rows.empty and split == "test":
        raise WaznError(f"{SCORED}: no test pair; raise normalise.split.test or give more pairs")
    return stratified_subset(rows, count, seed).reset_index(drop=True)
