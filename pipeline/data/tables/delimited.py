"""Tables as text: fields between commas, tabs or semicolons."""

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from pipeline.errors import WaznError

SEPARATORS = (",", ";", "\t")
"""The later, the less likely within a text."""

LONGEST_FIELD = 10_000_000
"""Characters; a longer field is taken for a quotation mark that is never closed."""

_SAMPLE = 200


class Delimited:
    """A delimited table with a header.

    Attributes:
        columns: names as in the header; "" for a column without a name.
    """

    def __init__(self, path: Path, name: str, encoding: str) -> None:
        self._path, self._name, self._encoding = path, name, encoding
        csv.field_size_limit(LONGEST_FIELD)
        with self._open() as file:
            self._separator = _separator(file)
        self.columns = [column.strip() for column in next(self._records(), (0, []))[1]]

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        """Each row's record number, counted from the header as 1, and its fields at `indices`.

        Records that are blank lines do not count; a short record ends in empty fields.

        Raises:
            WaznError: a record has more fields than the header, or a quotation mark is not closed.
        """
        width = len(self.columns)
        records = itertools.islice(self._records(), 1, None)
        for number, (line, record) in enumerate(records, start=2):
            if len(record) > width and any(record[width:]):
                raise WaznError(
                    f"{self._name}, line {line}: more fields ({len(record)}) than the header ({width}); "
                    "quote fields that hold the separator"
                )
            yield number, [record[index] if index < len(record) else "" for index in indices]

    def _open(self) -> TextIO:
        return self._path.open(encoding=self._encoding, newline="")

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Each record with the number of its last line."""
        with self._open() as file:
            lines = _Lines(file)
            reader = csv.reader(lines, delimiter=self._separator)
            start = 1
            while True:
                try:
                    record = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    raise self._unclosed(start) from None
                if lines.ended:
                    # The reader asked for one more line and was given none: it is within quotes.
                    raise self._unclosed(start)
                if record:
                    yield reader.line_num, record
                start = reader.line_num + 1

    def _unclosed(self, line: int) -> WaznError:
        return WaznError(f"{self._name}, line {line}: a quotation mark that opens here is never closed")


class _Lines:
    """The lines of a file, and whether more were asked for than there are."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.ended = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        try:
            return next(self._lines)
        except StopIteration:
            self.ended = True
            raise


def _separator(file: TextIO) -> str:
    """The separator by which most of the first records are as wide as the header."""
    lines = list(itertools.islice(file, _SAMPLE))
    best = (0.0, 0, 0)
    for likelihood, separator in enumerate(SEPARATORS):
        widths = [len(record) for record in csv.reader(lines, delimiter=separator) if record]
        width = widths[0] if widths else 0
        if width > 1:
            share = widths.count(width) / len(widths)
            best = max(best, (share, width, likelihood))
    return SEPARATORS[best[2]]
