"""Tables in the sheets of an XLSX workbook."""

import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import openpyxl

from pipeline.data.tables.cells import as_text
from pipeline.errors import WaznError

_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_BLOCK = 1 << 20
_OVERLAP = 64


class Workbook:
    """A sheet whose first row that is not blank is the header.

    Attributes:
        columns: names as in the header; "" for a column without a name.
    """

    def __init__(self, path: Path, name: str, sheet: str | None) -> None:
        self._path, self._name = path, name
        self._formulas = _has_formulas(path)
        with self._open(values=True) as book:
            titles = [each.title for each in book.worksheets]
            if not titles or (sheet is not None and sheet not in titles):
                sheets = ", ".join(titles) or "none"
                raise WaznError(
                    f"{name}: no sheet '{sheet or ''}'; set `table` to one of its sheets: {sheets}"
                )
            self._sheet = sheet or titles[0]
            self._header, self.columns = 0, []
            for number, row in enumerate(_rows(book, self._sheet), start=1):
                names = [_text(cell).strip() for cell in row]
                if any(names):
                    self._header, self.columns = number, names
                    break

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        """Each row's number, counted from the header as 1, and its cells at `indices`.

        Blank rows count, and those between others are kept.

        Raises:
            WaznError: a cell at `indices` has a formula whose value was never computed.
        """
        with ExitStack() as stack:
            book = stack.enter_context(self._open(values=True))
            formulas: Iterator[Sequence[Any]] = iter(())
            if self._formulas:
                twin = stack.enter_context(self._open(values=False))
                formulas = _rows(twin, self._sheet)
            blank: list[tuple[int, list[str]]] = []
            for number, row in enumerate(_rows(book, self._sheet), start=1):
                twins = next(formulas, ())
                if number <= self._header:
                    continue
                self._check_formulas(number, row, twins, indices)
                cells = [_text(row[index]) if index < len(row) else "" for index in indices]
                line = number - self._header + 1
                if any(_text(cell) for cell in row):
                    # Blank rows that a spreadsheet keeps after the last row are no part of the table.
                    yield from blank
                    blank.clear()
                    yield line, cells
                else:
                    blank.append((line, cells))

    def _check_formulas(
        self, number: int, row: Sequence[Any], twins: Sequence[Any], indices: Sequence[int]
    ) -> None:
        for index in indices:
            if index >= len(twins) or twins[index].data_type != "f" or row[index].value is not None:
                continue
            # A value that was computed and is empty text is marked as text.
            if row[index].data_type != "str":
                raise WaznError(
                    f"{self._name}, sheet {self._sheet}, row {number}: a formula without its value; open "
                    "the workbook in a spreadsheet program and save it, or put values in place of formulas"
                )

    @contextmanager
    def _open(self, values: bool) -> Iterator[Any]:
        # Opened here, as openpyxl would judge a path by its ending.
        with self._path.open("rb") as file:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about styles and validations, which are no data
                book = openpyxl.load_workbook(file, read_only=True, data_only=values, keep_links=False)
            with closing(book):
                yield book


def _rows(book: Any, sheet: str) -> Iterator[Sequence[Any]]:
    worksheet = book[sheet]
    # What a sheet declares as its extent may be too small; then rows would be lost.
    worksheet.reset_dimensions()
    yield from worksheet.iter_rows()


def _text(cell: Any) -> str:
    value = cell.value
    if value is None or cell.data_type == "e":
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return as_text(value)


def _has_formulas(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if not member.startswith("xl/worksheets/") or not member.endswith(".xml"):
                continue
            with archive.open(member) as stream:
                tail = b""
                while block := stream.read(_BLOCK):
                    if _FORMULA.search(tail + block):
                        return True
                    tail = block[-_OVERLAP:]
    return False
