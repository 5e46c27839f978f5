"""From what params.yaml calls a source to rows with wazn's own column names."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.config.source_uri import hub_dataset, kind_of
from pipeline.data.tables.archives import check_expansion, unpacked
from pipeline.data.tables.columns import find_columns
from pipeline.data.tables.dataverse import find_file
from pipeline.data.tables.fetching import Patience, fetch
from pipeline.data.tables.formats import recognise
from pipeline.data.tables.hub import open_dataset
from pipeline.data.tables.readers import Table, open_table
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
        mapped: wazn's column to the table's own.
        origin: identifies the table in `data/raw/sources.json`.
    """

    name: str
    table: Table
    mapped: Mapping[str, str]
    origin: Mapping[str, Any]

    def batches(self) -> Iterator[pd.DataFrame]:
        """The rows in batches: `source`, `line` and the keys of `mapped`, all text but `line`.

        Raises:
            WaznError: as `Table.batches`.
        """
        for batch in self.table.batches(list(dict.fromkeys(self.mapped.values()))):
            rows = pd.DataFrame({ours: batch[theirs] for ours, theirs in self.mapped.items()})
            rows.insert(0, "line", batch.index)
            rows.insert(0, "source", self.name)
            yield rows.reset_index(drop=True)

    def provenance(self, rows: int) -> dict[str, Any]:
        """The entry of the source in `data/raw/sources.json`; `rows` rows were read."""
        return {**self.origin, "rows": rows, "columns": self.table.columns, "mapped": dict(self.mapped)}


@contextmanager
def open_source(
    key: str,
    entry: "TableSource",
    asked: Mapping[str, str | None],
    optional: Sequence[str],
    limits: Limits,
) -> Iterator[Source]:
    """Fetch a source if need be, and find its table and columns.

    Args:
        key: where the source stands in params.yaml, for messages.
        entry: the source, its hash, file and table.
        asked: wazn's columns, and the table's own name for each if params.yaml gives it.
        optional: columns that may be absent where params.yaml does not name them.
        limits: folder, size, patience.

    Yields:
        The source; a temporary copy of what was in an archive is gone afterwards.

    Raises:
        WaznError: the source is missing, not to be had, outside the folder, not what `hash` says,
            unreadable, or lacks a column.
    """
    name = "#".join(part for part in (entry.source, entry.file, entry.table) if part)
    with ExitStack() as stack:
        if kind_of(entry.source) == "hf":
            table, commit = open_dataset(entry.source, hub_dataset(entry.source))
            origin: dict[str, Any] = {"source": name, "commit": commit}
        else:
            path, origin, member = _file(key, entry, limits)
            origin = {"source": name, **origin, "sha256": digest(path, "sha256")}
            table, unpacked_member = _table(stack, path, entry, member, limits)
            if unpacked_member:
                origin["file"] = unpacked_member
        yield Source(name, table, find_columns(table.columns, asked, optional, key, table.name), origin)


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


def _table(
    stack: ExitStack, path: Path, entry: "TableSource", wanted: str | None, limits: Limits
) -> tuple[Table, str]:
    """The table in a file or in its archive, and the member of the archive that it is."""
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
    return open_table(path, name, file_format, entry.table), member


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
