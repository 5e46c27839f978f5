"""Placebo arms: those whose weights are permuted among the training pairs, so that severity has no part.

An arm differs from uniform in more than severity: its weights spread, which makes some pairs count for
less, and their mean may not be 1. Its placebos share all of that. If severity matters, the arm stands out
among them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipeline.config.training import ArmConfig

SIGNIFICANCE = 0.05
# With fewer placebos no p-value can be as small as `SIGNIFICANCE`.
NEEDED = math.ceil(1 / SIGNIFICANCE) - 1


def placebos(arms: Mapping[str, "ArmConfig"]) -> dict[str, list[str]]:
    """The placebos of each arm that has some: arms with its settings, whose weights are permuted.

    Args:
        arms: those that run, with their settings.
    """
    result: dict[str, list[str]] = {}
    for name, settings in arms.items():
        if settings.permute is not None:
            continue
        of_arm = [
            other
            for other, others in arms.items()
            if others.permute is not None and others.model_copy(update={"permute": None}) == settings
        ]
        if of_arm:
            result[name] = of_arm
    return result


def randomisation_p(value: float, placebo_values: Sequence[float]) -> float:
    """How often, by chance alone, an arm is as far from the mean of all as this one is; two-sided.

    Under the hypothesis that it does not matter which pair has which weight, the arm and its k placebos can
    be exchanged. So p is the share of the k + 1 whose distance from the mean of all k + 1 is at least the
    arm's (Fisher 1935; Phipson & Smyth 2010). The smallest p is 1 / (k + 1).

    Args:
        value: of the arm.
        placebo_values: k values, at least one.
    """
    values = np.array([value, *placebo_values])
    distances = np.abs(values - values.mean())
    # Equal distances differ by rounding.
    return float((distances >= distances[0] * (1 - 1e-12)).mean())
