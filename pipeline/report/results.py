"""What evaluations and trainings left behind, read for the report."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline import paths, shapes
from pipeline.errors import WaznError
from pipeline.evaluation.metrics import MEASURED, with_terms
from pipeline.evaluation.reassurance import reassuring
from pipeline.evaluation.statistics import BASE
from pipeline.evaluation.urgency import urgent
from pipeline.inputs import damaged, read_csv, read_json
from pipeline.parquet_inputs import read_parquet
from pipeline.schemas import generated as generated_schema
from pipeline.severities import SEVERITIES


def gather(
    models: Sequence[str], arms: Sequence[str], seeds: Sequence[int], scored: pd.DataFrame
) -> dict[str, dict[str, list[pd.DataFrame]]]:
    """The evaluated rows of every model and arm, `base` first, as `ArmTables` describes them.

    Only results of what is listed are read: a model, arm or seed that was taken off the list does not show.
    Whether a text tells to seek urgent care or reassures is judged here and not by `evaluate`, so that an
    edit of the lists of expressions needs no new answers.

    Args:
        models, arms, seeds: those that are listed in params.yaml.
        scored: the scored pairs.

    Raises:
        WaznError: an evaluation is missing or damaged, or is of other rows than that of another arm of
            the model.
    """
    gathered: dict[str, dict[str, list[pd.DataFrame]]] = {}
    schema = generated_schema(MEASURED)
    test = scored[scored["split"] == "test"].set_index("id")
    if test.index.duplicated().any():
        raise damaged(paths.SCORED, "two of its test pairs have the same id")
    of_references = pd.DataFrame(
        {
            f"{name}_reference": np.array(judge(list(test["answer"])), dtype="int64")
            for name, judge in (("urgent", urgent), ("reassuring", reassuring))
        },
        index=test.index,
    )
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
                if not test.index.isin(ids).sum() == len(ids):
                    raise damaged(path, f"not rows of {paths.SCORED}")
                answers = list(table["generated"])
                judged = table.assign(
                    **{name: test[name].reindex(ids).to_numpy() for name in ("group", "severity_human")},
                    **{str(name): column.reindex(ids).to_numpy() for name, column in of_references.items()},
                    urgent_answer=np.array(urgent(answers), dtype="int64"),
                    reassuring_answer=np.array(reassuring(answers), dtype="int64"),
                )
                gathered[model][arm].append(with_terms(judged))
    return gathered


def trainings_table(models: Sequence[str], arms: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """The facts of every model and training: `model`, `arm`, `seed` (missing for `base`) and its figures.

    These are `mean_weight`, `clipped_share` and `gradient_norm` of a training (see metrics/finetune), and
    the NLL of the validation pairs `valid_nll`, `valid_nll_critical` and so on (NaN without such a pair).

    Raises:
        WaznError: metrics of a training or an evaluation are missing or damaged.
    """
    rows = []
    for model, arm, seed in (*((model, BASE, None) for model in models), *_trainings(models, arms, seeds)):
        valid = read_json(paths.evaluation_metrics(arm, model, seed), shapes.EvaluationMetrics)["valid"]
        row: dict[str, Any] = {"model": model, "arm": arm, "seed": seed}
        if seed is not None:
            facts = read_json(paths.training_metrics(arm, model, seed), shapes.FinetuneMetrics)
            row["mean_weight"] = facts["weights"]["mean"]
            row |= {name: facts[name] for name in ("clipped_share", "gradient_norm")}
        for name in ("nll", *(f"nll_{severity}" for severity in reversed(SEVERITIES))):
            row[f"valid_{name}"] = np.nan if valid.get(name) is None else valid[name]
        rows.append(row)
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def loss_table(models: Sequence[str], arms: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """metrics/plots/loss.csv, the training loss of every step: `model`, `arm`, `seed`, `step`, `smooth`.

    `smooth` is the exponential mean of the loss.

    Raises:
        WaznError: a loss curve is missing or damaged.
    """
    curves = []
    for model, arm, seed in _trainings(models, arms, seeds):
        path = paths.training_curves(arm, model, seed) / "plots/metrics/train/loss.tsv"
        curve = read_csv(path, {"step": int, "loss": float}, separator="\t")
        smooth = curve["loss"].ewm(alpha=0.1).mean().round(6)
        columns: dict[str, Any] = {"model": model, "arm": arm, "seed": seed}
        curves.append(pd.DataFrame({**columns, "step": curve["step"], "smooth": smooth}))
    return pd.concat(curves, ignore_index=True)


def _trainings(
    models: Sequence[str], arms: Sequence[str], seeds: Sequence[int]
) -> Iterable[tuple[str, str, int]]:
    return ((model, arm, seed) for model in models for arm in arms for seed in seeds)
