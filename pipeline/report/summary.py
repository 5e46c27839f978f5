"""The results of all evaluations and trainings, gathered into tables by model and arm."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.evaluation.corrections import adjusted, is_primary
from pipeline.evaluation.groups import ALL
from pipeline.evaluation.placebos import placebos, randomisation_p
from pipeline.evaluation.statistics import UNIFORM, ArmTables, compare, measure
from pipeline.report.arms import shown_arms
from pipeline.severities import SEVERITIES

if TYPE_CHECKING:
    from pipeline.config.evaluation import PrimaryConfig
    from pipeline.config.training import ArmConfig

# metrics/summary.json: the name of a value, and which metric of which group of rows it is.
SUMMARY_METRICS = {
    **{name: (name, ALL) for name in ("bertscore_f1", "chrf", "rouge_l", "nll")},
    **{f"nll_{severity}": ("nll", severity) for severity in reversed(SEVERITIES)},
    "bits_per_byte": ("bits_per_byte", ALL),
    "urgency_recall": ("urgency_recall", "critical"),
    **{
        name: (name, ALL)
        for name in (
            "urgency_precision",
            "urgency_f1",
            "needless_alarms",
            "dangerous_reassurance",
            "cut_off",
        )
    },
}
# The same of the validation rows, by which an arm may be chosen.
VALID_METRICS = ("valid_nll", *(f"valid_nll_{severity}" for severity in reversed(SEVERITIES)))

Gathered = Mapping[str, ArmTables]
"""Model to its evaluated rows, see `results.gather`."""


def measured_table(gathered: Gathered) -> pd.DataFrame:
    """metrics/plots/metrics.csv: `model`, and the columns of `measure`."""
    return _by_model({model: measure(tables) for model, tables in gathered.items()})


def differences_table(
    gathered: Gathered, arms: Mapping[str, "ArmConfig"], primary: "PrimaryConfig"
) -> pd.DataFrame:
    """metrics/plots/differences.csv: `model`, the columns of `compare`, `role` and `p_adjusted`.

    `role` is `primary` for the primary endpoint, of which there is one for each model; `placebo` for a
    placebo of another arm; `exploratory` else. `p_adjusted` is p corrected for the number of primary
    endpoints (Holm), or the false discovery rate over all exploratory differences that the page colours
    (Benjamini-Hochberg): those of all models, comparisons and metrics on all rows and by severity, and
    those of NLL by specialty. It is NaN where p is, and for a placebo.
    """
    table = _by_model({model: compare(tables) for model, tables in gathered.items()})
    endpoint = is_primary(table, primary.arm, primary.metric, primary.group)
    hidden = arms.keys() - set(shown_arms(arms, primary.arm))
    placebo = table["comparison"].isin([f"{name}-{UNIFORM}" for name in hidden])
    role = np.select([endpoint, placebo], ["primary", "placebo"], "exploratory")
    coloured = table["group"].isin((ALL, *SEVERITIES)) | (table["metric"] == "nll")
    family = ((role == "exploratory") & coloured).to_numpy()
    corrected = adjusted(table["p"].to_numpy(), endpoint.to_numpy(), family)
    return table.assign(role=role, p_adjusted=corrected)


def seeds_table(differences: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    """metrics/plots/seeds.csv, the difference of each training seed on all rows and by severity.

    Args:
        differences: see `differences_table`.
        seeds: in the order of `by_seed`.

    Returns:
        `model`, `comparison`, `metric`, `group`, `seed` and `value`.
    """
    main = differences[differences["group"].isin((ALL, *SEVERITIES))]
    columns = ["model", "comparison", "metric", "group"]
    table = main[[*columns, "by_seed"]].explode("by_seed", ignore_index=True)
    return table.assign(
        seed=np.resize(seeds, len(table)), value=table.pop("by_seed").astype("float64").round(8)
    )


def placebo_table(
    differences: pd.DataFrame, arms: Mapping[str, "ArmConfig"], primary: "PrimaryConfig"
) -> pd.DataFrame:
    """metrics/plots/placebos.csv, where arms stand among their placebos, by the primary metric and group.

    Args:
        differences: see `differences_table`.
        arms: those that run.

    Returns:
        `model`, `arm` (that has placebos), `placebo` (its name; empty on the arm's own line), `value` (less
        uniform's) and `p`, see `randomisation_p`, on the arm's own line.
    """
    endpoint = (differences["metric"] == primary.metric) & (differences["group"] == primary.group)
    values = differences[endpoint].set_index(["model", "comparison"])["value"]
    rows: list[dict[str, Any]] = []
    for model in dict.fromkeys(differences["model"]):
        for arm, names in placebos(arms).items():
            keys = [(model, f"{name}-{UNIFORM}") for name in (arm, *names)]
            if arm == UNIFORM or not all(key in values.index for key in keys):
                continue
            own, *others = (float(values[key]) for key in keys)
            rows.append(
                {"model": model, "arm": arm, "placebo": "", "value": own, "p": randomisation_p(own, others)}
            )
            rows += [
                {"model": model, "arm": arm, "placebo": name, "value": value, "p": np.nan}
                for name, value in zip(names, others, strict=True)
            ]
    return pd.DataFrame(rows, columns=["model", "arm", "placebo", "value", "p"])


def summary(
    measured: pd.DataFrame,
    differences: pd.DataFrame,
    trainings: pd.DataFrame,
    placebo_values: pd.DataFrame,
    labelled_by_people: Mapping[str, int],
) -> dict[str, dict[str, dict[str, float]]]:
    """metrics/summary.json: `<model>.<arm>.<metric>`.

    With several seeds a value is their mean, and `<metric>_sd` their standard deviation. The arm of the
    primary endpoint has it as `primary` with `primary_low`, `primary_high` and, with several seeds,
    `primary_p`; an arm with placebos has `placebo_p`. A metric without rows is left out.

    Args:
        measured, differences, placebo_values: see `measured_table`, `differences_table`, `placebo_table`.
        trainings: see `results.trainings_table`.
        labelled_by_people: model to how many of its test rows have a severity that people gave.
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
        of_arm = trainings[(trainings["model"] == model) & (trainings["arm"] == arm)]
        for name in VALID_METRICS:
            over_seeds = of_arm[name].dropna()
            if len(over_seeds):
                values[name] = round(float(over_seeds.mean()), 6)
            if len(over_seeds) > 1:
                values[f"{name}_sd"] = round(float(over_seeds.std(ddof=1)), 6)
        for name, group in (("rows", ALL), *((f"rows_{severity}", severity) for severity in SEVERITIES)):
            row = rows.get((model, arm, "words", group))
            values[name] = int(row["rows"]) if row is not None else 0
        values["rows_labelled_by_people"] = labelled_by_people[model]
    for effect in differences[differences["role"] == "primary"].to_dict("records"):
        values = models[effect["model"]][effect["comparison"].removesuffix(f"-{UNIFORM}")]
        for name, key in (
            ("primary", "value"),
            ("primary_low", "low"),
            ("primary_high", "high"),
            ("primary_p", "p"),
        ):
            if not np.isnan(effect[key]):
                values[name] = round(float(effect[key]), 6)
    for row in placebo_values[placebo_values["placebo"] == ""].to_dict("records"):
        models[row["model"]][row["arm"]]["placebo_p"] = round(float(row["p"]), 6)
    return models


def critical_references(rows: pd.DataFrame) -> dict[str, int]:
    """How many reference answers to critical complaints there are, and how many alarm and reassure.

    They are judged by the lists of expressions by which answers are: a model's rates are to be seen beside
    these.

    Args:
        rows: of one evaluation, see `results.gather`.

    Returns:
        `rows`, `urgent` and `reassuring`.
    """
    critical = rows[rows["severity"] == "critical"]
    return {
        "rows": len(critical),
        "urgent": int(critical["urgent_reference"].sum()),
        "reassuring": int(critical["reassuring_reference"].sum()),
    }


def nll_table(measured: pd.DataFrame) -> pd.DataFrame:
    """metrics/plots/nll.csv, NLL per answer token: `model`, `arm`, `severity`, `value`, `low`, `high`."""
    rows = measured[(measured["metric"] == "nll") & measured["group"].isin(SEVERITIES)]
    columns = ["model", "arm", "severity", "value", "low", "high"]
    return rows.rename(columns={"group": "severity"})[columns].reset_index(drop=True)


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
