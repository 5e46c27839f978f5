"""wazn export tiny_qwen2 weighting: a folder with a trained model that other tools can use."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from pipeline import exits
from pipeline.config.choices import check_arm, chosen_entry
from pipeline.config.params import load
from pipeline.errors import WaznError

_DTYPES = ("float32", "bfloat16", "float16")


def export(
    model: Annotated[str, typer.Argument(help="A model of the registry in params.yaml.")],
    arm: Annotated[str, typer.Argument(help="An arm of params.yaml, such as weighting.")],
    seed: Annotated[int | None, typer.Option(help="A seed; without it, the first of `seeds`.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Of the merged weights: float32 (without it), bfloat16 or float16.")
    ] = None,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="The adapter alone, for a base model on the Hub.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where to; without it, exports/<model>-<arm>-<seed>.")
    ] = None,
    params: Annotated[Path, typer.Option("--params", help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Write a trained model into a folder that stands alone."""
    values = load(params)
    chosen_entry(values, model)
    check_arm(arm, list(values.arm_settings))
    seed = values.seeds[0] if seed is None else seed
    if dtype is not None and dtype not in _DTYPES:
        raise WaznError(f"--dtype is one of {', '.join(_DTYPES)}, found '{dtype}'")
    if adapter and dtype is not None:
        raise WaznError("--dtype is that of merged weights; leave it out with --adapter")
    module = importlib.import_module("pipeline.commands.exporting.folder")
    exits.interruptible()
    target = folder or Path("exports") / f"{model}-{arm}-{seed}"
    module.write(target, values, model, arm, seed, None if adapter else dtype or "float32")
