"""The file by which an exported folder is known, and what it says."""

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import WaznError
from pipeline.inputs import reading
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


def read_note(folder: Path) -> Note:
    """The note of an export.

    Raises:
        WaznError: the folder is no export, or the note is damaged.
    """
    path = folder / NOTE
    if not path.is_file():
        raise WaznError(f"{folder}: no export of wazn there; write one by `wazn export MODEL ARM`")
    with reading(path):
        content = path.read_bytes()
    try:
        return TypeAdapter(Note).validate_python(json.loads(content))
    except (ValueError, ValidationError, RecursionError):
        raise WaznError(f"{path}: is damaged; write the folder again by `wazn export`") from None
