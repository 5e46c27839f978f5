"""How many seeds and placebos an effect needs, from how results have varied so far."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.crossed import MeanSquares, interval_of, mean_squares, third_moment
from pipeline.evaluation.placebos import SIGNIFICANCE

POWER = 0.8
DRAWS = 4_000
_SEED = 17


@dataclass(frozen=True, eq=False)
class Components:
    """How a difference varies.

    Attributes:
        seeds, groups, interaction: variances of the effects of seeds and of groups of rows, and of their
            interaction.
        shape: the effects of the groups as they were measured, with mean 0 and variance 1, (G,).
    """

    seeds: float
    groups: float
    interaction: float
    shape: np.ndarray


def components(influences: np.ndarray) -> Components:
    """Variance components of a difference that was measured with several seeds.

    Args:
        influences: (S, G) as `influences_of` gives them, S and G at least 2.
    """
    seeds, count = influences.shape
    squares = mean_squares(influences[:, :, None])
    a, b, c = (float(square[0]) for square in squares)
    effects = influences.mean(axis=0)
    spread = effects.std(ddof=1)
    shape = effects / spread if spread > 0 else effects
    return Components(max(0.0, (a - c) / count), max(0.0, (b - c) / seeds), c, shape)


def power(spread: Components, effect: float, seeds: int) -> float:
    """How often the test of `crossed_interval` would show an effect, by simulation.

    The groups' means are drawn with replacement from those measured, so rows that are skewed or far out
    stay so; effects of seeds are normal, and the other mean squares chi-squared.

    Args:
        spread: see `components`; the test rows stay as many as they are.
        effect: in the metric's unit.
        seeds: trainings of each arm, at least 2.
    """
    rng = np.random.default_rng(_SEED)
    c, count = spread.interaction, len(spread.shape)
    of_groups = rng.choice(spread.shape, (count, DRAWS)) * np.sqrt(c / seeds + spread.groups)
    means = of_groups.mean(axis=0)
    of_groups -= means
    squares = MeanSquares(
        (c + count * spread.seeds) * rng.chisquare(seeds - 1, DRAWS) / (seeds - 1),
        seeds * (of_groups**2).sum(axis=0) / (count - 1),
        c * rng.chisquare((seeds - 1) * (count - 1), DRAWS) / ((seeds - 1) * (count - 1)),
    )
    estimate = effect + means + np.sqrt(spread.seeds / seeds) * rng.standard_normal(DRAWS)
    p = interval_of(estimate, squares, third_moment(of_groups), seeds, count).p
    return float((p < SIGNIFICANCE).mean())


def smallest_effect(spread: Components, seeds: int) -> float:
    """The effect that is shown with a probability of `POWER`, in the metric's unit; see `power`."""
    high = 10 * np.sqrt(
        spread.seeds / seeds + (spread.groups + spread.interaction / seeds) / len(spread.shape)
    )
    while power(spread, high, seeds) < POWER:
        high *= 2
    return _bisect(lambda effect: power(spread, effect, seeds), float(high))


def placebo_power(spread: float, effect: float, count: int) -> float:
    """How often `randomisation_p` would be at most 0.05 for an arm among its placebos, by simulation.

    Args:
        spread: standard deviation of the placebos' values.
        effect: of the arm, in the same unit.
        count: placebos.
    """
    values = np.random.default_rng(_SEED).standard_normal((DRAWS, count + 1)) * spread
    values[:, 0] += effect
    distances = np.abs(values - values.mean(axis=1, keepdims=True))
    p = (distances >= distances[:, :1]).mean(axis=1)
    return float((p <= SIGNIFICANCE).mean())


def smallest_effect_among_placebos(spread: float, count: int) -> float:
    """The effect that stands out among `count` placebos with a probability of `POWER`; see `placebo_power`.

    Infinite where there are too few placebos to show any.
    """
    high = 50 * spread
    if placebo_power(spread, high, count) < POWER:
        return float("inf")
    return _bisect(lambda effect: placebo_power(spread, effect, count), high)


def _bisect(power_of: Callable[[float], float], high: float) -> float:
    """The least effect up to `high` that reaches `POWER`, to three digits or so."""
    low = 0.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(middle) >= POWER else (middle, high)
    return high
