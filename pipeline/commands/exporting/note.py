"""The file by which an exported folder is known, and what it says."""

from pathlib import Path
from typing import Any

from pipeline.errors import WaznError
from pipeline.inputs import UnusableJson, read_values
from pipeline.shapes import Shape

NOTE = "wazn.json"


class Note(Shape):
    """What is read of an export's note."""

    model: str
    arm: str
    licences: dict[str, str | None]


def refuse_foreign(folder: Path) -> None:
    """Refuse to write where something else stands than an export, or an empty folder.

    Raises:
        WaznError: it does.
    """
    empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not (folder / NOTE).is_file() and not empty:
        raise WaznError(
            f"{folder}: is there and no export of wazn; move it away, or name another folder by --folder"
        )


def read_note(folder: Path) -> dict[str, Any]:
    """The note of an export, see `Note`.

    Raises:
        WaznError: the folder is no export, or the note is damaged.
    """
    path = folder / NOTE
    if not path.is_file():
        raise WaznError(f"{folder}: no export of wazn there; write one by `wazn export MODEL ARM`")
    try:
        note: dict[str, Any] = read_values(path, Note)
    except UnusableJson:
        raise WaznError(f"{path}: is damaged; write the folder again by `wazn export`") from None
    return note
