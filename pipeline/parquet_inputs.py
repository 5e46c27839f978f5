"""Parquet files that one stage reads of another's, checked as `inputs` checks JSON and CSV."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.inputs import checked_json, damaged, reading

# The key of a field's metadata that lists, with spaces between, the values that its column may have.
ONE_OF = b"one_of"


def read_parquet(path: Path, schema: pa.Schema, optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read columns of a Parquet file that another stage wrote.

    Args:
        schema: the columns; see `read_batches`.
        optional: those of them that the file may lack.

    Raises:
        WaznError: as `read_batches`, or there are no rows.
    """
    with open_parquet(path, schema, optional) as file:
        with parquet_errors(path):
            table = file.read(columns=_present(file, schema).names)
        if not len(table):
            raise damaged(path, "it has no rows")
        frame: pd.DataFrame = conform(path, table, _present(file, schema)).to_pandas(ignore_metadata=True)
        return frame


def read_batches(path: Path, schema: pa.Schema, rows: int = 10_000) -> Iterator[pa.Table]:
    """The rows of a Parquet file that another stage wrote, some at a time, in flat memory.

    Args:
        schema: the columns that are read, in this order; others are left out. The values of a field that
            is not nullable must be there, numbers among them finite, and be of those that its metadata
            lists under `ONE_OF`.
        rows: of a batch; the last one may have fewer.

    Raises:
        WaznError: the file is missing or not Parquet; or a column is missing, of another kind, or has a
            value that it must not have.
    """
    with open_parquet(path, schema) as file:
        batches, start = file.iter_batches(rows, columns=schema.names), 0
        while True:
            with parquet_errors(path):
                batch = next(batches, None)
            if batch is None:
                return
            yield conform(path, pa.Table.from_batches([batch]), schema, start)
            start += len(batch)


@contextmanager
def open_parquet(
    path: Path, schema: pa.Schema, optional: Sequence[str] = (), buffer_size: int = 0
) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file that another stage wrote, and check that it has the columns of `schema`.

    Raises:
        WaznError: the file is missing or not Parquet; or a column is missing or of another kind.
    """
    with parquet_errors(path):
        # Python says what the system refuses, a folder say, more clearly than pyarrow.
        path.open("rb").close()
        # pre_buffer would read the whole file ahead.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=buffer_size)
    with file:
        found = file.schema_arrow
        for field in schema:
            count = found.names.count(field.name)
            if not count and field.name not in optional:
                raise damaged(path, f"it has no column '{field.name}'")
            if count > 1:
                raise damaged(path, f"it has column '{field.name}' {count} times")
            if count and not _fits(found.field(field.name).type, field):
                raise damaged(path, f"column '{field.name}' is not of the type {field.type}")
        yield file


def conform(path: Path, table: pa.Table, schema: pa.Schema, start: int = 0) -> pa.Table:
    """Rows of a Parquet file with the columns and types of `schema`, checked; see `read_batches`.

    Args:
        start: the number of the first of these rows in the file, from 0, for messages.

    Raises:
        WaznError: a column has a value that it must not have.
    """
    columns = []
    for field in schema:
        try:
            column = table[field.name].cast(field.type)
            column.validate(full=True)
        except (pa.ArrowException, ValueError):
            raise damaged(path, f"column '{field.name}' has a value that is no {field.type}") from None
        if not field.nullable:
            good = pc.is_valid(column)
            if pa.types.is_floating(field.type):
                good = pc.fill_null(pc.is_finite(column), False)
            elif allowed := (field.metadata or {}).get(ONE_OF):
                good = pc.is_in(column, value_set=pa.array(allowed.decode().split(" ")))
            if not pc.all(good, min_count=0).as_py():
                row = start + good.index(False).as_py() + 1
                raise damaged(path, f"row {row} has no usable value in column '{field.name}'")
        columns.append(column)
    return pa.table(columns, schema=schema.remove_metadata())


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turn what a missing or damaged Parquet file raises in the block into one sentence.

    Raises:
        WaznError: the file is missing, cannot be read, or is not Parquet.
    """
    try:
        with reading(path):
            yield
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, "not readable as Parquet") from error


def parquet_note(path: Path, shape: Any = dict[str, Any]) -> Any:
    """The note that a stage left in the metadata of a Parquet file, under the key `wazn`; empty if none.

    Raises:
        WaznError: the file is missing, is not Parquet, or its note has not this shape; see `read_json`.
    """
    with parquet_errors(path):
        path.open("rb").close()
        metadata = pq.read_schema(path).metadata or {}
    return checked_json(path, metadata.get(b"wazn", b"{}"), shape)


def _present(file: pq.ParquetFile, schema: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in schema if field.name in file.schema_arrow.names])


def _fits(found: pa.DataType, field: pa.Field) -> bool:
    """Whether values of the type `found` can stand in a field, perhaps after a cast that keeps them."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    is_text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    is_number = (pa.types.is_integer, pa.types.is_floating)
    for wanted in (is_text, is_number[:1], is_number):
        if any(kind(field.type) for kind in wanted):
            return any(kind(found) for kind in (*wanted, pa.types.is_null))
    return bool(found == field.type)
