"""Read a table of text, a batch at a time, whatever its format."""

import itertools
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import pandas as pd
import pyarrow.parquet as pq

from pipeline.data.tables.cells import as_text
from pipeline.data.tables.delimited import Delimited
from pipeline.data.tables.formats import Format, recognise
from pipeline.data.tables.workbook import Workbook
from pipeline.errors import WaznError

BATCH = 20_000

_NAMES = {"delimited": "delimited text", "jsonl": "JSON lines", "json": "JSON", "sqlite": "SQLite"}


class Rows(Protocol):
    """What a format gives: the names of its columns, and its rows."""

    columns: list[str]

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        """Each row's line, and its cells in the columns at `indices`."""
        ...


class Table:
    """A table that is read a batch at a time.

    Attributes:
        name: what messages call it.
        columns: the names of its columns, each once; a column without a name is left out.
    """

    def __init__(self, name: str, kind: str, rows: Rows) -> None:
        self.name, self._kind, self._rows = name, kind, rows
        self.columns = [column for column in rows.columns if column]
        repeated = {column for column in self.columns if self.columns.count(column) > 1}
        if repeated:
            raise WaznError(
                f"{name}: the column '{shown(min(repeated))}' is there twice; give each a name of its own"
            )
        if not self.columns:
            raise WaznError(f"{name}: no names of columns; expected a header and rows")

    def batches(self, columns: Sequence[str], size: int = BATCH) -> Iterator[pd.DataFrame]:
        """The rows, `size` at a time, with `columns` as text; a missing value is the empty string.

        The index holds each row's line: its record number counted from the header as 1 in a table
        with a header (CSV, TSV, XLSX), its line in JSONL, its row number from 1 in the others.

        Raises:
            WaznError: the content is not of the format, or there is no row.
        """
        indices = [self._rows.columns.index(column) for column in columns]
        with explained(self.name, self._kind):
            rows = self._rows.rows(indices)
            empty = True
            while batch := list(itertools.islice(rows, size)):
                empty = False
                lines, cells = zip(*batch, strict=True)
                frame = pd.DataFrame(list(cells), columns=list(columns), dtype="str")
                yield frame.set_axis(pd.Index(lines, dtype="int64"))
        if empty:
            raise WaznError(f"{self.name}: the table has no rows")


def open_table(path: Path, name: str, file_format: Format | None = None, table: str | None = None) -> Table:
    """Find out how to read the table at `path`, and what its columns are.

    Args:
        path: a file that is no archive.
        name: what messages call it.
        file_format: if it is known already.
        table: the sheet of a workbook (by default the first), the table of a SQLite file or the key
            of a JSON object (by default the only one).

    Raises:
        WaznError: the file is of no format that wazn reads, damaged, or has no such table.
    """
    file_format = file_format or recognise(path, name)
    kind = _NAMES.get(file_format.kind, file_format.kind.upper())
    rows: Rows
    with explained(name, kind):
        match file_format.kind:
            case "delimited":
                rows = Delimited(path, name, file_format.encoding)
            case "jsonl":
                rows = _JsonLines(path, name, file_format.encoding)
            case "json":
                rows = _Json(path, name, file_format.encoding, table)
            case "xlsx":
                rows = Workbook(path, name, table)
            case "parquet":
                rows = _Parquet(path)
            case "sqlite":
                rows = _Sqlite(path, name, table)
            case _:
                raise WaznError(f"{name}: an archive within an archive; unpack it yourself")
    return Table(name, kind, rows)


def shown(column: str) -> str:
    """A column's name for a message: where a header is missing it may be a text, so no long one."""
    return column if len(column) <= 40 else f"({len(column)} characters)"


@contextmanager
def explained(name: str, kind: str) -> Iterator[None]:
    """Turn the error that a library raises for a damaged file into a sentence.

    Libraries (zlib, lxml, pyarrow, …) raise many kinds of errors, and their messages may quote the text of
    a row. So every kind is caught, and only its name is shown.
    """
    try:
        yield
    except WaznError:
        raise
    except Exception as error:
        raise WaznError(f"{name}: not readable as {kind} ({type(error).__name__})") from error


class _JsonLines:
    """One JSON object a line; the columns are the keys of all of them, so it is read twice."""

    def __init__(self, path: Path, name: str, encoding: str) -> None:
        self._path, self._name, self._encoding = path, name, encoding
        keys: dict[str, None] = {}
        for _, row in self._objects():
            keys.update(dict.fromkeys(row))
        self.columns = list(keys)

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        keys = [self.columns[index] for index in indices]
        for number, row in self._objects():
            yield number, [as_text(row.get(key)) for key in keys]

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self._path.open(encoding=self._encoding) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError:
                    raise WaznError(f"{self._name}, line {number}: not valid JSON") from None
                if not isinstance(row, dict):
                    raise WaznError(f"{self._name}, line {number}: expected a JSON object")
                yield number, row


class _Json:
    """A list of JSON objects, or an object with one such list in it; it is held in memory."""

    def __init__(self, path: Path, name: str, encoding: str, table: str | None) -> None:
        try:
            value = json.loads(path.read_text(encoding=encoding))
        except json.JSONDecodeError as error:
            raise WaznError(f"{name}, line {error.lineno}: not valid JSON") from None
        lists = {"": value} if isinstance(value, list) else value
        lists = {
            key: rows
            for key, rows in lists.items()
            if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)
        }
        if table is not None:
            lists = {key: rows for key, rows in lists.items() if key == table}
        if len(lists) != 1:
            keys = ", ".join(map(shown, lists))
            several = f"several ({keys}); set `table` to one of them" if lists else "none"
            raise WaznError(
                f"{name}: expected a list of JSON objects, or an object with one, found {several}"
            )
        [self._objects] = lists.values()
        self.columns = list(dict.fromkeys(key for row in self._objects for key in row))

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        keys = [self.columns[index] for index in indices]
        for number, row in enumerate(self._objects, start=1):
            yield number, [as_text(row.get(key)) for key in keys]


class _Parquet:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.columns: list[str] = pq.ParquetFile(path).schema_arrow.names

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        names = [self.columns[index] for index in indices]
        number = 0
        with pq.ParquetFile(self._path, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH, columns=list(dict.fromkeys(names))):
                columns = [batch.column(name).to_pylist() for name in names]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, [as_text(cell) for cell in cells]


class _Sqlite:
    """A table of an SQLite file, which is opened for reading only."""

    def __init__(self, path: Path, name: str, table: str | None) -> None:
        # Without a write-ahead log nothing is missed by "immutable", which leaves no file beside it.
        log = path.with_name(f"{path.name}-wal").exists()
        self._uri = f"file:{quote(str(path.resolve()))}?{'mode=ro' if log else 'immutable=1'}"
        with closing(self._connect()) as connection:
            listed = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            tables = [row[0] for row in listed if not row[0].startswith("sqlite_")]
            if (table is None and len(tables) != 1) or (table is not None and table not in tables):
                names = ", ".join(tables) or "none"
                raise WaznError(f"{name}: set `table` to one of the tables of this SQLite file: {names}")
            self._table = _quoted(table or tables[0])
            cursor = connection.execute(f"SELECT * FROM {self._table} LIMIT 0")
            self.columns = [column[0] for column in cursor.description]

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        names = ", ".join(_quoted(self.columns[index]) for index in indices)
        with closing(self._connect()) as connection:
            cursor = connection.execute(f"SELECT {names} FROM {self._table}")
            for number, cells in enumerate(cursor, start=1):
                yield number, [as_text(cell) for cell in cells]

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._uri, uri=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
