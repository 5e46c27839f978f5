"""A table of text that is read a batch at a time, whatever its format."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Protocol

import pandas as pd

from pipeline.data.tables.cells import as_text
from pipeline.data.tables.names import shown_columns
from pipeline.data.tables.records import LONGEST_CELL
from pipeline.errors import WaznError

BATCH = 20_000
_MOST_COLUMNS = 1000
_MOST_CHARACTERS = 1 << 25


class Rows(Protocol):
    """What a format gives: its columns, its rows, and how many there are."""

    @property
    def columns(self) -> list[str]:
        """The names of the columns; "" for a column without one."""
        ...

    def records(self) -> int:
        """The number of records, counted in another way than `rows` reads them."""
        ...

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, Sequence[object]]]:
        """Each row's line, and its cells in the columns at `indices`."""
        ...


class Table:
    """A table that is read a batch at a time.

    Attributes:
        name: what messages call it.
        title: what they call the sheet, table or key that it is in its file; "" where a file has one.
    """

    def __init__(self, name: str, kind: str, rows: Rows, title: str = "") -> None:
        self.name, self.title, self._kind, self._rows = name, title, kind, rows

    @cached_property
    def columns(self) -> list[str]:
        """The names of its columns, each once; a column without a name is left out.

        Raises:
            WaznError: two columns have one name, or none has one, or there are far too many.
        """
        with explained(self.name, self._kind):
            names = self._rows.columns
        if len(names) > _MOST_COLUMNS:
            raise WaznError(
                f"{self.name}: {len(names):,} columns, expected {_MOST_COLUMNS:,} at most; if keys of "
                "JSON are numbers of patients, make them values of a key"
            )
        for number, column in enumerate(names, start=1):
            first = names.index(column) + 1
            if column and first < number:
                raise WaznError(
                    f"{self.name}: columns {first} and {number} have the same name, each once is expected; "
                    "rename one or, if the first row is no header, add one"
                )
        if not any(names):
            raise WaznError(f"{self.name}: no names of columns; expected a header and rows")
        return [column for column in names if column]

    @cached_property
    def records(self) -> int:
        """How many records the file has, counted in another way than they are read."""
        with explained(self.name, self._kind):
            return self._rows.records()

    def cells(self, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[object]]]:
        """Each row's line (see `batches`), and its cells in `columns` as the format has them.

        Raises:
            WaznError: the content is not of the format; there is no row; or there are more records or
                fewer than the rows that were read.
        """
        indices = [self._rows.columns.index(column) for column in columns]
        read = 0
        with explained(self.name, self._kind):
            for row in self._rows.rows(indices):
                read += 1
                yield row
        if not read:
            raise WaznError(f"{self.name}: the table has no rows")
        if read != self.records:
            raise WaznError(
                f"{self.name}: it has {self.records} records, but {read} rows were read from it; it is "
                "damaged, or was changed meanwhile, so save or fetch it again"
            )

    def batches(self, columns: Sequence[str], size: int = BATCH) -> Iterator[pd.DataFrame]:
        """The rows, `size` at a time at most, with `columns` as text; a missing value is the empty string.

        The index holds each row's line: its record number counted from the header as 1 in a table
        with a header (CSV, TSV, XLSX), its line in JSONL, its row number from 1 in the others.

        Raises:
            WaznError: see `cells`; or a cell is no text.
        """
        rows = (
            (line, [self.text(cell, line, column) for cell, column in zip(cells, columns, strict=True)])
            for line, cells in self.cells(columns)
        )
        yield from batched(rows, columns, size)

    def text(self, cell: object, line: int, column: str) -> str:
        """A cell as text.

        Raises:
            WaznError: it is a list of several values or an object, or bytes that are no text in UTF-8, or
                far too long.
        """
        try:
            plain = type(cell) is str and cell.isascii() and cell[-1:] not in ("]", "}")
            text = str(cell) if plain else as_text(cell)
        except ValueError:
            found = "bytes that are no text in UTF-8" if isinstance(cell, bytes) else "a list or an object"
            raise WaznError(
                f"{self._place(line, column)}: expected a text, found {found}; choose another column, or "
                "save it as text"
            ) from None
        if len(text) > LONGEST_CELL:
            raise WaznError(
                f"{self._place(line, column)}: a cell of more than {LONGEST_CELL:,} characters, which is a "
                "whole file rather than a text; take it out"
            )
        return text

    def _place(self, line: int, column: str) -> str:
        """What messages call a cell."""
        names = self._rows.columns
        shown = shown_columns(names)[names.index(column)]
        where = shown if shown.startswith("column ") else f"column '{shown}'"
        return f"{self.name}, row {line}, {where}"


def batched(
    rows: Iterable[tuple[int, list[str]]], columns: Sequence[str], size: int = BATCH
) -> Iterator[pd.DataFrame]:
    """Rows and their lines as data frames of `size` rows, or of fewer where the texts are long."""
    lines: list[int] = []
    batch: list[list[str]] = []
    characters = 0

    def frame() -> pd.DataFrame:
        # Names as objects: those of JSON may hold half of a surrogate pair.
        names = pd.Index(list(columns), dtype="object")
        return pd.DataFrame(batch, index=pd.Index(lines, dtype="int64"), columns=names, dtype="str")

    for line, cells in rows:
        lines.append(line)
        batch.append(cells)
        characters += sum(map(len, cells))
        if len(batch) == size or characters > _MOST_CHARACTERS:
            yield frame()
            lines, batch, characters = [], [], 0
    if batch:
        yield frame()


@contextmanager
def explained(name: str, kind: str) -> Iterator[None]:
    """Turn the error that a library raises for a damaged file into a sentence.

    Libraries (zlib, lxml, pyarrow, …) raise many kinds of errors, and their messages may quote the text of
    a row. So every kind is caught, only its name is shown, and it is no cause of the sentence.
    """
    try:
        yield
    except WaznError:
        raise
    except Exception as error:
        raise WaznError(f"{name}: not readable as {kind} ({type(error).__name__})") from None
