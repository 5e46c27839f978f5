"""What the XML of a sheet says of its rows, without the library that reads their values."""

import re
from dataclasses import dataclass, field
from typing import IO
from xml.parsers import expat

_CELL = re.compile(r"([A-Z]+)([0-9]+)")


@dataclass
class SheetScan:
    """What is found in a sheet.

    Attributes:
        records: rows below the header in which a cell has a value.
        formulas: whether a cell has a formula.
        merged: for each merge of several rows, its first row and column, both from 1, to its last row.
    """

    records: int = 0
    formulas: bool = False
    merged: dict[tuple[int, int], int] = field(default_factory=dict)


def scan_sheet(stream: IO[bytes], header: int) -> SheetScan:
    """Read the XML of a sheet to its end; `header` is the row of the header, from 1.

    Raises:
        ExpatError: it is no XML.
    """
    scan = SheetScan()
    row, filled, value, cell = 0, False, False, ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal row, filled, value, cell
        match tag.rpartition(":")[2]:
            case "row":
                row = int(float(attributes.get("r", row + 1)))
                filled = False
            case "c":
                cell = attributes.get("t", "n")
            case "v":
                value = cell != "inlineStr"
            case "is":
                filled = filled or cell == "inlineStr"
            case "f":
                scan.formulas = True
            case "mergeCell":
                _add_merge(scan.merged, attributes.get("ref", ""))

    def end(tag: str) -> None:
        nonlocal value
        match tag.rpartition(":")[2]:
            case "v":
                value = False
            case "row":
                scan.records += filled and row > header

    def text(_: str) -> None:
        nonlocal filled
        filled = filled or value

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.ParseFile(stream)
    return scan


def _add_merge(merged: dict[tuple[int, int], int], reference: str) -> None:
    corners = [_place(corner) for corner in _CELL.findall(reference)]
    if len(corners) == 2 and corners[0][0] < corners[1][0]:
        merged[corners[0]] = corners[1][0]


def _place(cell: tuple[str, str]) -> tuple[int, int]:
    """The row and column of a cell such as ("B", "7")."""
    letters, row = cell
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - ord("A") + 1
    return int(row), column
