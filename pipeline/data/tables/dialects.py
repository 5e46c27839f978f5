"""How a delimited text may be written, by what stands in it."""

import csv
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.data.tables.records import ASCII_BYTES, LONGEST_LINE, Dialect

SEPARATORS = (",", ";", "|", "\t")
"""The later, the less likely within a text."""

_SAMPLE = 200
_BLOCK = 1 << 20
_DECLARED = re.compile(r'\ufeff?"?sep=(.)"?[\r\n]*', re.IGNORECASE)


def possible_dialects(path: Path, encoding: str) -> list[Dialect]:
    """The dialects that the file may be written in, the most likely first.

    A backslash, or a space before a quotation mark, may belong to the dialect or to the text. Which of the
    dialects fits has to be tried.
    """
    with path.open(encoding=encoding, newline="") as file:
        lines = list(itertools.islice(iter(lambda: file.readline(LONGEST_LINE), ""), _SAMPLE))
    declared = _DECLARED.fullmatch(lines[0]) if lines else None
    if declared:
        del lines[0]
    separator = declared[1] if declared else _separator(lines)
    mark = re.escape(separator)
    spaced = any(re.search(f'{mark} +"', line) for line in lines)
    meaning = rf'\\["\r\n{mark}]|(?:^|[\r\n{mark}])\\N(?:$|[\r\n{mark}])'
    if separator == "\t":
        meaning += r"|\\[nt]"
    backslash = _found(path, encoding, re.compile(meaning))
    return [
        Dialect(separator, escapes, spaces, int(declared is not None))
        for spaces in ((True, False) if spaced else (False,))
        for escapes in ((False, True) if backslash else (False,))
    ]


def _separator(lines: list[str]) -> str:
    """The separator by which most of the first records are as wide as the header."""
    best = (0.0, 0, 0)
    for likelihood, separator in enumerate(SEPARATORS):
        widths = _widths(lines, separator)
        width = widths[0] if widths else 0
        if width > 1:
            share = widths.count(width) / len(widths)
            best = max(best, (share, width, likelihood))
    return SEPARATORS[best[2]]


def _widths(lines: list[str], separator: str) -> list[int]:
    widths = []
    with suppress(csv.Error):  # a cell that is too long, which whoever reads the records reports
        for record in csv.reader(lines, delimiter=separator):
            if record:
                widths.append(len(record))
    return widths


def _found(path: Path, encoding: str, pattern: re.Pattern[str]) -> bool:
    """Whether the pattern, which has a backslash in it, is found in the file."""
    with path.open("rb") as raw:
        if encoding in ASCII_BYTES and not any(
            b"\\" in block for block in iter(lambda: raw.read(_BLOCK), b"")
        ):
            return False
    with path.open(encoding=encoding, newline="") as file:
        return any(pattern.search(text) for text in _overlapping(file.read, _BLOCK))


def _overlapping(read: Callable[[int], str], size: int) -> Iterator[str]:
    """Blocks that begin with the last characters of the one before."""
    last = ""
    while block := read(size):
        yield last + block
        last = block[-4:]
