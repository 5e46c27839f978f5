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
    row,
    rule,
    shown_p,
)
from severity_placebos import print_false_alarms, print_placebos

from pipeline.evaluation.corrections import adjusted
from pipeline.evaluation.placebos import SIGNIFICANCE
from pipeline.evaluation.power import components, smallest_effect
from pipeline.evaluation.statistics import compare, influences_of
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.severity.weights import weight_spread

SPLITS = ("train", "test")
SOURCES = ("cross-fitted", "in-sample")


def print_report(folder: Path, given: Any) -> None:
    """Print every table of what is in the folder; `given` are its settings."""
    pairs = pd.read_parquet(folder / "pairs.parquet")
    files = sorted((folder / "results").glob("*.parquet"))
    measured = pd.concat(map(pd.read_parquet, files)).merge(pairs[["id", "severity", "group"]], on="id")
    results = {}
    for model in given.models:
        of_model = measured[measured["model"] == model]
        if (of_model["condition"] == UNIFORM).any():
            results[getattr(given.titles, model)] = Results(of_model)
    print_sources(pairs)
    print_weights(pairs, given.arms)
    effects = compared(results)
    print_differences(results, effects)
    print_seeds(results, effects)
    print_placebos(results)
    print_false_alarms(results)


def compared(results: Mapping[str, Results]) -> pd.DataFrame:
    """Every condition but placebos less uniform; `q` is corrected for the number of tests.

    The primary endpoint is corrected for the number of models (Holm), all others for their number
    (Benjamini & Hochberg).
    """
    parts = []
    for title, result in results.items():
        names = [BASE, *result.arms()]
        tables = result.tables((UNIFORM, *names), result.seeds)
        found = compare(tables, {name: (name, UNIFORM) for name in names}, ["nll"])
        parts.append(found.assign(model=title))
    effects = pd.concat(parts, ignore_index=True)
    primary = ((effects["comparison"] == PRIMARY[0]) & (effects["group"] == PRIMARY[1])).to_numpy()
    p = effects["p"].to_numpy()
    return effects.assign(q=adjusted(p, primary, ~primary))


def print_sources(pairs: pd.DataFrame) -> None:
    """How well the probabilities of each source agree with the human labels, by split."""
    print(
        row("probabilities", *(f"{name}, {split}" for split in SPLITS for name in ("log-loss", "accuracy")))
    )
    print(rule(1 + 2 * len(SPLITS)))
    for source in SOURCES:
        cells = []
        for split in SPLITS:
            rows = pairs[pairs["split"] == split]
            given = rows[[f"{source} {name}" for name in PROBABILITIES]].to_numpy(dtype="float64")
            label = rows["severity"].map(SEVERITIES.index).to_numpy()
            loss = -np.log(given[np.arange(len(given)), label]).mean()
            cells += [f"{loss:.3f}", f"{(given.argmax(axis=1) == label).mean():.1%}"]
        print(row(source, *cells))
    print()


def print_weights(pairs: pd.DataFrame, arms: Any) -> None:
    """Spread of the weights by condition and split."""
    names = ("mean", "std", "effective")
    print(row("weights", *(f"{name}, {split}" for split in SPLITS for name in names)))
    print(rule(1 + len(names) * len(SPLITS)))
    for condition in REAL:
        if condition == UNIFORM:
            continue
        cells = []
        for split in SPLITS:
            rows = pairs[pairs["split"] == split]
            spread = weight_spread(condition_weights(rows, condition, arms))
            cells += [f"{spread['mean']:.3f}", f"{spread['std']:.3f}", f"{spread['effective_share']:.1%}"]
        print(row(condition, *cells))


def print_differences(results: Mapping[str, Results], effects: pd.DataFrame) -> None:
    """NLL of uniform and what each condition differs from it by, by human severity."""
    for title, result in results.items():
        of_model = effects[effects["model"] == title].set_index(["comparison", "group"])
        sizes = of_model["rows"].groupby("group").first()
        print(f"\n### {title}\n")
        print(row("", *(f"{group} ({sizes[group]} rows)" for group in GROUPS)))
        print(rule(5))
        print(row("uniform, NLL", *(f"{result.nll(UNIFORM, group, result.seeds):.4f}" for group in GROUPS)))
        for condition in (BASE, *result.arms()):
            print(row(condition, *(difference(of_model.loc[(condition, group)]) for group in GROUPS)))


def difference(effect: pd.Series) -> str:
    """Value, interval and p; an asterisk where it holds after correction."""
    star = "*" if effect["q"] < SIGNIFICANCE else ""
    ends = f"({effect['low']:+.4f} to {effect['high']:+.4f})"
    return f"{effect['value']:+.4f}{star}<br>{ends}<br>p {shown_p(effect['p'])}"


def print_seeds(results: Mapping[str, Results], effects: pd.DataFrame) -> None:
    """What each seed says on critical rows, p, and the smallest effect that these seeds show.

    `corrected` is p after the correction of `compared`; `shown` has a power of 80 %.
    """
    seeds = max((result.seeds for result in results.values()), key=len)
    heads = (*(f"seed {seed}" for seed in seeds), "p", "corrected", "shown")
    print("\n" + row("critical rows, arm − uniform", *heads))
    print(rule(1 + len(heads)))
    for _, effect in effects[(effects["group"] == PRIMARY[1]) & (effects["comparison"] != BASE)].iterrows():
        values = [f"{value:+.4f}" for value in effect["by_seed"]]
        result, name = results[effect["model"]], effect["comparison"]
        tables = result.tables((UNIFORM, name), result.seeds)
        _, influences = influences_of(tables, name, UNIFORM, "nll", PRIMARY[1])
        shown = smallest_effect(components(influences), len(result.seeds))
        cells = (*values, shown_p(effect["p"]), shown_p(effect["q"]), f"{shown:.4f}")
        print(row(f"{effect['model']}, {name}", *cells))
