"""wazn review: physicians compare answers without knowing whose they are."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from pipeline import exits
from pipeline.config.params import load

app = typer.Typer(
    help="Let physicians rate answers blindly, and read what they send back.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def export(
    params: Annotated[Path, typer.Option("--params", help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Write a page and a workbook for each rater, and the key that stays here."""
    values = load(params)
    module = importlib.import_module("pipeline.commands.review.export")
    exits.interruptible()
    module.run(values)
