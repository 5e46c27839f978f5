"""Files that are either complete or absent."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import WaznError


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turn what a missing or damaged Parquet file raises in the block into one sentence.

    Raises:
        WaznError: the file is missing or is not Parquet.
    """
    try:
        yield
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, ValueError) as error:
        raise WaznError(f"{path}: not readable as Parquet; run `dvc repro` to make it again") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a refused write in the block into one sentence.

    Raises:
        WaznError: the disk refused a write (full, read-only, no permission).
    """
    try:
        yield
    except Exception as error:
        # Libraries in Rust (safetensors, tokenizers) raise kinds of their own that quote the system's
        # error.
        quoted = re.search(r"\(os error (\d+)\)", str(error))
        if isinstance(error, WaznError) or not (isinstance(error, OSError) or quoted):
            raise
        reason = os.strerror(int(quoted[1])) if quoted else getattr(error, "strerror", None) or error
        raise WaznError(
            f"{path}: could not be written ({reason}); "
            "free some space or check the folder's permissions, then run the stage again"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place once the block has succeeded.

    Raises:
        WaznError: the disk refused the write (full, read-only, no permission).
    """
    temporary = path.with_name(f".{path.name}.part")
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


def read_json(path: Path) -> Any:
    """Read a JSON file that another stage wrote.

    Raises:
        WaznError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing(path) from None
    except ValueError as error:
        raise WaznError(f"{path}: not valid JSON ({error}); run `dvc repro` to make it again") from error


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file that another stage wrote.

    Raises:
        WaznError: the file is missing or is not Parquet.
    """
    with parquet_errors(path):
        return pd.read_parquet(path, columns=columns)


def read_batches(path: Path, columns: list[str] | None = None, rows: int = 10_000) -> Iterator[pa.Table]:
    """The rows of a Parquet file that another stage wrote, some at a time, in flat memory.

    Raises:
        WaznError: the file is missing or is not Parquet.
    """
    with parquet_errors(path):
        # pre_buffer would read the whole file ahead.
        file = pq.ParquetFile(path, pre_buffer=False)
    with file:
        batches = file.iter_batches(rows, columns=columns)
        while True:
            with parquet_errors(path):
                batch = next(batches, None)
            if batch is None:
                return
            yield pa.Table.from_batches([batch])


def parquet_note(path: Path) -> dict[str, Any]:
    """The note that a stage left in the metadata of a Parquet file, under the key `wazn`; empty if none.

    Raises:
        WaznError: the file is missing or is not Parquet.
    """
    with parquet_errors(path):
        metadata = pq.read_schema(path).metadata or {}
    note: dict[str, Any] = json.loads(metadata.get(b"wazn", b"{}"))
    return note


def missing(path: Path) -> WaznError:
    """The error for a file that an earlier stage should have written."""
    return WaznError(f"{path}: no such file; run `dvc repro`, which makes what a stage needs")
