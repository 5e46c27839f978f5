"""Files that are either complete or absent."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.os_errors import part_of, writing


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place once the block has succeeded.

    Raises:
        WaznError: the disk refused the write (full, read-only, no permission).
    """
    temporary = part_of(path)
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path` that takes the place of what is there once the block has succeeded.

    Raises:
        WaznError: the disk refused a write.
    """
    with replacing(path) as temporary:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        shutil.rmtree(path, ignore_errors=True)


def write_json(path: Path, values: Any) -> None:
    """Write `values` as indented UTF-8 JSON, keys in the order given."""
    with replacing(path) as temporary:
        text = json.dumps(values, ensure_ascii=False, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` as UTF-8 CSV without its index, numbers to six significant digits."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write `table` as Parquet without its index."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A Parquet file written table by table; it is there once the block has succeeded."""
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        yield writer
