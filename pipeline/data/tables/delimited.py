"""Tables as text: fields between commas, semicolons, bars or tabs."""

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.tables.dialects import possible_dialects
from pipeline.data.tables.quotations import Quotations
from pipeline.data.tables.record_count import count_records
from pipeline.data.tables.records import LineError, Records

_SAMPLE = 200


class Delimited:
    """A delimited table with a header.

    Where backslashes or spaces beside quotation marks can be read in several ways, the file is read to
    its end in each of them, and the way that gives every record the header's width is taken.

    Attributes:
        columns: names as in the header; "" for a column without a name.

    Raises:
        WaznError: several ways fit but give other cells, or the header cannot be read.
    """

    def __init__(self, path: Path, name: str, encoding: str) -> None:
        self._path, self._encoding = path, encoding
        tables = [
            _Table(Records(path, name, encoding, dialect), name)
            for dialect in possible_dialects(path, encoding)
        ]
        self._table = tables[0] if len(tables) == 1 else _fitting(tables, name)
        if self._table.fault:
            raise self._table.fault
        self.columns = self._table.columns

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        """Each row's record number, counted from the header as 1, and its fields at `indices`.

        Lines of nothing but spaces do not count. Empty fields at the end of a record may be left out, where
        others of the file have them.

        Raises:
            WaznError: a record has more or fewer fields than the header, a quotation does not close
                properly or swallows rows, or a cell is too long; the line is named.
        """
        return self._table.rows(indices)

    def records(self) -> int:
        """The number of records below the header, counted by line ends and quotation marks alone."""
        count = count_records(self._path, self._encoding, self._table.records.dialect)
        return max(0, count - 1)  # a table of blank lines has no header either


class _Table:
    """A table in one dialect."""

    def __init__(self, records: Records, name: str) -> None:
        self.records, self._name = records, name
        self.fault: LineError | None = None
        try:
            header = next(iter(records), (0, [""], []))[1]
        except LineError as error:
            self.fault, header = error, [""]
        self.columns = [column.strip() for column in header]

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        if self.fault:
            raise self.fault
        width = len(self.columns)
        widths = _Widths(self.columns, self._name)
        quotations = self._quotations(widths.named)
        for number, (line, record, lines) in enumerate(itertools.islice(self.records, 1, None), start=2):
            if len(lines) > 1:
                quotations.add(line, lines)
            if len(record) != width:
                record = widths.fitted(line, record)  # noqa: PLW2901
            elif not record[-1]:
                widths.add(record)
            yield number, [record[index] for index in indices]
        # Both need to have seen the whole file.
        faults = [fault for fault in (widths.fault(), quotations.fault(self._name)) if fault]
        if faults:
            raise min(faults, key=lambda fault: fault.line)

    def survey(self) -> "_Survey":
        """Read the file to its end."""
        digest, escapes = 0, False
        # A text between tabs, which MySQL writes, has no quotations that could hold a line end or a tab.
        signs = ('\\"', "\\n", "\\t") if self.records.dialect.separator == "\t" else ('\\"',)
        try:
            for _, cells in self.rows(range(len(self.columns))):
                digest = hash((digest, *self.resolved(cells)))
                for cell in cells:
                    if "\\" in cell:
                        escapes = escapes or cell == "\\N" or any(sign in cell for sign in signs)
        except LineError as error:
            return _Survey(error.line, 0, False)
        return _Survey(math.inf, digest, escapes)

    def resolved(self, cells: Sequence[str]) -> Sequence[str]:
        """The cells with their backslashes resolved, also where the dialect takes them for text."""
        dialect = self.records.dialect
        if dialect.backslash:
            return cells
        return [dialect.unescape(dialect.escape(cell)) if "\\" in cell else cell for cell in cells]

    def _quotations(self, width: int) -> Quotations:
        sample: list[tuple[list[str], str]] = []
        with suppress(LineError):  # `rows` comes to it
            for _, record, lines in itertools.islice(self.records, _SAMPLE):
                sample.append((record, "".join(lines)))
        return Quotations(self.records.dialect, width, sample)


@dataclass(frozen=True)
class _Survey:
    """What reading a file in one dialect gives.

    Attributes:
        fault: the line of the first fault, infinity for none.
        digest: a hash of all cells, backslashes resolved.
        escapes: whether backslashes are in the cells where they usually mean something.
    """

    fault: float
    digest: int
    escapes: bool


class _Widths:
    """Judges records that have more or fewer fields than the header.

    Attributes:
        named: the header's fields without nameless ones at its end.
    """

    def __init__(self, columns: Sequence[str], name: str) -> None:
        self._name, self._width = name, len(columns)
        self.named = max((number for number, column in enumerate(columns, start=1) if column), default=0)
        self._fewest = self._width
        self._short: dict[int, int] = {}

    def add(self, record: Sequence[str]) -> None:
        """Take note of a record as wide as the header whose last field is empty."""
        filled = max((number for number, cell in enumerate(record, start=1) if cell), default=0)
        self._fewest = min(self._fewest, filled)

    def fitted(self, line: int, record: Sequence[str]) -> list[str]:
        """The record of line `line` as wide as the header.

        Raises:
            LineError: it has more fields, not all of them empty.
        """
        fields, width = len(record), self._width
        if fields > width and any(record[width:]):
            raise LineError(
                self._name,
                line,
                f"more fields ({fields}) than the header ({width}); quote fields that hold the separator",
            )
        if fields < self.named:
            self._short.setdefault(fields, line)
        return [*record[:width], *[""] * (width - fields)]

    def fault(self) -> LineError | None:
        """What is wrong with records of too few fields, unless others have empty fields in place of those.

        A record of one field is always refused: it is most likely a line of a text.
        """
        refused = [(line, n) for n, line in self._short.items() if n < max(2, self._fewest)]
        if not refused:
            return None
        line, fields = min(refused)
        return LineError(
            self._name,
            line,
            f"fewer fields ({fields}) than the header ({self.named}); a text of several lines must stand "
            "in quotation marks, and an empty field still needs its separator",
        )


def _fitting(tables: Sequence[_Table], name: str) -> _Table:
    """The table whose dialect fits the file, or whose first fault comes last."""
    surveys = [table.survey() for table in tables]
    best = max(range(len(tables)), key=lambda number: (surveys[number].fault, -number))
    spaces = tables[best].records.dialect.spaces
    fitting = [
        number
        for number, table in enumerate(tables)
        if table.records.dialect.spaces == spaces and surveys[number].fault == math.inf
    ]
    if len(fitting) < 2:
        return tables[best]
    if len({surveys[number].digest for number in fitting}) > 1:
        one, other = (tables[number] for number in fitting)
        pairs = zip(one.records, other.records, strict=False)
        line = next((a[0] for a, b in pairs if one.resolved(a[1]) != other.resolved(b[1])), 1)
        raise LineError(
            name,
            line,
            "a backslash stands before a quotation mark, a separator or a line end, and the file can be "
            "read both as if it had a meaning there and as if not; save it with doubled quotation marks "
            "and no backslashes",
        )
    return tables[fitting[1 if surveys[fitting[0]].escapes else 0]]
