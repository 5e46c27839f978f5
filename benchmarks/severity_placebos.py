"""The tables of severity.py on placebos."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from severity_conditions import UNIFORM, WITH_PLACEBOS, Results, row, rule

from pipeline.evaluation.groups import ALL, groups
from pipeline.evaluation.placebos import SIGNIFICANCE, randomisation_p
from pipeline.evaluation.power import smallest_effect_among_placebos
from pipeline.evaluation.resampling import percentile_interval, resampled_sums
from pipeline.evaluation.statistics import compare

FEWER_SEEDS, MANY_SEEDS = 3, 5
# Of the rule before: resamples of its bootstrap and sign flips.
RESAMPLES, FLIPS = 2000, 4999
PLACEBO_HEADS = ("arm", "placebos", "mean", "std", "range", "p", "shown")

Tables = Mapping[str, Sequence[pd.DataFrame]]
Rule = Callable[[Tables, Sequence[str]], dict[str, np.ndarray]]


def print_placebos(results: Mapping[str, Results]) -> None:
    """Where the arms stand among the placebos that have every seed, and among those that have the first."""
    heads = ("", "rows", "seeds", *PLACEBO_HEADS)
    print("\n" + row(*heads))
    print(rule(len(heads)))
    for title, name, result in with_placebos(results):
        for seeds in (result.seeds, result.seeds[:1]):
            placebos = result.placebos(name, seeds)
            if len(placebos) < 2:
                continue
            for group in ("critical", "non_critical", ALL):
                value, *others = (
                    result.nll(one, group, seeds) - result.nll(UNIFORM, group, seeds)
                    for one in (name, *placebos)
                )
                print(row(f"{title}, {name}", group, len(seeds), *placebo_cells(value, others)))


def placebo_cells(value: float, others: Sequence[float]) -> tuple[object, ...]:
    """The cells of `PLACEBO_HEADS`: an arm's difference, and those of its placebos."""
    spread = float(np.std(others, ddof=1))
    shown = smallest_effect_among_placebos(spread, len(others))
    return (
        f"{value:+.4f}",
        len(others),
        f"{np.mean(others):+.4f}",
        f"{spread:.4f}",
        f"{min(others):+.4f} to {max(others):+.4f}",
        f"{randomisation_p(value, others):.2f}",
        f"{shown:.4f}" if np.isfinite(shown) else "none",
    )


def with_placebos(results: Mapping[str, Results]) -> Iterator[tuple[str, str, Results]]:
    """Model and arm of each that has placebos."""
    for title, result in results.items():
        for name in WITH_PLACEBOS:
            if result.placebos(name, result.seeds[:1]):
                yield title, name, result


def print_false_alarms(results: Mapping[str, Results]) -> None:
    """How often placebos would be called significant, by the rule before and by that of now."""
    rules = [
        ("old rule, 1 seed", of_old_rule, 1),
        (f"old rule, {MANY_SEEDS} seeds", of_old_rule, MANY_SEEDS),
        (f"new rule, {FEWER_SEEDS} seeds", of_new_rule, FEWER_SEEDS),
        (f"new rule, {MANY_SEEDS} seeds", of_new_rule, MANY_SEEDS),
    ]
    print("\n" + row("placebos of", "rows", *(name for name, _, _ in rules)))
    print(rule(2 + len(rules)))
    for title, name, result in with_placebos(results):
        shares = [false_alarms(result, name, called, count) for _, called, count in rules]
        for group in ("critical", ALL):
            print(row(f"{title}, {name}", group, *(share.get(group, "none") for share in shares)))


def false_alarms(result: Results, name: str, called: Rule, count: int) -> dict[str, str]:
    """By group of rows the share of placebos that a rule calls significant with so many seeds.

    It is the mean over the placebos, and over all choices of so many of each one's seeds.
    """
    verdicts: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for seeds in combinations(result.seeds, count):
        placebos = result.placebos(name, seeds)
        if placebos:
            tables = result.tables((UNIFORM, *placebos), seeds)
            for group, calls in called(tables, placebos).items():
                for placebo, call in zip(placebos, calls.tolist(), strict=True):
                    verdicts[group][placebo].append(call)
    return {
        group: f"{np.mean([np.mean(calls) for calls in of.values()]):.0%} of {len(of)}"
        for group, of in verdicts.items()
    }


def of_new_rule(tables: Tables, placebos: Sequence[str], uniform: str = UNIFORM) -> dict[str, np.ndarray]:
    """By group of rows whether p of `compare` is below 0.05, for each of k placebos, (k,)."""
    effects = compare(tables, {name: (name, uniform) for name in placebos}, ["nll"])
    return {
        str(group): (rows.set_index("comparison")["p"].loc[placebos] < SIGNIFICANCE).to_numpy()
        for group, rows in effects.groupby("group")
    }


def of_old_rule(tables: Tables, placebos: Sequence[str]) -> dict[str, np.ndarray]:
    """The same by the rule before, to which the mean over the seeds was one training.

    A difference counted where the percentile bootstrap over rows left out 0 and sign flips of the rows gave
    p < 0.05.
    """
    calls = {}
    for group, mask in groups(tables[UNIFORM][0]):
        means = {
            name: np.mean([table["nll_sum"][mask] for table in of], axis=0) for name, of in tables.items()
        }
        apart = np.column_stack([means[name] - means[UNIFORM] for name in placebos])
        tokens = tables[UNIFORM][0]["answer_tokens"][mask].to_numpy(dtype="float64")
        drawn = resampled_sums(np.column_stack([apart, tokens]), RESAMPLES, 17)
        low, high = percentile_interval(drawn[:, :-1] / drawn[:, -1:])
        signs = np.random.default_rng(17).choice([-1.0, 1.0], (FLIPS, len(tokens)))
        as_far = (np.abs(signs @ apart) >= np.abs(apart.sum(axis=0))).sum(axis=0)
        p = (as_far + 1) / (FLIPS + 1)
        calls[group] = ((low > 0) | (high < 0)) & (p < SIGNIFICANCE)
    return calls
