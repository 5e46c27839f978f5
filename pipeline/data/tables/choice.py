"""Choose one of several files by name or pattern."""

import fnmatch
from collections.abc import Sequence
from typing import TypeVar

from pipeline.data.tables.names import listed, shown_names
from pipeline.errors import WaznError

T = TypeVar("T")


def choose(files: Sequence[tuple[Sequence[str], T]], wanted: str | None, where: str) -> T:
    """The one file that is meant.

    Args:
        files: the names that each goes by, that to show first, and what it is.
        wanted: a name, or a pattern such as `*.csv`; None for the only file.
        where: what messages call the place.

    Raises:
        WaznError: no file or several are meant; their names are listed.
    """
    meant = list(files)
    if wanted is not None:
        meant = [file for file in files if wanted in file[0]]
        meant = meant or [
            file for file in files if any(fnmatch.fnmatchcase(name, wanted) for name in file[0])
        ]
    if len(meant) == 1:
        return meant[0][1]
    shown = dict(zip(map(id, files), shown_names([file[0][0] for file in files], "file"), strict=True))
    choice = listed([shown[id(file)] for file in meant or files])
    many = f"has {len(meant)} files" if meant else "has no file"
    asked = f" that could be '{wanted}'" if wanted is not None else ""
    raise WaznError(f"{where}: {many}{asked}; set `file` to one of: {choice}")
