"""From severity probabilities to the weight of a pair."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.severity.labels import PROBABILITIES


def pair_weights(scored: pd.DataFrame, alpha: float, beta: float, gamma: float) -> np.ndarray:
    """`w = alpha * p_nc + beta * p_n + gamma * p_c` (arXiv:2604.06346).

    Args:
        scored: n rows with the columns of `PROBABILITIES`, each row summing to 1.
        alpha, beta, gamma: weight of a non-critical, neutral and critical complaint.

    Returns:
        (n,), float64, between the least and the greatest of the three.
    """
    non_critical, neutral, critical = (scored[name].to_numpy(dtype="float64") for name in PROBABILITIES)
    total = non_critical + neutral + critical
    # The probabilities are float32 and sum to 1 within 1e-7; divided by their sum, equal weights give
    # exactly that weight.
    return np.asarray((alpha * non_critical + beta * neutral + gamma * critical) / total)


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
