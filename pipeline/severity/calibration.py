"""Temperature scaling: probabilities whose confidence agrees with how often they are right."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp
from scipy.special import softmax as plain_softmax

from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES

BOUNDS = (0.05, 20.0)


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    """`softmax(logits / temperature)` of each row.

    Args:
        logits: (n, 3), of any float type; computed in float64.
        temperature: above 0; 1 leaves the probabilities as the model gives them.

    Returns:
        (n, 3), float64; each row sums to 1. The most likely class is the same at every temperature.
    """
    return np.asarray(plain_softmax(np.asarray(logits, dtype="float64") / temperature, axis=1))


def fit_temperature(logits: np.ndarray, labels: Sequence[str]) -> float:
    """The temperature T at which softmax(logits / T) has the least log-loss (Guo et al., arXiv:1706.04599).

    Log-loss is convex in 1/T, so it has one minimum, which a search over log T within `BOUNDS` finds. For
    logits that are worse than chance that is the upper bound, where probabilities are almost equal.

    The temperature stays 1 where the rows do not determine it: if there are none, or if the most likely
    class of every row is its label, as happens in small sets and in sets of one class. Log-loss then falls
    without end as T goes to 0, and a few rows would justify probabilities of 1.

    Args:
        logits: (n, 3) of rows that the model was not trained on.
        labels: their n severities.

    Returns:
        T, by which log-loss on these rows is never above that of T = 1.

    Raises:
        WaznError: a logit is infinite or not a number, as after a training that diverged.
    """
    logits = np.asarray(logits, dtype="float64").reshape(-1, len(SEVERITIES))
    if not np.isfinite(logits).all():
        raise WaznError(
            "the classifier's outputs on the validation split are not finite, so its training diverged; "
            "give a smaller train_classifier.learning_rate"
        )
    truth = np.array([SEVERITIES.index(label) for label in labels], dtype=int)
    own = logits[np.arange(len(truth)), truth]
    if (own == logits.max(axis=1)).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        # With the logit of the label subtracted, log-loss is the normalising sum alone.
        return float(logsumexp((logits - own[:, None]) / np.exp(log_temperature), axis=1).mean())

    minimum = minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(minimum.x)) if minimum.fun < loss(0.0) else 1.0


def fit_blend(logits: np.ndarray, others: np.ndarray, labels: Sequence[str]) -> tuple[float, float]:
    """Temperature T and weight b at which softmax(logits / T + b * others) has the least log-loss.

    A logarithmic opinion pool (Genest & Zidek 1986) of two models, fitted like a temperature: log-loss is
    convex in 1/T and b. The bounds are those of a temperature, and b lies between 0 and 3.

    Where the blend gets all rows right, log-loss falls until a bound is reached, as for a temperature. Then
    neither model is made more confident than it is alone: T is at least the temperature of the first alone,
    and b at most 1.

    Args:
        logits: (n, 3) of the first model, on rows that neither was trained on.
        others: (n, 3), log-probabilities of the second.
        labels: the n severities.

    Raises:
        WaznError: as `fit_temperature`.
    """
    temperature = fit_temperature(logits, labels)
    truth = np.array([SEVERITIES.index(label) for label in labels], dtype=int)
    if not len(truth):
        return temperature, 0.0
    # The logits of both models, with the logit of the label subtracted.
    parts = np.stack(
        [values - values[np.arange(len(truth)), truth][:, None] for values in (logits, others)]
    )

    def loss(pool: np.ndarray) -> tuple[float, np.ndarray]:
        blended = np.tensordot(pool, parts, axes=1)
        probabilities = plain_softmax(blended, axis=1)
        gradient = (probabilities * parts).sum(axis=2).mean(axis=1)
        return float(logsumexp(blended, axis=1).mean()), gradient

    def fit(max_inverse_temperature: float, max_weight: float) -> np.ndarray:
        bounds = [(1 / BOUNDS[1], max_inverse_temperature), (0.0, max_weight)]
        start = [1 / temperature, 0.0]
        return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)

    pool = fit(1 / BOUNDS[0], 3.0)
    if (np.tensordot(pool, parts, axes=1) <= 0).all():
        pool = fit(1 / temperature, 1.0)
    return float(1 / pool[0]), float(pool[1])
