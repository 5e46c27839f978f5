"""Tables in the sheets of an XLSX workbook."""

import datetime
import itertools
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import openpyxl

from pipeline.data.tables.expansion import Expansion
from pipeline.data.tables.names import folded
from pipeline.data.tables.sheet_scan import SheetScan, scan_sheet
from pipeline.errors import WaznError

_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
# How far down a header is looked for.
_MOST_TITLES = 20
_MOST_ROWS = 1 << 20
_MIDNIGHT = datetime.time()


class Sheet:
    """A sheet with a header, and what is below it.

    The header is the first row that is not blank; but titles above the header are no part of the table:
    if a row near the top has two names or more that are known, that is the header.

    Attributes:
        title: the sheet's name.
        hidden: whether spreadsheet programs do not show it.
        columns: names as in the header; "" for a column without a name. None if the sheet is empty.
    """

    def __init__(self, path: Path, sheet: Any, known: Collection[str], max_mb: int) -> None:
        """Find the header.

        Args:
            path: the workbook.
            sheet: openpyxl's.
            known: folded names of columns.
            max_mb: what the texts may be together, in MiB.
        """
        self._path, self._name, self._max_mb = path, "", max_mb
        self.title, self.hidden = str(sheet.title), sheet.sheet_state != "visible"
        self._member = sheet._worksheet_path
        self._header, self.columns = _header(sheet, known)

    def named(self, name: str) -> "Sheet":
        """The same sheet; messages call it `name`."""
        self._name = name
        return self

    def records(self) -> int:
        """The number of rows below the header with a value, as the sheet's XML has them."""
        return self._scan.records

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        """Each row's number, counted from the header as 1, and its cells at `indices`.

        Rows without a value count, but are no rows. A cell that is merged over several rows has its value
        in each of them.

        Raises:
            WaznError: a cell at `indices` has a formula whose value was never computed, or the texts are
                larger than they may be.
        """
        expansion = Expansion(self._name, self._max_mb)
        merged: dict[int, tuple[int, str]] = {}
        with ExitStack() as stack:
            book = stack.enter_context(opened(self._path, values=True))
            formulas: Iterator[Sequence[Any]] = iter(())
            if self._scan.formulas:
                twin = stack.enter_context(opened(self._path, values=False))
                formulas = _rows(twin[self.title])
            for number, row in enumerate(_rows(book[self.title]), start=1):
                twins = next(formulas, ())
                if number <= self._header:
                    continue
                self._check_formulas(number, row, twins, indices)
                if all(cell.value is None for cell in row):
                    continue
                cells = [_text(row[index]) if index < len(row) else "" for index in indices]
                for place, index in enumerate(indices):
                    last = self._scan.merged.get((number, index + 1))
                    if last is not None:
                        merged[index] = last, cells[place]
                    elif index in merged and number <= merged[index][0]:
                        cells[place] = cells[place] or merged[index][1]
                expansion.add(sum(map(len, cells)))
                yield number - self._header + 1, cells

    @cached_property
    def _scan(self) -> SheetScan:
        with opened(self._path, values=True) as book, book._archive.open(self._member) as stream:
            return scan_sheet(stream, self._header)

    def _check_formulas(
        self, number: int, row: Sequence[Any], twins: Sequence[Any], indices: Sequence[int]
    ) -> None:
        for index in indices:
            if index >= len(twins) or twins[index].data_type != "f" or row[index].value is not None:
                continue
            # A value that was computed and is empty text is marked as text.
            if row[index].data_type != "str":
                raise WaznError(
                    f"{self._name}, row {number}: a formula without its value; open the workbook in a "
                    "spreadsheet program and save it, or put values in place of formulas"
                )


def sheets(path: Path, known: Collection[str], max_mb: int) -> list[Sheet]:
    """The sheets of a workbook that have cells, in their order; see `Sheet`."""
    with opened(path, values=True) as book:
        found = [Sheet(path, sheet, known, max_mb) for sheet in book.worksheets]
    return [sheet for sheet in found if sheet.columns]


@contextmanager
def opened(path: Path, values: bool) -> Iterator[Any]:
    """A workbook of openpyxl, with the values of formulas or with the formulas."""
    # Opened here, as openpyxl would judge a path by its ending.
    with path.open("rb") as file:
        with _silence():
            book = openpyxl.load_workbook(file, read_only=True, data_only=values, keep_links=False)
        with closing(book):
            yield book


@contextmanager
def _silence() -> Iterator[None]:
    """Without openpyxl's warnings, which are about styles, or quote a cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _rows(worksheet: Any) -> Iterator[Sequence[Any]]:
    # What a sheet declares as its extent may be too small; then rows would be lost.
    worksheet.reset_dimensions()
    rows = iter(worksheet.iter_rows())
    for number in itertools.count(1):
        with _silence():
            row = next(rows, None)
        if row is None:
            return
        if number > _MOST_ROWS:
            raise ValueError("more rows than a sheet can have")
        yield row


def _header(worksheet: Any, known: Collection[str]) -> tuple[int, list[str]]:
    first: tuple[int, list[str]] = 0, []
    rows = (
        (number, [_text(cell).strip() for cell in row]) for number, row in enumerate(_rows(worksheet), 1)
    )
    for seen, (number, names) in enumerate((number, names) for number, names in rows if any(names)):
        if seen == _MOST_TITLES:
            break
        if sum(folded(name) in known for name in names if name) > 1:
            return number, names
        first = first if first[0] else (number, names)
    return first


def _text(cell: Any) -> str:
    """A cell as spreadsheet programs show it; an error, such as #N/A, is nothing."""
    value = cell.value
    if value is None or cell.data_type == "e":
        return ""
    if isinstance(value, str):
        return _plain(value)
    if isinstance(value, float):
        # Programs compute with 17 digits and show 15.
        return str(int(value)) if value.is_integer() else f"{value:.15g}"
    if isinstance(value, datetime.datetime) and value.time() == _MIDNIGHT:
        return str(value.date())
    return str(value)


def _plain(text: str) -> str:
    """The text with the characters that a workbook has as `_x000D_`; line ends become one kind."""
    if "_x" in text:
        text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
