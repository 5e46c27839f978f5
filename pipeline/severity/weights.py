"""How far the weights of pairs spread, and so how far severity can matter."""

from collections.abc import Mapping

import numpy as np

# Above it, the severity-aware loss is almost plain cross-entropy: the standard deviation of the weights is
# then at most a tenth of their mean.
_HARDLY_ANY = 0.99


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
    if spread["effective_share"] <= _HARDLY_ANY:
        return None
    return (
        f"the weights hardly differ (standard deviation {spread['std']:.3f} around {spread['mean']:.3f}, "
        f"effective sample size {spread['effective_share']:.1%} of the pairs), so severity can hardly "
        "matter: the result will be close to plain cross-entropy"
    )
