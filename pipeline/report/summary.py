"""What all stages measured, gathered by model and run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.files import missing, read_json, read_parquet
from pipeline.severity.labels import SEVERITIES

RUNS = ("base", "uniform", "weighting")
METRICS = (
    "bertscore_f1",
    "chrf",
    "rouge_l",
    "nll",
    *(f"nll_{severity}" for severity in reversed(SEVERITIES)),
)
LOWER_IS_BETTER = frozenset(name for name in METRICS if name.startswith("nll"))


def gather(models: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """The evaluation of every model and run: model to run to metric.

    Only what is asked for is read, so results of a model taken off the list do not show.

    Raises:
        WaznError: the evaluation of a model and run is missing.
    """
    return {
        model: {run: read_json(Path("metrics/evaluate") / run / f"{model}.json") for run in RUNS}
        for model in models
    }


def summary(gathered: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, dict[str, float]]]:
    """metrics/summary.json: `<model>.<run>.<metric>`; a metric without rows is left out."""
    return {
        model: {
            run: {name: round(values[name], 6) for name in METRICS if values[name] is not None}
            for run, values in runs.items()
        }
        for model, runs in gathered.items()
    }


def nll_table(summarised: dict[str, dict[str, dict[str, float]]]) -> pd.DataFrame:
    """NLL per answer token of the summary: `model`, `run`, `severity`, `value`."""
    return pd.DataFrame(
        [
            {"model": model, "run": run, "severity": severity, "value": metrics[f"nll_{severity}"]}
            for model, runs in summarised.items()
            for run, metrics in runs.items()
            for severity in reversed(SEVERITIES)
            if f"nll_{severity}" in metrics
        ]
    )


def loss_table(models: Sequence[str]) -> pd.DataFrame:
    """Training loss of every step by `model` and `run`, with its exponential mean as `smooth`.

    Raises:
        WaznError: a loss curve is missing.
    """
    curves = []
    for model in models:
        for run in RUNS[1:]:
            path = Path("metrics/finetune") / run / model / "plots/metrics/train/loss.tsv"
            if not path.is_file():
                raise missing(path)
            curve = pd.read_csv(path, sep="\t")
            smooth = curve["loss"].ewm(alpha=0.1).mean().round(6)
            curves.append(
                pd.DataFrame({"model": model, "run": run, "step": curve["step"], "smooth": smooth})
            )
    return pd.concat(curves, ignore_index=True)


def weight_histogram(weights: np.ndarray, bins: int = 40) -> pd.DataFrame:
    """Rows by weight, in bins of equal width: `weight` (lower edge) and `rows`.

    A last row without rows marks the upper edge of the last bin.
    """
    counts, edges = np.histogram(weights, bins=bins)
    return pd.DataFrame({"weight": edges.round(6), "rows": [*counts, 0]})


def answers(models: Sequence[str], scored: pd.DataFrame, count: int) -> list[dict[str, Any]]:
    """The test complaints on which the runs differ most, with every model's answers.

    They are chosen by the mean over models of how far the reference's NLL per token differs
    between uniform and weighting.

    Args:
        scored: the scored pairs.
        count: how many.

    Returns:
        For each `id`, `severity`, `question`, `reference` and `answers`: (model, run to text).

    Raises:
        WaznError: the generations of a model and run are missing.
    """
    texts: dict[tuple[str, str], pd.Series] = {}
    differences = []
    for model in models:
        tables = {
            run: read_parquet(Path("data/generated") / run / f"{model}.parquet").set_index("id")
            for run in RUNS
        }
        nll = {run: table["nll_sum"] / table["answer_tokens"] for run, table in tables.items()}
        differences.append((nll["weighting"] - nll["uniform"]).abs())
        texts |= {(model, run): table["generated"] for run, table in tables.items()}
    # A row that does not fit one model's window is missing there; all that have it count.
    order = pd.concat(differences, axis=1).mean(axis=1).sort_values(ascending=False, kind="stable")
    rows = scored.set_index("id")
    return [
        {
            "id": row_id,
            "severity": rows.at[row_id, "severity"],
            "question": rows.at[row_id, "question"],
            "reference": rows.at[row_id, "answer"],
            "answers": [
                (model, {run: texts[model, run].get(row_id, "") for run in RUNS}) for model in models
            ],
        }
        for row_id in order.index[:count]
    ]
