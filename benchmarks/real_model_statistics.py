"""The tables of docs/findings.md on a pretrained model, from the figures of its test rows alone:

    python benchmarks/real_model_statistics.py --table docs/findings.parquet

`real_model.py report --table` writes that file; it has no text. A condition is an arm and where the
probabilities come from that weight it.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from severity_conditions import BASE, GROUPS, UNIFORM, nll, row, rule, shown_p
from severity_placebos import PLACEBO_HEADS, of_new_rule, placebo_cells
from severity_report import difference

from pipeline.evaluation.corrections import adjusted, benjamini_hochberg
from pipeline.evaluation.metrics import METRICS, with_terms
from pipeline.evaluation.power import components, smallest_effect
from pipeline.evaluation.statistics import ArmTables, compare, influences_of, measure

PLACEBO = "placebo"
# The arm and the group of rows of the primary endpoint, with either source of probabilities.
PRIMARY, PRIMARY_ROWS = "strong", "critical"
OF_ANSWERS = (
    *("urgency_recall", "urgency_precision", "needless_alarms", "dangerous_reassurance"),
    *("bertscore_f1", "chrf", "words", "repetition"),
)


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", type=Path, required=True)
    tables = conditions(pd.read_parquet(parser.parse_args().table))
    arms = [name for name in tables if name != BASE and not name.startswith((UNIFORM, PLACEBO))]
    effects = compared(tables, arms)
    print_differences(tables, effects, arms)
    print_seeds(tables, effects, arms)
    print_placebos(tables, arms)
    print_false_alarms(tables, arms)
    print_answers(tables, arms)


def conditions(measured: pd.DataFrame) -> dict[str, list[pd.DataFrame]]:
    """The rows of each condition, a table for each seed in the order of seeds; of `base` one.

    Each source of probabilities has a `uniform` of its own: no probability enters its weights, but the
    choice of training pairs keeps the shares of severities, which are the source's.
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    for (arm, source), rows in measured.groupby(["arm", "probabilities"], sort=False):
        name = arm if arm == BASE else f"{arm}, {source}"
        tables[name] = [
            with_terms(of.sort_values("id", ignore_index=True)) for _, of in rows.groupby("seed")
        ]
    return tables


def plain(condition: str) -> str:
    """What a condition is compared with: the `uniform` of its source, for `base` the first."""
    return f"{UNIFORM}, {'classifier' if condition == BASE else condition.partition(', ')[2]}"


def compared(tables: ArmTables, arms: Sequence[str]) -> pd.DataFrame:
    """NLL of each condition but placebos less uniform; `q` is corrected for the number of tests.

    The primary endpoint is corrected for the number of sources of probabilities (Holm), all others for
    their number (Benjamini & Hochberg).
    """
    effects = compare(tables, {name: (name, plain(name)) for name in (BASE, *arms)}, ["nll"])
    primary = effects["comparison"].str.startswith(PRIMARY) & (effects["group"] == PRIMARY_ROWS)
    chosen = primary.to_numpy()
    return effects.assign(q=adjusted(effects["p"].to_numpy(), chosen, ~chosen))


def print_differences(tables: ArmTables, effects: pd.DataFrame, arms: Sequence[str]) -> None:
    """NLL of uniform and what each condition differs from it by, by human severity."""
    by_name = effects.set_index(["comparison", "group"])
    sizes = by_name["rows"].groupby("group").first()
    print(row("", *(f"{group} ({sizes[group]} rows)" for group in GROUPS)))
    print(rule(1 + len(GROUPS)))
    for name in tables:
        if name.startswith(UNIFORM):
            print(row(f"{name}, NLL", *(f"{nll(tables[name], group):.4f}" for group in GROUPS)))
    for name in (BASE, *arms):
        print(row(name, *(difference(by_name.loc[(name, group)]) for group in GROUPS)))


def print_seeds(tables: ArmTables, effects: pd.DataFrame, arms: Sequence[str]) -> None:
    """What each seed says, p, and the smallest effect that these seeds show with a power of 80 %."""
    count = len(tables[plain(BASE)])
    heads = (*(f"seed {number}" for number in range(1, count + 1)), "p", "corrected", "shown")
    print("\n" + row("less uniform", "rows", *heads))
    print(rule(2 + len(heads)))
    for name in arms:
        for group in GROUPS:
            [(_, effect)] = effects[
                (effects["comparison"] == name) & (effects["group"] == group)
            ].iterrows()
            shown = smallest_effect(
                components(influences_of(tables, name, plain(name), "nll", group)[1]), count
            )
            values = [f"{value:+.4f}" for value in effect["by_seed"]]
            print(row(name, group, *values, shown_p(effect["p"]), shown_p(effect["q"]), f"{shown:.4f}"))


def with_placebos(tables: ArmTables, arms: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each condition of the primary arm, and the placebos of its weights."""
    for name in arms:
        source = name.partition(", ")[2]
        placebos = [one for one in tables if one.startswith(PLACEBO) and one.endswith(source)]
        if name.startswith(PRIMARY) and len(placebos) > 1:
            yield name, placebos


def print_placebos(tables: ArmTables, arms: Sequence[str]) -> None:
    """Where an arm stands among its placebos, over the seeds that all of them have."""
    heads = ("", "rows", "seeds", *PLACEBO_HEADS)
    print("\n" + row(*heads))
    print(rule(len(heads)))
    for name, placebos in with_placebos(tables, arms):
        seeds = min(len(tables[one]) for one in placebos)
        of = {one: tables[one][:seeds] for one in (name, *placebos, plain(name))}
        for group in GROUPS:
            value, *others = (
                nll(of[one], group) - nll(of[plain(name)], group) for one in (name, *placebos)
            )
            print(row(name, group, seeds, *placebo_cells(value, others)))


def print_false_alarms(tables: ArmTables, arms: Sequence[str]) -> None:
    """How many placebos that have every seed are called different from uniform."""
    print("\n" + row("placebos of", *GROUPS))
    print(rule(1 + len(GROUPS)))
    for name, placebos in with_placebos(tables, arms):
        whole = [one for one in placebos if len(tables[one]) == len(tables[name])]
        if len(whole) > 1:
            called = of_new_rule(tables, whole, plain(name))
            print(row(name, *(f"{called[group].sum()} of {len(whole)}" for group in GROUPS)))


def print_answers(tables: ArmTables, arms: Sequence[str]) -> None:
    """What the answers are like, over all rows: each condition's value, and its difference from uniform."""
    measured = measure(tables, OF_ANSWERS)
    values = measured[measured["group"] == GROUPS[-1]].set_index(["arm", "metric"])["value"]
    effects = compare(tables, {name: (name, plain(name)) for name in (BASE, *arms)}, OF_ANSWERS)
    effects = effects[effects["group"] == GROUPS[-1]]
    effects = effects.assign(q=benjamini_hochberg(effects["p"].to_numpy()))
    by_name = effects.set_index(["comparison", "metric"])
    names = [name for name in OF_ANSWERS if (plain(BASE), name) in values.index]
    print("\n" + row("all rows", *(METRICS[name].title for name in names)))
    print(rule(1 + len(names)))
    for arm in tables:
        if arm.startswith(UNIFORM):
            print(row(arm, *(f"{values[(arm, name)]:.3f}" for name in names)))
    for arm in (BASE, *arms):
        cells = [
            difference(by_name.loc[(arm, name)]) if (arm, name) in by_name.index else "–" for name in names
        ]
        print(row(f"{arm} less uniform", *cells))


if __name__ == "__main__":
    main()
