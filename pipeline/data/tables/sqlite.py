"""Tables and views of an SQLite file."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from pipeline.data.tables.expansion import Expansion

_LOGS = ("-journal", "-wal")


class Sqlite:
    """A table or a view, which is opened for reading only; its values may be `max_mb` MiB together.

    Where a program was stopped, or is still writing, a log lies beside the file: changes to undo
    (`-journal`) or to add (`-wal`). Then both are copied to a temporary folder and opened there, so that
    SQLite does so, and nothing is changed beside the file.
    """

    def __init__(self, path: Path, name: str, table: str, max_mb: int) -> None:
        self._path, self._name, self._max_mb = path, name, max_mb
        self._table = _quoted(table)

    @cached_property
    def columns(self) -> list[str]:
        """The names of the columns, which a view of what is gone has not."""
        with _connected(self._path) as connection:
            cursor = connection.execute(f"SELECT * FROM {self._table} LIMIT 0")
            return [column[0] for column in cursor.description]

    def records(self) -> int:
        """The number of rows that SQLite counts."""
        with _connected(self._path) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {self._table}").fetchone()[0])

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, tuple[object, ...]]]:
        """Each row's number from 1, and its values in the columns at `indices`.

        Raises:
            WaznError: the values are larger than they may be.
        """
        names = ", ".join(_quoted(self.columns[index]) for index in indices)
        expansion = Expansion(self._name, self._max_mb)
        with _connected(self._path) as connection:
            cursor = connection.execute(f"SELECT {names} FROM {self._table}")
            for number, cells in enumerate(cursor, start=1):
                expansion.add(sum(len(cell) if isinstance(cell, str | bytes) else 8 for cell in cells))
                yield number, cells


def sqlite_tables(path: Path) -> list[str]:
    """The names of the tables and views that are in an SQLite file, but for those of SQLite's own."""
    with _connected(path) as connection:
        found = connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
        )
        return [name for (name,) in found if not name.startswith("sqlite_")]


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    path = path.resolve()
    with ExitStack() as stack:
        logs = [log for end in _LOGS if (log := path.with_name(path.name + end)).is_file()]
        # Without a log nothing is missed by "immutable", which leaves no file beside it.
        options = "immutable=1"
        if any(log.stat().st_size for log in logs):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wazn-")))
            for file in (path, *logs):
                shutil.copyfile(file, folder / file.name)
            path, options = folder / path.name, "mode=rw"
        uri = f"file:{quote(str(path))}?{options}"
        yield stack.enter_context(closing(sqlite3.connect(uri, uri=True)))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
