"""The tables of severity.py on placebos, and on what so many seeds can show."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from severity_conditions import REAL, UNIFORM, WITH_PLACEBOS, Results, nll, row, rule

from pipeline.evaluation.placebos import SIGNIFICANCE, randomisation_p
from pipeline.evaluation.power import components, smallest_effect, smallest_effect_among_placebos
from pipeline.evaluation.resampling import percentile_interval, resampled_sums
from pipeline.evaluation.statistics import compare, influences_of

FEWER_SEEDS = 3
# Of the rule before: resamples of its bootstrap and sign flips.
RESAMPLES, FLIPS = 2000, 4999


def print_placebos(results: Mapping[str, Results]) -> None:
    """Where the arms stand among their placebos."""
    print(
        "\n"
        + row(
            "", "rows", "arm", "placebos", "mean", "std", "from … to", "randomisation p", "smallest effect"
        )
    )
    print(rule(9))
    for title, name, result in with_placebos(results):
        for group in ("critical", "all"):
            reference = nll(result.tables[UNIFORM], group)
            value = nll(result.tables[name], group) - reference
            others = np.array([nll(result.tables[one], group) - reference for one in result.placebos(name)])
            print(
                row(
                    f"{title}, {name}",
                    group,
                    f"{value:+.4f}",
                    len(others),
                    f"{others.mean():+.4f}",
                    f"{others.std(ddof=1):.4f}",
                    f"{others.min():+.4f} … {others.max():+.4f}",
                    f"{randomisation_p(value, others.tolist()):.2f}",
                    f"{smallest_effect_among_placebos(others.std(ddof=1), len(others)):.4f}",
                )
            )


def with_placebos(results: Mapping[str, Results]) -> Iterator[tuple[str, str, Results]]:
    """Model and arm of each that has at least two placebos."""
    for title, result in results.items():
        for name in WITH_PLACEBOS:
            if name in result.tables and len(result.placebos(name)) > 1:
                yield title, name, result


def print_false_alarms(results: Mapping[str, Results]) -> None:
    """How often placebos would be called significant, by the rule of now and by the one before."""
    rules = (
        "old rule, 1 seed",
        f"new rule, {FEWER_SEEDS} seeds",
        "old rule, all seeds",
        "new rule, all seeds",
    )
    print("\n" + row("placebos of", "rows", "placebos", *rules))
    print(rule(3 + len(rules)))
    for title, name, result in with_placebos(results):
        placebos, count = result.placebos(name), len(result.seeds)
        of_groups = {
            "old rule, 1 seed": alarms_of_old_rule(result, placebos, 1),
            f"new rule, {FEWER_SEEDS} seeds": alarms_of_new_rule(result, placebos, min(FEWER_SEEDS, count)),
            "old rule, all seeds": alarms_of_old_rule(result, placebos, count),
            "new rule, all seeds": alarms_of_new_rule(result, placebos, count),
        }
        for group in ("critical", "all"):
            shares = [f"{alarms[group].mean():.0%}" for alarms in of_groups.values()]
            print(row(f"{title}, {name}", group, len(placebos), *shares))


def alarms_of_new_rule(result: Results, placebos: Sequence[str], count: int) -> dict[str, np.ndarray]:
    """Whether p of `compare` is below 0.05, for each choice of so many seeds and each placebo, (c, k)."""
    called = defaultdict(list)
    for chosen in combinations(range(len(result.seeds)), count):
        tables = {name: [result.tables[name][index] for index in chosen] for name in (UNIFORM, *placebos)}
        effects = compare(tables, {name: (name, UNIFORM) for name in placebos}, ["nll"])
        for group, rows in effects.groupby("group"):
            called[str(group)].append(rows.set_index("comparison")["p"].loc[placebos] < SIGNIFICANCE)
    return {group: np.array(parts) for group, parts in called.items()}


def alarms_of_old_rule(result: Results, placebos: Sequence[str], count: int) -> dict[str, np.ndarray]:
    """The same of the rule before: rows are drawn, trainings are not; the mean over seeds is one training.

    A difference counted where the percentile bootstrap over rows left out 0 and sign flips of the rows gave
    p < 0.05.
    """
    called = {}
    for group in ("critical", "all"):
        first = result.tables[UNIFORM][0]
        mask = np.ones(len(first), bool) if group == "all" else (first["severity"] == group).to_numpy()
        tokens = first["answer_tokens"].to_numpy()[mask].astype("float64")
        sums = {
            name: np.array([table["nll_sum"].to_numpy()[mask] for table in result.tables[name]])
            for name in (UNIFORM, *placebos)
        }
        choices = list(combinations(range(len(result.seeds)), count))
        apart = np.array(
            [
                [(sums[name] - sums[UNIFORM])[list(chosen)].mean(axis=0) for name in placebos]
                for chosen in choices
            ]
        )
        columns = apart.reshape(-1, len(tokens)).T
        drawn = resampled_sums(np.column_stack([columns, tokens]), RESAMPLES, 17)
        low, high = percentile_interval(drawn[:, :-1] / drawn[:, -1:])
        signs = np.random.default_rng(17).choice([-1.0, 1.0], (FLIPS, len(tokens)))
        as_far = (np.abs(signs @ columns) >= np.abs(columns.sum(axis=0))).sum(axis=0)
        p = (as_far + 1) / (FLIPS + 1)
        called[group] = (((low > 0) | (high < 0)) & (p < SIGNIFICANCE)).reshape(len(choices), len(placebos))
    return called


def print_power(results: Mapping[str, Results]) -> None:
    """The smallest effect on critical rows that so many seeds show with 80 % power."""
    print("\n" + row("critical rows", "smallest effect", "standard deviation of a seed's effect"))
    print(rule(3))
    for title, result in results.items():
        for name in REAL:
            if name == UNIFORM or name not in result.tables:
                continue
            _, influences = influences_of(result.tables, name, UNIFORM, "nll", "critical")
            spread = components(influences)
            least = smallest_effect(spread, len(result.seeds))
            print(row(f"{title}, {name}", f"{least:.4f}", f"{spread.seeds**0.5:.4f}"))
