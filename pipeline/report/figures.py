"""The measured tables, laid out for the page: forests of differences, tables by group of rows."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.statistics import ALL, COMPARISONS
from pipeline.report.findings import sign
from pipeline.report.summary import RUNS
from pipeline.severities import SEVERITIES

# Cells that the tables by group have at most in all: a page of 500 specialties would not open.
CELLS = 9_000

Row = dict[str, Any]


def records(table: pd.DataFrame, models: Sequence[str]) -> list[Row]:
    """The rows of listed models that have a value; an empty cell is None."""
    rows = table[table["model"].isin(models) & table["value"].notna()].to_dict("records")
    return [
        {
            str(name): None if isinstance(cell, float) and math.isnan(cell) else cell
            for name, cell in row.items()
        }
        for row in rows
    ]


def groups(rows: Sequence[Row], cells: int = CELLS) -> tuple[list[str], int]:
    """Groups of test rows in the order of the page, and how many specialties do not fit.

    All rows come first, then the severities from critical down, then specialties, large ones first.
    """
    sizes = {row["group"]: row["rows"] for row in rows}
    fixed = [name for name in (ALL, *reversed(SEVERITIES)) if name in sizes]
    others = sorted(sizes.keys() - set(fixed), key=lambda name: (-sizes[name], str(name)))
    each = max(1, len(rows) // max(1, len(sizes)))
    room = max(0, cells // each - len(fixed))
    return [*fixed, *others[:room]], max(0, len(others) - room)


def tables(rows: Sequence[Row], models: Sequence[str], order: Sequence[str]) -> list[Row]:
    """For each group, its number of rows and, by model and run, what was measured.

    A metric's best run is marked where more is better or worse.
    """
    found = {(row["group"], row["model"], row["run"], row["metric"]): row for row in rows}
    sizes = {row["group"]: row["rows"] for row in rows}
    return [
        {
            "group": group,
            "rows": sizes[group],
            "models": [
                {
                    "model": model,
                    "best": _best(found, group, model),
                    "runs": {
                        run: {name: found.get((group, model, run, name)) for name in METRICS}
                        for run in RUNS
                    },
                }
                for model in models
            ],
        }
        for group in order
    ]


def _best(found: Mapping[tuple[str, str, str, str], Row], group: str, model: str) -> dict[str, float]:
    best = {}
    for name, metric in METRICS.items():
        values = [found[key]["value"] for run in RUNS if (key := (group, model, run, name)) in found]
        if values and metric.better != "neither":
            best[name] = min(values) if metric.better == "lower" else max(values)
    return best


def forests(effects: Sequence[Row], order: Sequence[str]) -> list[Row]:
    """For each comparison and metric, the groups with a line for each model, all on one scale.

    Positions (`low_at`, `high_at`, `at`, `zero_at`, those of `ticks`) are percent of the width. Specialties
    are given for NLL only, apart, since they are many and have no p-value.
    """
    result = []
    for (comparison, metric), found in groupby(
        sorted(effects, key=_place), key=lambda row: (row["comparison"], row["metric"])
    ):
        rows = [row for row in found if row["group"] in order]
        main = [row for row in rows if row["group"] in (ALL, *SEVERITIES)]
        if main:
            result.append(_forest(comparison, metric, main, order, False))
        if metric == "nll" and len(main) < len(rows):
            result.append(
                _forest(comparison, metric, [row for row in rows if row not in main], order, True)
            )
    return result


def _place(row: Row) -> tuple[int, int]:
    return list(COMPARISONS).index(row["comparison"]), list(METRICS).index(row["metric"])


def _forest(
    comparison: str, metric: str, rows: Sequence[Row], order: Sequence[str], specialties: bool
) -> Row:
    low = min(0.0, *(float(row["low"]) for row in rows))
    high = max(0.0, *(float(row["high"]) for row in rows))
    margin = (high - low or 1.0) * 0.06
    low, high = low - margin, high + margin

    def at(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    better = METRICS[metric].better
    lines: dict[str, list[Row]] = {}
    for row in rows:
        kind = ("unclear", "higher", "lower")[sign(row)]
        places = {"low_at": at(row["low"]), "high_at": at(row["high"]), "at": at(row["value"])}
        lines.setdefault(row["group"], []).append(
            {**row, **places, "kind": "better" if kind == better else kind}
        )
    critical_first = sorted(lines, key=lambda name: (name == ALL, order.index(name)))
    return {
        "comparison": comparison,
        "metric": metric,
        "specialties": specialties,
        "zero_at": at(0.0),
        "ticks": [{"value": value, "at": at(value), "minor": minor} for value, minor in _ticks(low, high)],
        "groups": [
            {"group": name, "rows": lines[name][0]["rows"], "effects": lines[name]}
            for name in critical_first
        ],
    }


def _ticks(low: float, high: float) -> list[tuple[float, bool]]:
    """Round numbers between two others, 0 among them; whether one may be left out on a narrow screen."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    places = range(math.ceil(low / step), math.floor(high / step) + 1)
    return [(round(place * step, 10), place % 2 == 1) for place in places]
