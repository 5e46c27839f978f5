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
    sizes = {row["group"]: row["rows"] for row in rows}
    fixed = [name for name in (ALL, *reversed(SEVERITIES)) if name in sizes]
    specialties = sorted(sizes.keys() - set(fixed), key=lambda name: (-sizes[name], str(name)))
    cells = max(1, len(rows) // max(1, len(sizes)))
    room = max(0, max_cells // cells - len(fixed))
    return [*fixed, *specialties[:room]], max(0, len(specialties) - room)


def result_tables(
    rows: Sequence[Row], models: Sequence[str], arms: Sequence[str], groups: Sequence[str]
) -> list[Row]:
    """For each group its number of rows and, by model and arm, the metrics.

    `best` has the best value of each metric for which more is better or worse.

    Args:
        rows: of the table of metrics.
        arms: in the order of the page, `base` among them.
        groups: as `shown_groups` gives them.
    """
    by_key = {(row["group"], row["model"], row["arm"], row["metric"]): row for row in rows}
    sizes = {row["group"]: row["rows"] for row in rows}

    def of_model(group: str, model: str) -> Row:
        cells = {arm: {name: by_key.get((group, model, arm, name)) for name in METRICS} for arm in arms}
        return {"model": model, "arms": cells, "best": _best(cells)}

    return [
        {"group": group, "rows": sizes[group], "models": [of_model(group, model) for model in models]}
        for group in groups
    ]


def _best(cells: Mapping[str, Mapping[str, Row | None]]) -> dict[str, float]:
    best = {}
    for name, metric in METRICS.items():
        values = [row["value"] for metrics in cells.values() if (row := metrics[name]) is not None]
        if values and metric.better != "neither":
            best[name] = min(values) if metric.better == "lower" else max(values)
    return best


def forests(effects: Sequence[Row], comparisons: Sequence[str], groups: Sequence[str]) -> list[Row]:
    """For each comparison and metric the groups, each with a line for every model, all on one scale.

    Positions (`low_at`, `high_at`, `at`, `zero_at`, those of `ticks`) are percent of the width. Specialties
    are given for NLL only and in a forest of their own, since they are many and have no p-value.

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
                if (row["comparison"], row["metric"]) == (comparison, metric) and row["group"] in groups
            ]
            main = [row for row in rows if row["group"] in (ALL, *SEVERITIES)]
            specialties = [row for row in rows if row["group"] not in (ALL, *SEVERITIES)]
            if main:
                result.append(_forest(main, groups, specialties=False))
            if specialties and metric == "nll":
                result.append(_forest(specialties, groups, specialties=True))
    return result


def _forest(rows: Sequence[Row], groups: Sequence[str], *, specialties: bool) -> Row:
    """The forest of one comparison and metric."""
    low = min(0.0, *(float(row["low"]) for row in rows))
    high = max(0.0, *(float(row["high"]) for row in rows))
    margin = (high - low or 1.0) * 0.06
    low, high = low - margin, high + margin

    def position(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

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


def _ticks(low: float, high: float) -> list[tuple[float, bool]]:
    """Round numbers from `low` to `high`, 0 among them; and whether a narrow screen may leave one out."""
    least_step = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(least_step))
    step = next(multiple * power for multiple in (1, 2, 5, 10) if multiple * power >= least_step)
    multiples = range(math.ceil(low / step), math.floor(high / step) + 1)
    return [(round(multiple * step, 10), multiple % 2 == 1) for multiple in multiples]
