"""The weight of each pair, and how far weights spread: that decides how far severity can matter."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.severities import PROBABILITIES

if TYPE_CHECKING:
    from pipeline.config.training import ArmConfig

# Where the effective sample size is a larger share, the severity-aware loss is almost plain cross-entropy:
# the standard deviation of the weights is at most a tenth of their mean.
_MAX_EFFECTIVE_SHARE = 0.99


def pair_weights(scored: pd.DataFrame, arm: "ArmConfig") -> np.ndarray:
    """`w = alpha * p_non_critical + beta * p_neutral + gamma * p_critical` of each pair (arXiv:2604.06346).

    Args:
        scored: n rows with the columns of `PROBABILITIES`, each row summing to 1.
        arm: alpha, beta and gamma. With `renormalise` the weights are divided by their mean, so `scored`
            must then be the rows that are trained on and no others. With `permute`, a seed, they are
            permuted among the rows, so `scored` must then be in the order of training too.

    Returns:
        (n,), float64, between the least and the greatest of the three unless renormalised.
    """
    non_critical, neutral, critical = (scored[name].to_numpy(dtype="float64") for name in PROBABILITIES)
    total = non_critical + neutral + critical
    # The probabilities are float32 and sum to 1 within 1e-7. Divided by their sum, equal weights give
    # exactly that weight.
    weights = np.asarray((arm.alpha * non_critical + arm.beta * neutral + arm.gamma * critical) / total)
    if arm.renormalise:
        weights /= weights.mean()
    if arm.permute is None:
        return weights
    return weights[np.random.default_rng(arm.permute).permutation(len(weights))]


def weight_spread(weights: np.ndarray) -> Mapping[str, float]:
    """How far weights spread: mean, standard deviation, quantiles and effective sample size.

    The effective sample size is Kish's `(sum w)^2 / sum w^2`, here as a share of n: 1 where all
    weights are equal.
    """
    quantiles = np.quantile(weights, [0.01, 0.25, 0.5, 0.75, 0.99])
    return {
        "mean": float(weights.mean()),
        "std": float(weights.std()),
        **{
            name: float(value)
            for name, value in zip(("q01", "q25", "q50", "q75", "q99"), quantiles, strict=True)
        },
        "effective_share": float(weights.sum() ** 2 / (weights**2).sum() / len(weights)),
    }


def warning(spread: Mapping[str, float]) -> str | None:
    """A sentence on weights that spread so little that severity cannot matter; None where it can.

    Args:
        spread: as `weight_spread` gives it.
    """
    if spread["effective_share"] <= _MAX_EFFECTIVE_SHARE:
        return None
    return (
        f"the weights hardly differ (standard deviation {spread['std']:.3f} around {spread['mean']:.3f}, "
        f"effective sample size {spread['effective_share']:.1%} of the pairs), so severity can hardly "
        "matter: the result will be close to plain cross-entropy"
    )
