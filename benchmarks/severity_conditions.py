"""The conditions of severity.py, their weights, and what was measured of them."""

from collections import defaultdict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.severity.weights import pair_weights

BASE, UNIFORM = "base", "uniform"
# Where a condition's probabilities come from, and its arm in params.yaml; the first that is weighted is the
# primary endpoint's.
REAL = {
    UNIFORM: ("cross-fitted", "uniform"),
    "balanced, cross-fitted": ("cross-fitted", "weighting"),
    "balanced, gold": ("gold", "weighting"),
    "strong, gold": ("gold", "strong"),
    "balanced, in-sample": ("in-sample", "weighting"),
    "strong, cross-fitted": ("cross-fitted", "strong"),
    "mild, cross-fitted": ("cross-fitted", "mild"),
}
# Of these, and what stands between the name of one and the number of its placebo.
WITH_PLACEBOS = ("balanced, cross-fitted", "balanced, gold")
PLACEBO = ", placebo "
PRIMARY = ("balanced, cross-fitted", "critical")
GROUPS = (*reversed(SEVERITIES), "all")

Tables = dict[str, list[pd.DataFrame]]


class Results(NamedTuple):
    """Of one model: the evaluated rows of each condition, a table for each of `seeds`."""

    tables: Tables
    seeds: list[int]

    def placebos(self, name: str) -> list[str]:
        """The placebos of a condition, in the order of their numbers."""
        names = [condition for condition in self.tables if condition.startswith(name + PLACEBO)]
        return sorted(names, key=lambda condition: int(condition.rpartition(" ")[2]))


def condition_weights(rows: pd.DataFrame, condition: str, arms: Any) -> np.ndarray:
    """The weights of n pairs, (n,).

    Args:
        rows: of pairs.parquet, in the order of training.
        condition: one of `REAL`, or a placebo of it.
        arms: the settings of every arm.
    """
    name, _, number = condition.partition(PLACEBO)
    source, arm = REAL[name]
    permute = int(number) if number else None
    columns = {f"{source} {column}": column for column in PROBABILITIES}
    given = SimpleNamespace(**(vars(getattr(arms, arm)) | {"permute": permute}))
    return pair_weights(rows[list(columns)].rename(columns=columns), given)


def of_seeds(measured: pd.DataFrame) -> Results:
    """The results of one model, of the conditions that have every seed that uniform has."""
    seeds = sorted(measured.loc[measured["condition"] == UNIFORM, "seed"].unique().tolist())
    found: dict[str, dict[int, pd.DataFrame]] = defaultdict(dict)
    for (condition, seed), rows in measured.groupby(["condition", "seed"]):
        found[str(condition)][int(seed)] = rows.sort_values("id", ignore_index=True)
    tables = {name: [of[seed] for seed in seeds] for name, of in found.items() if set(seeds) <= set(of)}
    return Results(tables | {BASE: list(found[BASE].values())}, seeds)


def nll(tables: Sequence[pd.DataFrame], group: str) -> float:
    """NLL per answer token over all seeds."""
    parts = [table if group == "all" else table[table["severity"] == group] for table in tables]
    return float(
        sum(part["nll_sum"].sum() for part in parts) / sum(part["answer_tokens"].sum() for part in parts)
    )


def row(*cells: object) -> str:
    """A row of a Markdown table, with a minus sign for a hyphen before a digit."""
    return "| " + " | ".join(map(str, cells)) + " |"


def rule(columns: int) -> str:
    """What stands below the heads of a Markdown table."""
    return "|" + "---|" * columns


def shown_p(p: float) -> str:
    """A p-value to two digits."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
