"""wazn push exports/tiny_qwen2-weighting-17 owner/name: an exported model goes to the Hub."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from pipeline import exits


def push(
    folder: Annotated[Path, typer.Argument(help="A folder that `wazn export` has written.")],
    repository: Annotated[str, typer.Argument(help="On the Hub: owner/name.")],
    public: Annotated[bool, typer.Option("--public", help="For everybody; without it, private.")] = False,
    licences_read: Annotated[
        bool,
        typer.Option(
            "--licences-read",
            help="I have read the licences of base model and data, and they allow passing this on.",
        ),
    ] = False,
) -> None:
    """Upload an exported model to the Hugging Face Hub."""
    module = importlib.import_module("pipeline.commands.exporting.upload")
    exits.interruptible()
    module.upload(folder, repository, public=public, licences_read=licences_read)
