"""Whether a quotation over several lines is one text, or a stray mark that swallowed rows.

A stray mark at the start of a field makes the reader go on to the next mark that stands at the end of a
field, and the rows between become one cell. What is left has as many fields as the header, so nothing
else would tell. But read as rows, all of its lines have the header's width too, which the lines of a text
seldom have: the separator would have to stand in each of them equally often.
"""

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from pipeline.data.tables.records import Dialect, LineError

_MANY = 6
_MOST = 0.9
# What lines of a text have where the separator is a comma, and up to which share of the file's records
# have it by mistake: a space after the separator, an empty field, a comma between digits.
_ODDITIES: Mapping[str, tuple[float, Callable[[Sequence[str]], bool]]] = {
    "spaced": (0.3, lambda cells: any(cell.startswith(" ") for cell in cells[1:])),
    "gap": (0.02, lambda cells: not all(map(str.strip, cells))),
    "decimal": (
        0.02,
        lambda cells: any(one[-1:].isdecimal() and two[:1].isdecimal() for one, two in pairwise(cells)),
    ),
}


class Quotations:
    """Judges the records of one file that take up several lines.

    Args:
        dialect: how the file is written.
        width: fields of the header that have a name, without nameless ones at its end.
        sample: the first records, header included, and how each is written, to know what is usual.
    """

    def __init__(self, dialect: Dialect, width: int, sample: Sequence[tuple[list[str], str]]) -> None:
        self._dialect, self._width = dialect, width
        rows = [record[:width] for record, _ in sample[1:]]
        self._odd = {
            name: is_odd
            for name, (most, is_odd) in _ODDITIES.items()
            if sum(map(is_odd, rows)) <= most * len(rows)
        }
        self._all_quoted = bool(sample) and all(_quoted(text) for _, text in sample)
        self._texts: Counter[int] = Counter()
        self._lines = self._like = 0
        self._suspects: dict[int, list[int]] = {}

    def add(self, first: int, lines: Sequence[str]) -> None:
        """Take note of a record that begins in line `first` and takes up `lines`."""
        if self._width < 2:
            return
        if self._dialect.backslash:
            lines = [self._dialect.escape(line) for line in lines]
        separator, spaced, least = self._dialect.separator, f"{self._dialect.separator} ", self._width - 1
        filled = wide = like = 0
        for line in lines:
            marks = line.count(separator)
            filled += marks > 0 or not line.isspace()
            if marks >= least:
                wide += 1
                like += marks == least and ("spaced" not in self._odd or spaced not in line)
        if _nearly_all(wide, filled) and self._row_like(lines, first):
            return
        self._texts[filled] += 1
        # The first or the last line holds the other fields, so it looks like a row in any case.
        self._lines += filled - 1
        self._like += max(0, like - 1)

    def _row_like(self, lines: Sequence[str], first: int) -> bool:
        """Whether the lines of a record look like rows without the mark that opens the quotation."""
        opened = next((n for n, line in enumerate(lines) if self._dialect.opening(line) >= 0), None)
        if opened is None:
            return False  # a line end after a backslash
        within = list(lines[opened:])
        mark = self._dialect.opening(within[0])
        within[0] = within[0][:mark] + within[0][mark + 1 :]
        rows = [row for row in csv.reader(within, delimiter=self._dialect.separator) if row]
        wide = [row for row in rows if self._fits(row)]
        usual = sum(map(self._usual, wide))
        if not _nearly_all(len(wide), len(rows)) or 2 * usual <= len(rows):
            return False
        if self._all_quoted and _quoted("".join(lines)):
            return False
        self._suspects.setdefault(len(rows), []).append(first + opened)
        return True

    def fault(self, name: str) -> LineError | None:
        """What is wrong if a record must be taken for several rows; the first is named.

        Where many texts of the file have several lines, some look like rows by chance. They pass if there
        are no more of them than the share of such lines in all other texts lets expect.
        """
        share = self._like / max(1, self._lines)
        refused = [
            lines[0]
            for size, lines in self._suspects.items()
            if len(lines) > 2 * self._texts[size] * share ** (size - 1)
        ]
        if not refused:
            return None
        return LineError(
            name,
            min(refused),
            "a quotation opens here and closes in a later line, but each of these lines looks like a row "
            'of its own; delete the mark or double it (""), or, if it is one text, save the file with '
            "every field in quotation marks",
        )

    def _fits(self, row: Sequence[str]) -> bool:
        return len(row) >= self._width and not any(row[self._width :])

    def _usual(self, row: Sequence[str]) -> bool:
        """Whether a row has nothing of what texts have and the file's rows have not."""
        return not any(is_odd(row[: self._width]) for is_odd in self._odd.values())


def _nearly_all(part: int, whole: int) -> bool:
    return part == whole or (whole >= _MANY and part >= _MOST * whole)


def _quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'
