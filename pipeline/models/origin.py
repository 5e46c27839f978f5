"""Where transformers and PEFT find a base model without this project."""

from pathlib import Path
from typing import NamedTuple

from pipeline.inputs import read_json
from pipeline.shapes import BaseSource


class Origin(NamedTuple):
    """A base model as `from_pretrained` takes it.

    Attributes:
        name: its id on the Hub; or its folder, as seen from the project's.
        commit: on the Hub; None for a folder.
    """

    name: str
    commit: str | None


def origin(base: Path) -> Origin:
    """Where the model in `base`, as `base_model` wrote it, is found.

    What was built or converted here, or copied from a folder, is found in `base` only. The path is
    relative, as an output that named one of this machine would differ on the next.

    Raises:
        WaznError: its source.json is missing or damaged.
    """
    source = read_json(base / "source.json", BaseSource)
    name, _, _ = source["source"].removeprefix("hub:").partition("@")
    if source["source"].startswith("hub:") and source.get("commit"):
        return Origin(name, source["commit"])
    return Origin(base.as_posix(), None)
