"""The tables of severity.py on arms: weights, differences from uniform, seeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from severity_conditions import (
    BASE,
    GROUPS,
    PRIMARY,
    REAL,
    UNIFORM,
    Results,
    condition_weights,
    nll,
    of_seeds,
    row,
    rule,
    shown_p,
)
from severity_placebos import print_false_alarms, print_placebos, print_power

from pipeline.evaluation.placebos import SIGNIFICANCE
from pipeline.evaluation.statistics import benjamini_hochberg, compare, holm
from pipeline.severity.weights import weight_spread


def print_report(folder: Path, given: Any) -> None:
    """Print every table of what is in the folder; `given` are its settings."""
    pairs = pd.read_parquet(folder / "pairs.parquet")
    files = sorted((folder / "results").glob("*.parquet"))
    measured = pd.concat(map(pd.read_parquet, files)).merge(pairs[["id", "severity", "group"]], on="id")
    results = {}
    for model in given.models:
        of_model = measured[measured["model"] == model]
        if (of_model["condition"] == UNIFORM).any():
            results[getattr(given.titles, model)] = of_seeds(of_model)
    print_weights(pairs, given.arms)
    effects = compared(results)
    print_differences(results, effects)
    print_seeds(results, effects)
    print_placebos(results)
    print_false_alarms(results)
    print_power(results)


def compared(results: Mapping[str, Results]) -> pd.DataFrame:
    """Every condition but placebos less uniform; `q` is corrected for the number of tests.

    The primary endpoint is corrected for the number of models (Holm), all others for their number
    (Benjamini & Hochberg).
    """
    parts = []
    for title, result in results.items():
        names = [name for name in (BASE, *REAL) if name in result.tables and name != UNIFORM]
        tables = {name: result.tables[name] for name in (UNIFORM, *names)}
        found = compare(tables, {name: (name, UNIFORM) for name in names}, ["nll"])
        parts.append(found.assign(model=title))
    effects = pd.concat(parts, ignore_index=True)
    primary = ((effects["comparison"] == PRIMARY[0]) & (effects["group"] == PRIMARY[1])).to_numpy()
    p = effects["p"].to_numpy()
    q = np.empty(len(p))
    q[primary], q[~primary] = holm(p[primary]), benjamini_hochberg(p[~primary])
    return effects.assign(q=q)


def print_weights(pairs: pd.DataFrame, arms: Any) -> None:
    """Spread of the weights by condition and split."""
    splits = ("train", "test")
    print(
        row("weights", *(f"{name}, {split}" for split in splits for name in ("mean", "std", "effective")))
    )
    print(rule(7))
    for condition in REAL:
        if condition == UNIFORM:
            continue
        cells = []
        for split in splits:
            rows = pairs[pairs["split"] == split]
            spread = weight_spread(condition_weights(rows, condition, arms))
            cells += [f"{spread['mean']:.3f}", f"{spread['std']:.3f}", f"{spread['effective_share']:.1%}"]
        print(row(condition, *cells))


def print_differences(results: Mapping[str, Results], effects: pd.DataFrame) -> None:
    """NLL of uniform and what each condition differs from it by, by human severity."""
    for title, result in results.items():
        first = result.tables[UNIFORM][0]
        parts = {group: first if group == "all" else first[first["severity"] == group] for group in GROUPS}
        print(f"\n### {title}\n")
        print(row("", *(f"{name} ({len(part)} rows)" for name, part in parts.items())))
        print(rule(5))
        print(row("uniform, NLL", *(f"{nll(result.tables[UNIFORM], group):.4f}" for group in GROUPS)))
        of_model = effects[effects["model"] == title].set_index(["comparison", "group"])
        for condition in of_model.index.get_level_values(0).unique():
            cells = [difference(of_model.loc[(condition, group)]) for group in GROUPS]
            print(row(condition, *cells))


def difference(effect: pd.Series) -> str:
    """Value, interval and p; an asterisk where it holds after correction."""
    star = "*" if effect["q"] < SIGNIFICANCE else ""
    ends = f"({effect['low']:+.4f} to {effect['high']:+.4f})"
    return f"{effect['value']:+.4f}{star}<br>{ends}<br>p {shown_p(effect['p'])}"


def print_seeds(results: Mapping[str, Results], effects: pd.DataFrame) -> None:
    """What each seed says on critical rows."""
    seeds = max((result.seeds for result in results.values()), key=len)
    print("\n" + row("critical rows, arm − uniform", *(f"seed {seed}" for seed in seeds)))
    print(rule(1 + len(seeds)))
    for _, effect in effects[(effects["group"] == "critical") & (effects["comparison"] != BASE)].iterrows():
        print(
            row(f"{effect['model']}, {effect['comparison']}", *(f"{one:+.4f}" for one in effect["by_seed"]))
        )
