"""The course of a training run, written by DVCLive while it trains."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from pipeline.files import replacing
from pipeline.os_errors import writing
from pipeline.training.steps import Step


@contextmanager
def curves(folder: Path) -> Iterator[Callable[[Step], None]]:
    """Write each value of each step to `folder`/plots/metrics/{train,valid}/<name>.tsv.

    DVCLive writes them at every step, so that a run can be watched. Where it is not installed or
    cannot start, the same files are written at the end.
    """
    try:
        from dvclive import Live  # noqa: PLC0415

        live = Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None)
    except Exception as error:
        # It is not installed; or DVC cannot read the repository, for which it has many kinds of errors.
        print(f"without DVCLive ({type(error).__name__}), so curves are written at the end only")
        steps: list[Step] = []
        yield steps.append
        # A curve of an earlier run must not stay.
        shutil.rmtree(folder, ignore_errors=True)
        _write(folder, steps)
        return
    with writing(folder), live:

        def log(step: Step) -> None:
            live.step = step.number
            for name, value in _values(step).items():
                live.log_metric(name, value)
            live.make_summary()

        yield log


def _values(step: Step) -> dict[str, float]:
    """The values of a step that are plotted, by the path of their curve."""
    names = ("loss", "mean_weight", "learning_rate", "gradient_norm")
    values = {f"train/{name}": getattr(step, name) for name in names}
    return values | {f"valid/{k}": v for k, v in (step.valid or {}).items() if v is not None}


def _write(folder: Path, steps: list[Step]) -> None:
    table = pd.DataFrame([_values(step) for step in steps], index=[step.number for step in steps])
    for path in table:
        name = str(path).rpartition("/")[2]
        column = table[path].dropna().rename(name).rename_axis("step").reset_index()
        with replacing(folder / "plots/metrics" / f"{path}.tsv") as temporary:
            column.to_csv(temporary, sep="\t", index=False)
