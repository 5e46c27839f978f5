"""wazn ask --model tiny_gpt2 "…": the answers of every arm, beside each other."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from pipeline import exits
from pipeline.config.choices import check_arm, chosen_entry
from pipeline.config.params import load
from pipeline.paths import BASE


def ask(
    model: Annotated[str, typer.Option(help="A model of the registry in params.yaml.")],
    question: Annotated[
        str | None, typer.Argument(help="A complaint, in Arabic; without it, they are read line by line.")
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="An arm of params.yaml, or base; may be repeated; without it, all."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="A seed; without it, the first of `seeds`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each complaint.")] = False,
    params: Annotated[Path, typer.Option("--params", help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Answer complaints with every arm of a model (research, not advice)."""
    values = load(params)
    chosen_entry(values, model)
    for name in arm or []:
        check_arm(name, [BASE, *values.arm_settings])
    module = importlib.import_module("pipeline.commands.asking.session")
    exits.interruptible()
    module.run(question, values, model, arm, values.seeds[0] if seed is None else seed, as_json=as_json)
