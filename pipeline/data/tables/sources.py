"""From what params.yaml calls a source to rows with wazn's own column names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.config.source_uri import hub_dataset, kind_of
from pipeline.data.tables.archives import check_expansion, unpacked
from pipeline.data.tables.columns import Asked, Columns, choose_columns
from pipeline.data.tables.dataverse import find_file
from pipeline.data.tables.fetching import Patience, fetch
from pipeline.data.tables.formats import recognise
from pipeline.data.tables.hub import open_dataset
from pipeline.data.tables.mapping import mapped_batches
from pipeline.data.tables.names import listed, shown_columns
from pipeline.data.tables.readers import open_tables
from pipeline.data.tables.table import Table
from pipeline.errors import WaznError
from pipeline.hashes import digest, matches
from pipeline.paths import SAMPLE

if TYPE_CHECKING:
    from pipeline.config.data import TableSource


@dataclass(frozen=True)
class Limits:
    """Limits of a source: the folder of local files, MiB when unpacked, and patience with servers."""

    folder: Path
    max_mb: int
    patience: Patience


@dataclass(frozen=True)
class Source:
    """A table whose columns are known.

    Attributes:
        name: the value of the `source` column.
        table: where the rows are.
        columns: which column of the table holds what.
        asked: wazn's columns, and the table's own names for them if params.yaml gives them.
        origin: identifies the table in `data/raw/sources.json`.
    """

    name: str
    table: Table
    columns: Columns
    asked: Asked
    origin: Mapping[str, Any]

    @property
    def mapped(self) -> dict[str, str]:
        """Wazn's columns and what each is made of, for messages and provenance."""
        return self.columns.mapped(self.asked)

    def batches(self) -> Iterator[pd.DataFrame]:
        """The rows in batches: `source`, `line` and the keys of `mapped`, all text but `line`.

        Raises:
            WaznError: as `Table.batches`; or a cell is no dialogue where one is expected.
        """
        for batch in mapped_batches(self.table, self.columns, list(self.mapped)):
            batch.insert(0, "line", batch.index)
            batch.insert(0, "source", self.name)
            yield batch.reset_index(drop=True)

    def provenance(self, rows: int) -> dict[str, Any]:
        """The entry of the source in `data/raw/sources.json`; `rows` rows were read."""
        given = [name for names in self.columns.parts.values() for name in names]
        return {
            **self.origin,
            "records": self.table.records,
            "rows": rows,
            "columns": shown_columns(self.table.columns, [*given, self.columns.messages or ""]),
            "mapped": self.mapped,
        }


@contextmanager
def open_source(
    key: str,
    entry: "TableSource",
    asked: Asked,
    optional: Sequence[str],
    limits: Limits,
) -> Iterator[Source]:
    """Fetch a source if need be, and find its table and columns.

    Args:
        key: where the source stands in params.yaml, for messages.
        entry: the source, its hash, file and table.
        asked: wazn's columns, and the table's own names for each if params.yaml gives them.
        optional: columns that may be absent where params.yaml does not name them.
        limits: folder, size, patience.

    Yields:
        The source; a temporary copy of what was in an archive is gone afterwards.

    Raises:
        WaznError: the source is missing, not to be had, outside the folder, not what `hash` says,
            unreadable, or lacks a column.
    """
    named = (entry.source, entry.configuration, entry.file, entry.table)
    name = "#".join(part for part in named if part)
    with ExitStack() as stack:
        if kind_of(entry.source) == "hf":
            table, commit = open_dataset(entry.source, hub_dataset(entry.source), entry.configuration)
            tables = [table]
            origin: dict[str, Any] = {"source": name, "commit": commit}
        else:
            path, origin, member = _file(key, entry, limits)
            origin = {"source": name, **origin, "sha256": digest(path, "sha256")}
            known = [
                name
                for names in asked.values()
                for name in ([names] if isinstance(names, str) else names or ())
            ]
            tables, unpacked_member = _tables(stack, path, entry, member, limits, known)
            if unpacked_member:
                origin["file"] = unpacked_member
        table, columns = _fitting(
            name,
            tables,
            lambda table: choose_columns(table.columns, asked, entry.messages, optional, key, table.name),
        )
        if len(tables) > 1:
            origin["table"] = table.title
        yield Source(name, table, columns, asked, origin)


def _file(key: str, entry: "TableSource", limits: Limits) -> tuple[Path, dict[str, Any], str | None]:
    """The file of a source, what identifies it, and which member is meant if it is an archive."""
    source = entry.source
    match kind_of(source):
        case "doi":
            listed = find_file(source, entry.file, limits.patience)
            path = fetch(listed.url, entry.hash or listed.hash, limits.patience, listed.name)
            return path, {"file": listed.name, "doi": source, "url": listed.url}, None
        case "url":
            path = fetch(source, entry.hash, limits.patience)
            return path, {"file": path.name.partition("-")[2], "url": source}, entry.file
        case kind:
            path = SAMPLE if kind == "sample" else _inside(key, source, limits.folder)
            if entry.hash and not matches(path, entry.hash):
                raise WaznError(
                    f"{path}: has not the hash {entry.hash} ({key}.hash); it was changed or damaged, "
                    "so get it again, or correct the hash"
                )
            return path, {}, entry.file


def _tables(
    stack: ExitStack,
    path: Path,
    entry: "TableSource",
    wanted: str | None,
    limits: Limits,
    known: Sequence[str],
) -> tuple[list[Table], str]:
    """The tables in a file or in its archive, and the member of the archive that it is."""
    name = str(path) if kind_of(entry.source) in ("path", "sample") else f"{entry.source} ({path.name})"
    file_format = recognise(path, name)
    member = ""
    if file_format.kind in ("gzip", "zip"):
        path, member = stack.enter_context(unpacked(path, name, file_format.kind, wanted, limits.max_mb))
        name = f"{name}, {member}" if member else name
        file_format = recognise(path, name)
    elif wanted is not None:
        raise WaznError(f"{name}: `file` is set to '{wanted}', but this is no archive; leave `file` out")
    check_expansion(path, name, file_format, limits.max_mb)
    return open_tables(path, name, file_format, entry.table, limits.max_mb, known), member


def _fitting(
    name: str, tables: Sequence[Table], choose: Callable[[Table], Columns]
) -> tuple[Table, Columns]:
    """The one table of a source that has the columns, and which they are."""
    if len(tables) == 1:
        return tables[0], choose(tables[0])
    fitting: dict[int, Columns] = {}
    problems = []
    for number, table in enumerate(tables):
        try:
            fitting[number] = choose(table)
        except WaznError as error:
            problems.append(str(error))
    if not fitting:
        raise WaznError(f"{problems[0]}; none of its {len(tables)} tables has the columns")
    filled = [number for number in fitting if len(fitting) == 1 or tables[number].records]
    if len(filled) != 1:
        there = listed([tables[number].title for number in filled or fitting])
        raise WaznError(f"{name}: {len(fitting)} tables have the columns; set `table` to one of: {there}")
    return tables[filled[0]], fitting[filled[0]]


def _inside(key: str, name: str, folder: Path) -> Path:
    candidates = [folder / name, Path(name)]
    for path in candidates:
        if path.is_file():
            if path.resolve().is_relative_to(folder.resolve()):
                return path
            raise WaznError(
                f"{key}.source: {name} lies outside download.folder ({folder}), so DVC would not "
                "notice when it changes; set download.folder to the folder it is in"
            )
    raise WaznError(f"{key}.source: no file {name} in download.folder ({folder})")
