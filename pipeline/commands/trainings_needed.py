"""wazn finetune --dry-run: how many seeds and placebos an effect on the primary endpoint needs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline import paths, schemas
from pipeline.evaluation.placebos import NEEDED, placebos
from pipeline.evaluation.power import (
    POWER,
    Components,
    components,
    placebo_power,
    power,
    smallest_effect,
    smallest_effect_among_placebos,
)
from pipeline.evaluation.statistics import BASE, UNIFORM, influences_of
from pipeline.parquet_inputs import read_parquet
from pipeline.report.findings import endpoint
from pipeline.report.results import gather

if TYPE_CHECKING:
    from pipeline.config.params import Params

SEEDS = (2, 3, 5, 10, 20)
PLACEBOS = (NEEDED, 39, 99)
# With more seeds than this an effect is called out of reach.
MAX_SEEDS = 200
_ROW = "{:<22}" + " {:>10}" * (len(SEEDS) + len(PLACEBOS))


def run(params: "Params", models: Sequence[str], effect: float | None) -> None:
    """Print what effects so many seeds, and so many placebos, show with a power of 80 %.

    The spread is that of the trainings evaluated so far, of at least two seeds. Those whose parameters have
    changed since count too.

    Args:
        models: of the registry.
        effect: a difference of the primary metric from uniform; if given, what it needs is printed.

    Raises:
        WaznError: the scored pairs or results are damaged.
    """
    primary = params.report.primary
    so_far = {model: _spread_so_far(params, model) for model in models}
    spreads = {model: spread for model, spread in so_far.items() if spread is not None}
    print()
    for model in (model for model in so_far if model not in spreads):
        print(
            f"{model}: once two seeds of uniform and {primary.arm} are evaluated, this says how small an "
            "effect so many seeds and placebos can show"
        )
    if not spreads:
        return
    print(
        f"Smallest effect shown with a power of {POWER:.0%}: {endpoint(primary)}, {primary.arm} less "
        "uniform, as trainings have varied so far\n"
    )
    heads = [*(f"{count} seeds" for count in SEEDS), *(f"{count} plac." for count in PLACEBOS)]
    print(_ROW.format("model", *heads))
    for model, (spread, of_placebos, seeds) in spreads.items():
        effects = [smallest_effect(spread, count) for count in SEEDS]
        effects += [smallest_effect_among_placebos(of_placebos, count) for count in PLACEBOS]
        print(_ROW.format(model, *(f"{value:.4f}" for value in effects)))
        if effect is not None:
            print(f"  {_needs(spread, of_placebos, seeds, abs(effect))}")
    print(
        f"\nplac.: among so many placebos, each with as many seeds as now; fewer than {NEEDED} show nothing"
    )


def _needs(spread: Components, of_placebos: float, seeds: int, effect: float) -> str:
    """What one effect needs, as a sentence."""
    enough = next(
        (count for count in range(2, MAX_SEEDS + 1) if power(spread, effect, count) >= POWER), None
    )
    if enough is None:
        start = f"{effect:g} is not shown by {MAX_SEEDS} seeds: more test rows of the group are needed"
    else:
        start = f"{effect:g} needs {enough} seeds"
    chance = placebo_power(of_placebos, effect, NEEDED)
    return f"{start}; {NEEDED} placebos with {seeds} seeds each show it in {chance:.0%} of cases"


def _spread_so_far(params: "Params", model: str) -> tuple[Components, float, int] | None:
    """How the primary endpoint varies; the standard deviation of placebos; the seeds evaluated so far.

    None where fewer than two seeds are evaluated, or fewer than two groups of rows count. Where fewer than
    two placebos are evaluated, theirs is taken from what seeds and interaction make of a mean over seeds.
    """
    primary = params.report.primary
    seeds = [seed for seed in params.seeds if _evaluated(model, (UNIFORM, primary.arm), [seed])]
    if len(seeds) < 2 or not paths.generated(BASE, model, None).is_file():
        return None
    arms = {arm: params.arm_settings[arm] for arm in params.arms}
    names = [name for name in placebos(arms).get(primary.arm, []) if _evaluated(model, [name], seeds)]
    scored = read_parquet(paths.SCORED, schemas.SCORED, ["specialty"])
    tables = gather([model], [UNIFORM, primary.arm, *names], seeds, scored)[model]
    values = {}
    for name in (primary.arm, *names):
        try:
            values[name] = influences_of(tables, name, UNIFORM, primary.metric, primary.group)
        except KeyError:
            return None
    influences = values[primary.arm][1]
    if influences.shape[1] < 2:
        return None
    spread = components(influences)
    if len(names) > 1:
        of_placebos = float(np.std([values[name][0] for name in names], ddof=1))
    else:
        of_placebos = float(
            np.sqrt(spread.seeds / len(seeds) + spread.interaction / (len(seeds) * len(spread.shape)))
        )
    return spread, of_placebos, len(seeds)


def _evaluated(model: str, arms: Sequence[str], seeds: Sequence[int]) -> bool:
    return all(paths.generated(arm, model, seed).is_file() for arm in arms for seed in seeds)
