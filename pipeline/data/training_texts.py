"""Text of the training split, as much as a tiny model has use for."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import WaznError
from pipeline.files import missing


def training_rows(path: Path, columns: list[str], most: int, seed: int) -> pd.DataFrame:
    """Rows of the training split, in their order: all of them, or a random choice where they are many.

    The file is read in batches, so memory holds what is chosen only.

    Args:
        path: a Parquet file with a column `split`.
        columns: which columns to read.
        most: rows at most.
        seed: of the choice.

    Raises:
        WaznError: the file is missing or is not Parquet.
    """
    if not path.is_file():
        raise missing(path)
    try:
        with pq.ParquetFile(path) as file:
            splits = file.iter_batches(columns=["split"])
            count = sum(_is_train(batch).sum().as_py() or 0 for batch in splits)
            chosen = np.ones(count, dtype=bool)
            if count > most:
                chosen[:] = False
                chosen[np.random.default_rng(seed).choice(count, most, replace=False)] = True
            tables, seen = [], 0
            for batch in file.iter_batches(columns=[*columns, "split"]):
                table = pa.Table.from_batches([batch]).filter(_is_train(batch))
                tables.append(table.filter(chosen[seen : seen + len(table)]).select(columns))
                seen += len(table)
    except (OSError, pa.ArrowException) as error:
        raise WaznError(f"{path}: not readable as Parquet; run `dvc repro` to make it again") from error
    return pa.concat_tables(tables).to_pandas() if tables else pd.DataFrame(columns=columns)


def _is_train(batch: pa.RecordBatch) -> pa.BooleanArray:
    return pc.equal(batch.column("split"), "train")
