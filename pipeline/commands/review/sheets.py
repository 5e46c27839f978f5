"""What a rater sends back as a table: the workbook, filled in, or the CSV that the page saves."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.data.tables.formats import Format, recognise
from pipeline.data.tables.readers import open_tables
from pipeline.data.tables.table import Table
from pipeline.data.tables.workbook import opened
from pipeline.errors import WaznError

# The sheet with the lists from which is chosen, and what stands for no preference.
CHOICES = "choices"
TIE = "tie"
SCALES = ("correct", "harm", "urgency", "language")
_NUMBERED = ("correct", "language")
_COLUMNS = ("round", "rater", "item", "letter", *SCALES, "preferred", "remark")
# A value before which the page writes an apostrophe, so that spreadsheet programs take it for no formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def read_ratings(path: Path) -> dict[str, Any]:
    """The ratings of a workbook or CSV file, as the page saves them in JSON.

    Whether the round, the items and the values are possible is not looked at.

    Returns:
        `format` (1), `round`, `rater`, `saved` (a time, as it is in the file) and `ratings`: of each item
        with a rating or a remark `item`; `answers`, letter to the ratings given, whole numbers for
        `correct` and `language` and texts otherwise, such as `{"A": {"correct": 4, "harm": "none"}}`;
        `preferred`, a letter, `tie` or None; and `remark`. A value that is none of the choices stays the
        text that it is.

    Raises:
        WaznError: the file cannot be read, lacks a column, has rows of several raters or no row, has an
            answer twice, or prefers two answers of one item.
    """
    name = path.name
    file_format = recognise(path, name)
    table = _ratings_table(path, file_format)
    labels = _labels(path, file_format) if file_format.kind == "xlsx" else {}
    names = [*_COLUMNS, *(["saved"] if "saved" in table.columns else [])]
    rows = [
        (number, {column: str(cell).strip() for column, cell in zip(names, cells, strict=True)})
        for number, cells in table.cells(names)
    ]
    read: dict[str, Any] = {"format": 1}
    for key in ("round", "rater"):
        values = {row[key] for _, row in rows}
        if len(values) != 1:
            raise WaznError(
                f"{name}: expected the ratings of one {key}, found those of {len(values)}; import the file "
                "as the rater saved it"
            )
        read[key] = values.pop()
    read["saved"] = (
        max(row["saved"] for _, row in rows) if "saved" in names else _modified(path, file_format)
    )
    items: dict[str, dict[str, Any]] = {}
    for number, row in rows:
        _add(items, row, labels, f"{name}, row {number}")
    read["ratings"] = [item for item in items.values() if _is_begun(item)]
    return read


def _ratings_table(path: Path, file_format: Format) -> Table:
    for table in open_tables(path, path.name, file_format, known=_COLUMNS):
        if all(column in table.columns for column in _COLUMNS):
            return table
    raise WaznError(
        f"{path.name}: not the table of a rater: expected the columns {', '.join(_COLUMNS)}; import the "
        "workbook or the CSV file as the rater saved it"
    )


def _labels(path: Path, file_format: Format) -> dict[tuple[str, str], str]:
    """What each choice of a workbook stands for: (column, what the cell shows) to value.

    A workbook without the lists, such as a CSV file that was saved as one, has the values themselves.
    """
    with suppress(WaznError):
        [table] = open_tables(path, path.name, file_format, CHOICES)
        rows = table.cells(["scale", "label", "value"])
        return {(str(scale), str(label)): str(value) for _, (scale, label, value) in rows}
    return {}


def _modified(path: Path, file_format: Format) -> str:
    """When a workbook was saved; empty where that is not known."""
    if file_format.kind != "xlsx":
        return ""
    with opened(path, values=True) as book:
        modified = book.properties.modified
    return f"{modified.isoformat()}Z" if modified else ""


def _add(
    items: dict[str, dict[str, Any]], row: dict[str, str], labels: dict[tuple[str, str], str], where: str
) -> None:
    item = items.setdefault(
        row["item"], {"item": row["item"], "answers": {}, "preferred": None, "remark": ""}
    )
    if row["letter"] in item["answers"]:
        raise WaznError(
            f"{where}: answer {row['letter']} of item {row['item']} a second time; remove one of the rows"
        )
    given = {
        scale: labels.get((scale, row[scale]), row[scale]) for scale in (*SCALES, "preferred") if row[scale]
    }
    preferred = given.pop("preferred", None)
    if preferred and item["preferred"] not in (None, preferred):
        raise WaznError(
            f"{where}: prefers another answer of item {row['item']} than a row before; leave one of them"
        )
    item["preferred"] = preferred or item["preferred"]
    item["remark"] = _unquoted(row["remark"]) or item["remark"]
    item["answers"][row["letter"]] = {
        scale: int(value) if scale in _NUMBERED and value.isdecimal() else value
        for scale, value in given.items()
    }


def _unquoted(remark: str) -> str:
    return remark[1:] if remark[:1] == "'" and remark[1:2] in _FORMULAS else remark


def _is_begun(item: dict[str, Any]) -> bool:
    return bool(item["preferred"] or item["remark"] or any(item["answers"].values()))
