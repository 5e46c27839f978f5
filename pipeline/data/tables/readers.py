"""Find out how to read a file of tables, whatever its format."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.data.tables.delimited import Delimited
from pipeline.data.tables.formats import Format, recognise
from pipeline.data.tables.json_rows import JsonLines, JsonList, json_lists
from pipeline.data.tables.names import USUAL_COLUMNS, alike, folded, listed, shown_names
from pipeline.data.tables.parquet import Parquet
from pipeline.data.tables.sqlite import Sqlite, sqlite_tables
from pipeline.data.tables.table import Rows, Table, explained
from pipeline.data.tables.workbook import sheets
from pipeline.errors import WaznError

_KINDS = {"delimited": "delimited text", "jsonl": "JSON lines", "json": "JSON", "sqlite": "SQLite"}
_MAX_MB = 4096


def open_tables(
    path: Path,
    name: str,
    file_format: Format | None = None,
    table: str | None = None,
    max_mb: int = _MAX_MB,
    known: Iterable[str] = (),
) -> list[Table]:
    """The tables of a file, of which there is at least one.

    Args:
        path: a file that is no archive.
        name: what messages call it.
        file_format: if it is known already.
        table: the sheet of a workbook, the table or view of an SQLite file or the key of a JSON object
            that is meant; by default all of them, but for hidden sheets.
        max_mb: what the columns that are read may expand to, in MiB, where the format compresses.
        known: names of columns beside the usual ones, by which a header is known.

    Raises:
        WaznError: the file is of no format that wazn reads, damaged, or has no such table.
    """
    file_format = file_format or recognise(path, name)
    kind = _KINDS.get(file_format.kind, file_format.kind.upper())
    with explained(name, kind):
        match file_format.kind:
            case "delimited":
                return [_only(name, kind, Delimited(path, name, file_format.encoding), table)]
            case "jsonl":
                return [_only(name, kind, JsonLines(path, name, file_format.encoding), table)]
            case "parquet":
                return [_only(name, kind, Parquet(path, name, max_mb), table)]
            case "json":
                return _json(path, name, file_format.encoding, table)
            case "xlsx":
                return _workbook(path, name, table, max_mb, known)
            case "sqlite":
                return _sqlite(path, name, table, max_mb)
    raise WaznError(f"{name}: an archive within an archive; unpack it yourself")


def open_table(path: Path, name: str, file_format: Format | None = None, table: str | None = None) -> Table:
    """The one table of a file; see `open_tables`.

    Raises:
        WaznError: as `open_tables`; or the file has several tables: they are listed.
    """
    tables = open_tables(path, name, file_format, table)
    if len(tables) > 1:
        titles = listed([each.title for each in tables])
        raise WaznError(f"{name}: has {len(tables)} tables; set `table` to one of: {titles}")
    return tables[0]


def _only(name: str, kind: str, rows: Rows, table: str | None) -> Table:
    """The table of a file that can have no other."""
    if table is not None:
        raise WaznError(f"{name}: `table` is set, but {kind} has one table only; leave `table` out")
    return Table(name, kind, rows)


def _json(path: Path, name: str, encoding: str, table: str | None) -> list[Table]:
    lists = json_lists(path, name, encoding)
    if "" in lists and len(lists) == 1:
        return [_only(name, "a list in JSON", JsonList(name, lists[""]), table)]
    called = _called(name, list(lists), "key")
    return [
        Table(called[key].name, "JSON", JsonList(called[key].name, lists[key]), called[key].title)
        for key in _meant(name, list(lists), table, "key")
    ]


def _workbook(path: Path, name: str, table: str | None, max_mb: int, known: Iterable[str]) -> list[Table]:
    known = {folded(each) for usual in (*USUAL_COLUMNS.values(), known) for each in usual}
    found = {sheet.title: sheet for sheet in sheets(path, known, max_mb)}
    if not found:
        raise WaznError(
            f"{name}: no names of columns in any sheet; expected a header and rows (what was saved as "
            "Strict Open XML has to be saved as XLSX first)"
        )
    seen = [title for title, sheet in found.items() if not sheet.hidden]
    if not seen and table is None:
        titles = listed(shown_names(list(found), "sheet"))
        raise WaznError(f"{name}: every sheet with cells is hidden; set `table` to one of: {titles}")
    called = _called(name, list(found), "sheet")
    return [
        Table(called[title].name, "XLSX", found[title].named(called[title].name), called[title].title)
        for title in (_meant(name, list(found), table, "sheet") if table is not None else seen)
    ]


def _sqlite(path: Path, name: str, table: str | None, max_mb: int) -> list[Table]:
    found = sqlite_tables(path)
    if not found:
        raise WaznError(f"{name}: an SQLite file without a table; expected one")
    called = _called(name, found, "table")
    return [
        Table(
            called[title].name,
            "SQLite",
            Sqlite(path, called[title].name, title, max_mb),
            called[title].title,
        )
        for title in _meant(name, found, table, "table")
    ]


class _Called(NamedTuple):
    """What messages call a table: with its file, and alone."""

    name: str
    title: str


def _called(name: str, titles: list[str], kind: str) -> dict[str, _Called]:
    shown = shown_names(titles, kind)
    names = [f"{name}, {kind} '{each}'" if len(titles) > 1 else name for each in shown]
    return dict(zip(titles, map(_Called, names, shown), strict=True))


def _meant(name: str, titles: list[str], wanted: str | None, kind: str) -> list[str]:
    """The titles, or the one that is wanted."""
    if wanted is None:
        return titles
    found = alike(titles, wanted)
    if len(found) != 1:
        problem = f"{len(found)} {kind}s are spelled like" if found else f"no {kind}"
        there = listed(shown_names(titles, kind))
        raise WaznError(f"{name}: {problem} '{wanted}'; set `table` to one of: {there}")
    return found
