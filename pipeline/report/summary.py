"""What all stages measured, gathered by model and run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import WaznError
from pipeline.evaluation.statistics import ALL, compare, holm, measure
from pipeline.evaluation.urgency import urgent
from pipeline.files import missing, read_parquet
from pipeline.severities import SEVERITIES

RUNS = ("base", "uniform", "weighting")
# What metrics/summary.json has of each run: its own name for a metric of a group of rows.
SUMMARY = {
    **{name: (name, ALL) for name in ("bertscore_f1", "chrf", "rouge_l", "nll")},
    **{f"nll_{severity}": ("nll", severity) for severity in reversed(SEVERITIES)},
    "urgency_recall": ("urgency_recall", "critical"),
}

Runs = dict[str, list[pd.DataFrame]]
Values = dict[str, dict[str, dict[str, float]]]


def gather(models: Sequence[str], seeds: Sequence[int], scored: pd.DataFrame) -> dict[str, Runs]:
    """The evaluated rows of every model and run: model to run to a table for each seed; base has one.

    Only what is asked for is read, so results of a model or seed taken off the list do not show. Whether
    reference and answer tell to seek urgent care is found here, so that an edit of the list of expressions
    costs no new answers.

    Args:
        models, seeds: what is asked for.
        scored: the scored pairs.

    Raises:
        WaznError: the evaluation of a model, run and seed is missing, or of other rows than that of
            another run of the model.
    """
    gathered: dict[str, Runs] = {}
    test = scored[scored["split"] == "test"]
    tells = pd.Series(urgent(list(test["answer"])), index=test["id"], dtype="int64")
    for model in models:
        gathered[model], ids = {}, None
        for run in RUNS:
            gathered[model][run] = []
            for name in ["base"] if run == "base" else seeds:
                path = Path("data/generated") / run / model / f"{name}.parquet"
                table = read_parquet(path)
                ids = list(table["id"]) if ids is None else ids
                if list(table["id"]) != ids:
                    raise WaznError(
                        f"{path}: not the rows that the other runs of {model} were evaluated on; run "
                        "`dvc repro`, which evaluates it again"
                    )
                gathered[model][run].append(
                    table.assign(
                        urgent_reference=tells.reindex(ids).to_numpy(),
                        urgent_answer=np.array(urgent(list(table["generated"])), dtype="int64"),
                    )
                )
    return gathered


def measured_table(gathered: Mapping[str, Runs]) -> pd.DataFrame:
    """metrics/plots/metrics.csv: `model`, and what `measure` gives."""
    tables = [measure(runs) for runs in gathered.values()]
    return _by_model(gathered, tables)


def differences_table(gathered: Mapping[str, Runs]) -> pd.DataFrame:
    """metrics/plots/differences.csv: `model`, what `compare` gives, and `p_holm`.

    `p_holm` is p corrected for the number of models (Holm), for each comparison, metric and group.
    """
    table = _by_model(gathered, [compare(runs) for runs in gathered.values()])
    families = table.groupby(["comparison", "metric", "group"])["p"]
    return table.assign(p_holm=families.transform(lambda p: holm(p.to_numpy())))


def summary(measured: pd.DataFrame) -> Values:
    """metrics/summary.json: `<model>.<run>.<metric>`.

    With several seeds that is their mean, and `<metric>_sd` their standard deviation. A metric without
    rows is left out.
    """
    of = {group: rows for group, rows in measured.groupby(["model", "run", "metric", "group"])}
    found: Values = {}
    for model in dict.fromkeys(measured["model"]):
        found[model] = {run: {} for run in RUNS}
        for run, values in found[model].items():
            for name, key in SUMMARY.items():
                if (model, run, *key) not in of:
                    continue
                [row] = of[model, run, *key].to_dict("records")
                values[name] = round(float(row["value"]), 6)
                if not np.isnan(row["sd_seeds"]):
                    values[f"{name}_sd"] = round(float(row["sd_seeds"]), 6)
    return found


def nll_table(measured: pd.DataFrame) -> pd.DataFrame:
    """NLL per answer token by severity: `model`, `run`, `severity`, `value`, `low`, `high`."""
    chosen = measured[(measured["metric"] == "nll") & measured["group"].isin(SEVERITIES)]
    columns = ["model", "run", "severity", "value", "low", "high"]
    return chosen.rename(columns={"group": "severity"})[columns].reset_index(drop=True)


def loss_table(models: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Training loss of every step by `model`, `run` and `seed`, with its exponential mean as `smooth`.

    Raises:
        WaznError: a loss curve is missing.
    """
    curves = []
    for model in models:
        for run in RUNS[1:]:
            for seed in seeds:
                path = Path("metrics/finetune") / run / model / str(seed) / "plots/metrics/train/loss.tsv"
                if not path.is_file():
                    raise missing(path)
                curve = pd.read_csv(path, sep="\t")
                smooth = curve["loss"].ewm(alpha=0.1).mean().round(6)
                named = {"model": model, "run": run, "seed": seed}
                curves.append(pd.DataFrame({**named, "step": curve["step"], "smooth": smooth}))
    return pd.concat(curves, ignore_index=True)


def weight_histogram(weights: np.ndarray, bins: int = 40) -> pd.DataFrame:
    """Rows by weight, in bins of equal width: `weight` (lower edge) and `rows`.

    A last row without rows marks the upper edge of the last bin.
    """
    counts, edges = np.histogram(weights, bins=bins)
    return pd.DataFrame({"weight": edges.round(6), "rows": [*counts, 0]})


def answers(gathered: Mapping[str, Runs], scored: pd.DataFrame) -> list[dict[str, Any]]:
    """The test complaints with every model's answers (of the first seed), those that differ most first.

    Args:
        gathered: as `gather` gives it.
        scored: the scored pairs.

    Returns:
        For each complaint that a model answered: `id`, `severity`, `specialty` (None where it has none),
        `question`, `reference`; `answers` and `nll` (of the reference, nats per token), model to run to
        text and figure; and `difference`, the mean over models of how far that NLL differs between
        uniform and weighting.
    """
    texts: dict[str, dict[str, dict[str, str]]] = {}
    nll: dict[str, dict[str, dict[str, float]]] = {}
    for model, runs in gathered.items():
        for run, (table, *_) in runs.items():
            ratios = table["nll_sum"] / table["answer_tokens"]
            for row, text, ratio in zip(table["id"], table["generated"], ratios, strict=True):
                texts.setdefault(row, {}).setdefault(model, {})[run] = text
                nll.setdefault(row, {}).setdefault(model, {})[run] = float(ratio)
    rows = scored[scored["id"].isin(list(texts))]
    if "specialty" in rows:
        rows = rows.assign(specialty=rows["specialty"].astype(object).fillna(""))
    # A row that does not fit one model's window is missing there; all that have it count.
    found = [
        {
            "id": row["id"],
            "severity": row["severity"],
            "specialty": row.get("specialty") or None,
            "question": row["question"],
            "reference": row["answer"],
            "difference": float(
                np.mean([abs(each["weighting"] - each["uniform"]) for each in nll[row["id"]].values()])
            ),
            "answers": texts[row["id"]],
            "nll": nll[row["id"]],
        }
        for row in rows.to_dict("records")
    ]
    return sorted(found, key=lambda row: -row["difference"])


def _by_model(models: Mapping[str, Runs], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    named = [table.assign(model=model) for model, table in zip(models, tables, strict=True)]
    whole = pd.concat(named, ignore_index=True)
    return whole[["model", *whole.columns.drop("model")]]
