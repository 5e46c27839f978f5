"""The conditions of severity.py, their weights, and what was measured of them."""

import re
from collections import defaultdict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.groups import ALL
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
GROUPS = (*reversed(SEVERITIES), ALL)


class Results:
    """What was measured of one model."""

    def __init__(self, measured: pd.DataFrame) -> None:
        """Take the rows of all results of the model; the seeds are those of uniform."""
        self._tables: dict[str, dict[int, pd.DataFrame]] = defaultdict(dict)
        for (condition, seed), rows in measured.groupby(["condition", "seed"]):
            self._tables[str(condition)][int(seed)] = rows.sort_values("id", ignore_index=True)
        self.seeds = sorted(self._tables[UNIFORM])

    def tables(self, names: Sequence[str], seeds: Sequence[int]) -> dict[str, list[pd.DataFrame]]:
        """The evaluated rows of each condition, a table for each seed; one of `base`."""
        return {
            name: [self._tables[name][seed] for seed in ((0,) if name == BASE else seeds)] for name in names
        }

    def arms(self) -> list[str]:
        """The conditions that have every seed, without placebos and without uniform."""
        return [name for name in REAL if name != UNIFORM and set(self.seeds) <= set(self._tables[name])]

    def placebos(self, name: str, seeds: Sequence[int]) -> list[str]:
        """The placebos of a condition that have these seeds."""
        return [
            condition
            for condition, tables in self._tables.items()
            if condition.startswith(name + PLACEBO) and set(seeds) <= set(tables)
        ]

    def nll(self, name: str, group: str, seeds: Sequence[int]) -> float:
        """NLL per answer token over these seeds, of a group of test rows."""
        return nll(self.tables([name], seeds)[name], group)


def nll(tables: Sequence[pd.DataFrame], group: str) -> float:
    """NLL per answer token over some tables of test rows, of a group of their rows."""
    rows = pd.concat(tables)
    rows = rows if group == ALL else rows[rows["severity"] == group]
    return float(rows["nll_sum"].sum() / rows["answer_tokens"].sum())


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


def row(*cells: object) -> str:
    """A row of a Markdown table, with a minus sign for a hyphen before a digit."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", "| " + " | ".join(map(str, cells)) + " |")


def rule(columns: int) -> str:
    """What stands below the heads of a Markdown table."""
    return "|" + "---|" * columns


def shown_p(p: float) -> str:
    """A p-value to two digits."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
