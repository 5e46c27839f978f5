"""wazn review: physicians compare answers without knowing whose they are."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from pipeline import exits, paths
from pipeline.config.params import load
from pipeline.run_lock import run_lock

app = typer.Typer(
    help="Let physicians rate answers blindly, and read what they send back.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def review(
    context: typer.Context,
    params: Annotated[Path, typer.Option("--params", help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Let physicians rate answers blindly (export, import); alone: what their ratings say."""
    if context.invoked_subcommand is None:
        values = load(params)
        with run_lock(paths.CHECKPOINTS / "review", "review"):
            module = importlib.import_module("pipeline.stages.review")
            exits.interruptible()
            module.run(primary=values.report.primary)


@app.command("export")
def export_files(
    params: Annotated[Path, typer.Option("--params", help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Write a page and a workbook for each rater, and the key that stays here."""
    values = load(params)
    module = importlib.import_module("pipeline.commands.review.export")
    exits.interruptible()
    module.run(values)


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="What raters saved: JSON, CSV or XLSX.")],
    key: Annotated[Path | None, typer.Option(help="The round's key, if it is not in its folder.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let a newer file change what its rater said before.")
    ] = False,
) -> None:
    """Check raters' files and add them to data/reviews/ratings.parquet."""
    with run_lock(paths.CHECKPOINTS / "review_import", "review import"):
        module = importlib.import_module("pipeline.commands.review.importing")
        exits.interruptible()
        module.run(files, key=key, replace=replace)
