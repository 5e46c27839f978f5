"""The records of a delimited text, read strictly: a quotation that does not close properly is an error."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

from pipeline.errors import WaznError

LONGEST_CELL = 4_000_000
"""Characters, in Arabic 8 MB; a longer cell is taken for a quotation mark that is never closed."""

ASCII_BYTES = ("utf-8", "utf-8-sig", "cp1256", "iso8859_6", "cp720")
"""Encodings in which a byte of ASCII is that character, and no other byte stands for it."""

LONGEST_LINE = 4 * LONGEST_CELL

# What a backslash and the character after it become while a record is cut into fields. These are halves of
# surrogate pairs, which no decoded text holds.
_QUOTE, _SEPARATOR, _BACKSLASH, _NEWLINE, _TAB, _NULL = map(chr, range(0xD800, 0xD806))
_ESCAPE = re.compile(r"\\(\r\n|.)", re.DOTALL)
_ESCAPED = {
    **{'"': _QUOTE, "\\": _BACKSLASH, "t": _TAB, "N": _NULL},
    **dict.fromkeys(("n", "r", "\r\n", "\n", "\r"), _NEWLINE),
}
_WITHIN_QUOTES = r'"(?:[^"]++|"")*+'


class LineError(WaznError):
    """A fault of one line.

    Attributes:
        line: the line in the file, from 1.
    """

    def __init__(self, name: str, line: int, fault: str) -> None:
        super().__init__(f"{name}, line {line}: {fault}")
        self.line = line


@dataclass(frozen=True)
class Dialect:
    """How a delimited text is written.

    Attributes:
        separator: what stands between two fields.
        backslash: whether a backslash takes the meaning of a quotation mark, a separator or a line end, as
            MySQL and Spark write it, and `\\N` is a missing value.
        spaces: whether spaces before a quotation that begins a field do not count.
        preamble: lines before the header: 1 where Excel's `sep=;` stands there.
    """

    separator: str
    backslash: bool = False
    spaces: bool = False
    preamble: int = 0

    @cached_property
    def _quotation(self) -> re.Pattern[str]:
        """A quotation from its field's start; the group is empty where the line ends before it closes."""
        spaces = " *" if self.spaces else ""
        return re.compile(f'(?:^|{re.escape(self.separator)}){spaces}{_WITHIN_QUOTES}("?)')

    @cached_property
    def _meant(self) -> dict[int, str | int | None]:
        """What each character that `escape` has put stands for."""
        meant: dict[str, str | int | None]
        meant = {_QUOTE: '"', _SEPARATOR: self.separator, _BACKSLASH: "\\", _NEWLINE: "\n", _TAB: "\t"}
        return str.maketrans({**meant, _NULL: "\\N"})

    @cached_property
    def _whole_quotation(self) -> re.Pattern[str]:
        spaces = " *" if self.spaces else ""
        return re.compile(f'(?:^|(?<={re.escape(self.separator)})){spaces}{_WITHIN_QUOTES}"')

    @cached_property
    def _opening_quotation(self) -> re.Pattern[str]:
        return re.compile(f'(?:^|{re.escape(self.separator)}){" *" if self.spaces else ""}"')

    def opens(self, line: str) -> bool:
        """Whether a quotation that begins in this line does not close in it."""
        rest = self._whole_quotation.sub("", line)
        return '"' in rest and self._opening_quotation.search(rest) is not None

    def opening(self, line: str) -> int:
        """Where the mark stands that opens a quotation which the line does not close; -1 for none."""
        for found in self._quotation.finditer(line):
            if not found[1]:
                return line.index('"', found.start())
        return -1

    def closes(self, line: str) -> bool:
        """Whether the quotation at the start of this line closes where its field ends."""
        found = self._quotation.match(line)
        return bool(found and found[1] and line[found.end() :][:1] in ("", self.separator, "\r", "\n"))

    def escape(self, line: str) -> str:
        """The line with every backslash and what follows it as one character without meaning."""
        escaped = {**_ESCAPED, self.separator: _SEPARATOR}
        return _ESCAPE.sub(lambda found: escaped.get(found[1], found[0]), line)

    def unescape(self, cell: str) -> str:
        """The cell as it is meant; a missing value (`\\N`) is the empty string."""
        if cell == _NULL:
            return ""
        return cell.translate(self._meant)


