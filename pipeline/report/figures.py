"""The measured tables, laid out for the page: results by group of rows, and forests of differences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.evaluation.groups import ALL
from pipeline.evaluation.metrics import METRICS
from pipeline.report.findings import sign
from pipeline.severities import SEVERITIES

# Cells that the tables of results have at most in all: a browser would not open a page of 500 specialties.
MAX_CELLS = 9_000

Row = dict[str, Any]


def records(table: pd.DataFrame, models: Sequence[str]) -> list[Row]:
    """The rows of the listed models that have a value, as dictionaries; an empty cell is None."""
    rows = table[table["model"].isin(models) & table["value"].notna()].to_dict("records")
    return [
        {
            str(name): None if isinstance(cell, float) and math.isnan(cell) else cell
            for name, cell in row.items()
        }
        for row in rows
    ]


def shown_groups(rows: Sequence[Row], max_cells: int = MAX_CELLS) -> tuple[list[str], int]:
    """The groups of test rows in the order of the page, and how many specialties are left out.

    First come all rows, then the severities from critical down, then the specialties by falling rows.

    Args:
        rows: of the table of metrics.
        max_cells: what the tables of all groups may have; specialties that do not fit are left out.
    """
    sizes = _sizes(rows)
    fixed = [name for name in (ALL, *reversed(SEVERITIES)) if name in sizes]
    specialties = sorted(sizes.keys() - set(fixed), key=lambda name: (-sizes[name], str(name)))
    cells = max(1, len(rows) // max(1, len(sizes)))
    room = max(0, max_cells // cells - len(fixed))
    return [*fixed, *specialties[:room]], max(0, len(specialties) - room)


def result_tables(
    rows: Sequence[Row],
    models: Sequence[str],
    arms: Sequence[str],
    groups: Sequence[str],
    chosen: Mapping[str, str | None],
) -> list[Row]:
    """For each group its number of rows and, by model and arm, the metrics.

    Args:
        rows: of the table of metrics.
        arms: in the order of the page, `base` among them.
        groups: as `shown_groups` gives them.
        chosen: model to the arm that the validation pairs choose, see `chosen_arms`.
    """
    by_key = {(row["group"], row["model"], row["arm"], row["metric"]): row for row in rows}
    sizes = _sizes(rows)

    def of_model(group: str, model: str) -> Row:
        cells = {arm: {name: by_key.get((group, model, arm, name)) for name in METRICS} for arm in arms}
        return {"model": model, "arms": cells, "chosen": chosen.get(model)}

    return [
        {"group": group, "rows": sizes[group], "models": [of_model(group, model) for model in models]}
        for group in groups
    ]


def chosen_arms(trainings: pd.DataFrame, arms: Sequence[str]) -> dict[str, str | None]:
    """Model to the arm with the least mean validation NLL over its seeds; None without validation pairs.

    The test rows take no part in the choice, so the chosen arm's figures on them are not too good.

    Args:
        trainings: see `results.trainings_table`.
        arms: among which is chosen.
    """
    rows = trainings[trainings["arm"].isin(arms)]
    means = rows.groupby(["model", "arm"], sort=False)["valid_nll"].mean().unstack()
    return {
        str(model): None if values.isna().any() else str(values.astype("float64").idxmin())
        for model, values in means.iterrows()
    }


def over_seeds(trainings: pd.DataFrame, column: str) -> dict[tuple[str, str], float]:
    """Model and arm to the mean of a column over the seeds; without those that have no value.

    Args:
        trainings: see `results.trainings_table`.
    """
    means = trainings.groupby(["model", "arm"])[column].mean().dropna().reset_index()
    return {(row["model"], row["arm"]): float(row[column]) for row in means.to_dict("records")}


def placebo_blocks(placebos: pd.DataFrame, models: Sequence[str]) -> dict[str, Row]:
    """Arm to its `count` of placebos and, for each model, where its value stands among theirs.

    `lines` have `model`, `value`, `low` and `high` (the least and greatest of the placebos), `further` (how
    many placebos are at least as far from the mean of all) and `p`.

    Args:
        placebos: see `summary.placebo_table`.
        models: in the order of the page.
    """
    blocks: dict[str, Row] = {}
    for arm in dict.fromkeys(placebos["arm"]):
        lines = []
        for model in models:
            rows = placebos[(placebos["arm"] == arm) & (placebos["model"] == model)]
            own, others = rows[rows["placebo"] == ""], rows[rows["placebo"] != ""]
            if own.empty:
                continue
            p = float(own["p"].iloc[0])
            lines.append(
                {
                    "model": model,
                    "value": float(own["value"].iloc[0]),
                    "low": float(others["value"].min()),
                    "high": float(others["value"].max()),
                    "further": round(p * (len(others) + 1)) - 1,
                    "p": p,
                    "count": len(others),
                }
            )
        if lines:
            blocks[str(arm)] = {"count": lines[0]["count"], "lines": lines}
    return blocks


def placebo_tests(blocks: Mapping[str, Row], arm: str) -> dict[str, Row]:
    """Model to `p` and `count` of an arm's placebos; empty where it has none.

    Args:
        blocks: see `placebo_blocks`.
    """
    lines = blocks[arm]["lines"] if arm in blocks else []
    return {line["model"]: {"p": line["p"], "count": line["count"]} for line in lines}


def forests(effects: Sequence[Row], comparisons: Sequence[str], groups: Sequence[str]) -> list[Row]:
    """For each comparison and metric the groups, each with a line for every model, all on one scale.

    Positions (`low_at`, `high_at`, `at`, `seeds_at`, `zero_at`, those of `ticks`) are percent of the width.
    Specialties are given for NLL only and in a forest of their own, since they are many.

    Args:
        effects: rows of the table of differences.
        comparisons: in the order of the page.
        groups: as `shown_groups` gives them.
    """
    result = []
    for comparison in comparisons:
        for metric in METRICS:
            rows = [
                row
                for row in effects
                if (row["comparison"], row["metric"]) == (comparison, metric)
                and row["group"] in groups
                and row["low"] is not None
            ]
            main = [row for row in rows if row["group"] in (ALL, *SEVERITIES)]
            specialties = [row for row in rows if row["group"] not in (ALL, *SEVERITIES)]
            if main:
                result.append(_forest(main, groups, specialties=False))
            if specialties and metric == "nll":
                result.append(_forest(specialties, groups, specialties=True))
    return result


def _sizes(rows: Sequence[Row]) -> dict[str, int]:
    """Rows of each group: the most that count in any metric.

    Args:
        rows: of the table of metrics.
    """
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row["group"]] = max(sizes.get(row["group"], 0), row["rows"])
    return sizes


def _forest(rows: Sequence[Row], groups: Sequence[str], *, specialties: bool) -> Row:
    """The forest of one comparison and metric."""
    ends = [value for row in rows for value in (row["low"], row["high"], *_by_seed(row))]
    low, high = min(0.0, *ends), max(0.0, *ends)
    margin = (high - low or 1.0) * 0.06
    low, high = low - margin, high + margin

    def position(value: float) -> float:
        return float(round(100 * (value - low) / (high - low), 2))

    better = METRICS[rows[0]["metric"]].better
    lines: dict[str, list[Row]] = {}
    for row in rows:
        kind = ("unclear", "higher", "lower")[sign(row)]
        positions = {f"{name}_at": position(row[name]) for name in ("low", "high")}
        lines.setdefault(row["group"], []).append(
            {
                **row,
                **positions,
                "at": position(row["value"]),
                "seeds_at": [position(value) for value in _by_seed(row)],
                "kind": "better" if kind == better else kind,
            }
        )
    critical_first = sorted(lines, key=lambda name: (name == ALL, groups.index(name)))
    return {
        "comparison": rows[0]["comparison"],
        "metric": rows[0]["metric"],
        "specialties": specialties,
        "zero_at": position(0.0),
        "ticks": [
            {"value": value, "at": position(value), "minor": minor} for value, minor in _ticks(low, high)
        ],
        "groups": [
            {"group": name, "rows": lines[name][0]["rows"], "effects": lines[name]}
            for name in critical_first
        ],
    }


def _by_seed(row: Row) -> list[float]:
    """Each seed's difference, where there are several; a seed without a value is left out."""
    values = [value for value in row["by_seed"] if not math.isnan(value)]
    return values if len(row["by_seed"]) > 1 else []


def _ticks(low: float, high: float) -> list[tuple[float, bool]]:
    """Round numbers from `low` to `high`, 0 among them; and whether a narrow screen may leave one out."""
    least_step = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(least_step))
    step = next(multiple * power for multiple in (1, 2, 5, 10) if multiple * power >= least_step)
    multiples = range(math.ceil(low / step), math.floor(high / step) + 1)
    return [(round(multiple * step, 10), multiple % 2 == 1) for multiple in multiples]
