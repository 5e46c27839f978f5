"""From what params.yaml calls a source to rows with wazn's own column names."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.data.readers import read_table
from pipeline.errors import WaznError

SAMPLE = Path("data/sample/complaints.jsonl")


@dataclass(frozen=True)
class Source:
    """A table read in full: its rows and what identifies it."""

    name: str
    path: Path
    sha256: str
    columns: list[str]
    rows: pd.DataFrame

    def provenance(self) -> dict[str, object]:
        """What `data/raw/sources.json` says of the source."""
        return {
            "source": self.name,
            "sha256": self.sha256,
            "rows": len(self.rows),
            "columns": self.columns,
        }


def read_source(key: str, name: str, folder: Path, columns: Mapping[str, str]) -> Source:
    """Read a source and pick its columns.

    Args:
        key: where the source stands in params.yaml, for messages.
        name: `sample`, or the path of a table in `folder`.
        folder: the folder that DVC watches; a path may be given with or without it.
        columns: our column name to the table's own.

    Returns:
        Rows with the columns `source`, `line` and the keys of `columns`, all text but `line`.

    Raises:
        WaznError: the file is missing, outside the folder or unreadable, or lacks a column.
    """
    path = SAMPLE if name == "sample" else _inside(key, name, folder)
    table = read_table(path)
    for ours, theirs in columns.items():
        if theirs not in table.columns:
            found = ", ".join(map(str, table.columns))
            raise WaznError(f"{path}: no column '{theirs}' ({key}.{ours}); the columns are: {found}")
    rows = pd.DataFrame({ours: table[theirs] for ours, theirs in columns.items()})
    rows.insert(0, "line", table.index.astype("int64"))
    rows.insert(0, "source", name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(name, path, digest, [str(column) for column in table.columns], rows)


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