class Records:
    """The records of a file, one by one.

    Args:
        path: the file.
        name: what messages call it.
        encoding: a codec of Python.
        dialect: how it is written.
    """

    def __init__(self, path: Path, name: str, encoding: str, dialect: Dialect) -> None:
        self._path, self._name, self._encoding, self.dialect = path, name, encoding, dialect
        csv.field_size_limit(LONGEST_CELL)

    def __iter__(self) -> Iterator[tuple[int, list[str], list[str]]]:
        """The first line, the fields and all lines of each record, header first.

        A line of nothing but spaces, or of the character that ends files of DOS, is no record.

        Raises:
            LineError: a quotation does not close, or goes on after it closed; or a cell is too long.
        """
        dialect = self.dialect
        with self.open() as file:
            lines = _Lines(file, self._name, dialect)
            reader = csv.reader(
                lines, delimiter=dialect.separator, strict=True, skipinitialspace=dialect.spaces
            )
            start = 1 + dialect.preamble
            try:
                for record in reader:
                    taken, lines.taken = lines.taken, []
                    if record and (len(record) > 1 or record[0].strip(" \x1a") or '"' in taken[0]):
                        if dialect.backslash and "\\" in "".join(taken):
                            record = list(map(dialect.unescape, record))  # noqa: PLW2901
                        yield start, record, taken
                    start += len(taken)
            except csv.Error:
                raise self._fault(start, lines) from None

    def open(self) -> TextIO:
        """The file as text, its line ends as they are."""
        return self._path.open(encoding=self._encoding, newline="")

    def _fault(self, start: int, lines: "_Lines") -> LineError:
        line, inside = start, False
        for number, taken in enumerate(lines.taken, start=start):
            if inside and '"' not in taken:
                continue
            text = self.dialect.escape(taken) if self.dialect.backslash else taken
            text = f'"{text}' if inside else text
            if not inside or self.dialect.closes(text):
                line = number
            inside = self.dialect.opens(text)
        if sum(map(len, lines.taken)) > LONGEST_CELL:
            return _too_long(self._name, line)
        if lines.ended:
            return LineError(self._name, line, "a quotation mark that opens here is never closed")
        return LineError(
            self._name,
            line,
            "after a quotation that opens here text follows its closing mark; delete one of its marks, or "
            'double those that belong to the text ("")',
        )


class _Lines:
    """The lines of a file from its header on.

    Attributes:
        taken: those that were asked for since this list was replaced.
        ended: whether more were asked for than there are.
    """

    def __init__(self, file: TextIO, name: str, dialect: Dialect) -> None:
        self._file, self._name, self._dialect = file, name, dialect
        self.taken: list[str] = []
        self.ended = False
        for _ in range(dialect.preamble):
            file.readline()

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(LONGEST_LINE)
        if not line:
            self.ended = True
            raise StopIteration
        self.taken.append(line)
        if len(line) == LONGEST_LINE:
            raise csv.Error
        if self._dialect.backslash and "\\" in line:
            line = self._dialect.escape(line)
            while line.endswith(_NEWLINE) and (following := self._file.readline(LONGEST_LINE)):
                self.taken.append(following)
                line += self._dialect.escape(following)
        return line


def _too_long(name: str, line: int) -> LineError:
    return LineError(
        name,
        line,
        f"a cell that begins here has more than {LONGEST_CELL:,} characters; most likely a quotation mark "
        "is never closed, or the cell holds a whole file, so close the mark or take the cell out",
    )
