"""Text of the training split, for building tiny models."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.parquet_inputs import read_batches
from pipeline.schemas import SPLIT, join, texts


def training_rows(path: Path, columns: list[str], max_rows: int, seed: int) -> pd.DataFrame:
    """Rows of the training split, in their order: all of them, or a random choice where they are many.

    The file is read in batches, so memory holds only the rows that are chosen.

    Args:
        path: a Parquet file with a column `split`.
        columns: which columns of text to read.
        max_rows: rows at most.
        seed: of the choice.

    Raises:
        WaznError: the file is missing, damaged, or lacks a column.
    """
    count = sum(_in_training(table).sum() for table in read_batches(path, SPLIT))
    chosen = np.ones(count, dtype=bool)
    if count > max_rows:
        chosen[:] = False
        chosen[np.random.default_rng(seed).choice(count, max_rows, replace=False)] = True
    tables, seen = [], 0
    for table in read_batches(path, join(texts(*columns), SPLIT)):
        train = _in_training(table)
        train[train], seen = chosen[seen : seen + train.sum()], seen + train.sum()
        tables.append(table.filter(train).select(columns))
    return pa.concat_tables(tables).to_pandas() if tables else pd.DataFrame(columns=columns)


def _in_training(table: pa.Table) -> np.ndarray:
    return np.array([split == "train" for split in table["split"].to_pylist()], dtype=bool)
