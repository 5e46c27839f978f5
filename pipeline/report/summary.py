"""The results of all evaluations and trainings, gathered into tables by model and arm."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.evaluation.groups import ALL
from pipeline.evaluation.metrics import COLUMNS
from pipeline.evaluation.statistics import BASE, compare, holm, measure
from pipeline.evaluation.urgency import urgent
from pipeline.inputs import damaged, read_csv
from pipeline.parquet_inputs import read_parquet
from pipeline.schemas import generated as generated_schema
from pipeline.severities import SEVERITIES

# metrics/summary.json: the name of a value, and which metric of which group of rows it is.
SUMMARY_METRICS = {
    **{name: (name, ALL) for name in ("bertscore_f1", "chrf", "rouge_l", "nll")},
    **{f"nll_{severity}": ("nll", severity) for severity in reversed(SEVERITIES)},
    "urgency_recall": ("urgency_recall", "critical"),
}

# Of one model: arm to its evaluated rows, one table for each seed; `base` has one table.
ArmTables = dict[str, list[pd.DataFrame]]


def gather(
    models: Sequence[str], arms: Sequence[str], seeds: Sequence[int], scored: pd.DataFrame
) -> dict[str, ArmTables]:
    """The evaluated rows of every model and arm, `base` first.

    Only results of what is listed are read: a model, arm or seed that was taken off the list does not show.
    The columns `urgent_reference` and `urgent_answer` are computed here and not by `evaluate`, so that an
    edit of the list of urgent expressions needs no new answers.

    Args:
        models, arms, seeds: those that are listed in params.yaml.
        scored: the scored pairs.

    Raises:
        WaznError: an evaluation is missing or damaged, or is of other rows than that of another arm of
            the model.
    """
    gathered: dict[str, ArmTables] = {}
    # What is computed here is no column of the files.
    schema = generated_schema(tuple(name for name in COLUMNS if not name.startswith("urgent_")))
    test = scored[scored["split"] == "test"]
    if test["id"].duplicated().any():
        raise damaged(paths.SCORED, "two of its test pairs have the same id")
    urgent_references = pd.Series(urgent(list(test["answer"])), index=test["id"], dtype="int64")
    for model in models:
        gathered[model], ids = {}, None
        for arm in (BASE, *arms):
            gathered[model][arm] = []
            for seed in [None] if arm == BASE else seeds:
                path = paths.generated(arm, model, seed)
                table = read_parquet(path, schema, ["specialty"])
                ids = list(table["id"]) if ids is None else ids
                if list(table["id"]) != ids:
                    raise WaznError(
                        f"{path}: not the rows that the other arms of {model} were evaluated on; run "
                        "`dvc repro`, which evaluates it again"
                    )
                if not urgent_references.index.isin(ids).sum() == len(ids):
                    raise damaged(path, f"not rows of {paths.SCORED}")
                gathered[model][arm].append(
                    table.assign(
                        urgent_reference=urgent_references.reindex(ids).to_numpy(),
                        urgent_answer=np.array(urgent(list(table["generated"])), dtype="int64"),
                    )
                )
    return gathered


def measured_table(gathered: Mapping[str, ArmTables]) -> pd.DataFrame:
    """metrics/plots/metrics.csv: `model`, and the columns of `measure`."""
    return _by_model({model: measure(tables) for model, tables in gathered.items()})


def differences_table(gathered: Mapping[str, ArmTables]) -> pd.DataFrame:
    """metrics/plots/differences.csv: `model`, the columns of `compare`, and `p_holm`.

    `p_holm` is p corrected for the number of models (Holm), for each comparison, metric and group.
    """
    table = _by_model({model: compare(tables) for model, tables in gathered.items()})
    families = table.groupby(["comparison", "metric", "group"])["p"]
    return table.assign(p_holm=families.transform(lambda p: holm(p.to_numpy())))


def summary(measured: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """metrics/summary.json: `<model>.<arm>.<metric>`.

    With several seeds a value is their mean, and `<metric>_sd` their standard deviation. A metric without
    rows is left out.
    """
    rows = {
        (row["model"], row["arm"], row["metric"], row["group"]): row for row in measured.to_dict("records")
    }
    models: dict[str, dict[str, dict[str, float]]] = {}
    for model, arm in dict.fromkeys(zip(measured["model"], measured["arm"], strict=True)):
        values = models.setdefault(model, {}).setdefault(arm, {})
        for name, (metric, group) in SUMMARY_METRICS.items():
            row = rows.get((model, arm, metric, group))
            if row is None:
                continue
            values[name] = round(float(row["value"]), 6)
            if not np.isnan(row["sd_seeds"]):
                values[f"{name}_sd"] = round(float(row["sd_seeds"]), 6)
    return models


def nll_table(measured: pd.DataFrame) -> pd.DataFrame:
    """metrics/plots/nll.csv, NLL per answer token: `model`, `arm`, `severity`, `value`, `low`, `high`."""
    rows = measured[(measured["metric"] == "nll") & measured["group"].isin(SEVERITIES)]
    columns = ["model", "arm", "severity", "value", "low", "high"]
    return rows.rename(columns={"group": "severity"})[columns].reset_index(drop=True)


def loss_table(models: Sequence[str], arms: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """metrics/plots/loss.csv, the training loss of every step: `model`, `arm`, `seed`, `step`, `smooth`.

    `smooth` is the exponential mean of the loss.

    Raises:
        WaznError: a loss curve is missing or damaged.
    """
    curves = []
    for model in models:
        for arm in arms:
            for seed in seeds:
                path = paths.training_curves(arm, model, seed) / "plots/metrics/train/loss.tsv"
                curve = read_csv(path, {"step": int, "loss": float}, separator="\t")
                smooth = curve["loss"].ewm(alpha=0.1).mean().round(6)
                columns: dict[str, Any] = {"model": model, "arm": arm, "seed": seed}
                curves.append(pd.DataFrame({**columns, "step": curve["step"], "smooth": smooth}))
    return pd.concat(curves, ignore_index=True)


def weight_histogram(weights: Mapping[str, np.ndarray], bins: int = 40) -> pd.DataFrame:
    """metrics/plots/weights.csv, rows by weight: `arm`, `weight` (lower edge of a bin), `rows`.

    All arms have the same bins, of equal width, so that their heights can be compared. A last line of each
    arm, with `rows` 0, marks the upper edge of the last bin.

    Args:
        weights: arm to the weights of the training pairs, (n,).
    """
    edges = np.histogram_bin_edges(np.concatenate(list(weights.values())), bins)
    return pd.concat(
        [
            pd.DataFrame(
                {"arm": arm, "weight": edges.round(6), "rows": [*np.histogram(of_arm, edges)[0], 0]}
            )
            for arm, of_arm in weights.items()
        ],
        ignore_index=True,
    )


def _by_model(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables of all models as one, with `model` as the first column."""
    table = pd.concat([table.assign(model=model) for model, table in tables.items()], ignore_index=True)
    return table[["model", *table.columns.drop("model")]]
