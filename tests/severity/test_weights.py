"""How far weights spread, and when to say that it is too little."""

import numpy as np
import pandas as pd
import pytest

from pipeline.config.training import ArmConfig
from pipeline.severities import PROBABILITIES
from pipeline.severity.weights import pair_weights, warning, weight_spread


@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_equal_weights_do_not_spread(weight):
    assert weight_spread(np.full(7, weight)) == pytest.approx(
        {"mean": weight, "std": 0, **dict.fromkeys(("q01", "q25", "q50", "q75", "q99"), weight)}
        | {"effective_share": 1.0}
    )


@pytest.mark.parametrize(("count", "size"), [(1, 10), (3, 12)])
def test_weights_of_0_and_1_have_the_share_of_the_ones_as_effective_share(count, size):
    weights = np.array([1.0] * count + [0.0] * (size - count))
    assert weight_spread(weights)["effective_share"] == pytest.approx(count / size)


def test_effective_share_is_one_over_one_plus_the_squared_coefficient_of_variation():
    weights = np.random.default_rng(0).uniform(0.5, 1.5, 1000)
    spread = weight_spread(weights)
    assert spread["effective_share"] == pytest.approx(1 / (1 + (spread["std"] / spread["mean"]) ** 2))


def test_effective_share_does_not_depend_on_the_unit():
    weights = np.array([0.5, 1.0, 1.5])
    assert weight_spread(weights)["effective_share"] == pytest.approx(9 / 3.5 / 3)
    assert weight_spread(10 * weights)["effective_share"] == pytest.approx(9 / 3.5 / 3)


def test_quantiles_of_an_even_grid():
    spread = weight_spread(np.linspace(0, 1, 101))
    assert [spread[name] for name in ("q01", "q25", "q50", "q75", "q99")] == pytest.approx(
        [0.01, 0.25, 0.5, 0.75, 0.99]
    )
    assert spread["mean"] == pytest.approx(0.5)
    assert spread["std"] == pytest.approx(np.sqrt((101**2 - 1) / 12) / 100)


def test_figures_are_plain_numbers_for_json():
    assert {type(value) for value in weight_spread(np.array([1.0, 2.0])).values()} == {float}


@pytest.mark.parametrize(
    "weights", [np.ones(5), np.linspace(0.96, 1.04, 100), 7 * np.linspace(0.9, 1.1, 100)]
)
def test_weights_that_hardly_differ_are_warned_of_with_figures(weights):
    spread = weight_spread(weights)
    said = warning(spread)
    assert "close to plain cross-entropy" in said
    assert f"standard deviation {weights.std():.3f} around {weights.mean():.3f}" in said
    assert f"{100 * spread['effective_share']:.1f}% of the pairs" in said


@pytest.mark.parametrize("weights", [np.array([0.5, 1.0, 1.5]), np.linspace(0.6, 1.4, 100)])
def test_weights_that_differ_are_not(weights):
    assert warning(weight_spread(weights)) is None


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(("spread", "warned"), [(0.09, True), (0.11, False)])
def test_a_standard_deviation_of_a_tenth_of_the_mean_is_the_limit(spread, warned, scale):
    weights = scale * np.array([1 - spread, 1 + spread])
    assert (warning(weight_spread(weights)) is not None) == warned


@pytest.fixture(scope="module")
def rows():
    return pd.DataFrame(np.random.default_rng(0).dirichlet([1, 1, 1], 50), columns=list(PROBABILITIES))


@pytest.mark.parametrize("renormalise", [False, True])
def test_a_placebo_has_the_weights_of_its_arm_on_other_pairs(rows, renormalise):
    arm = ArmConfig(alpha=0.5, beta=1.0, gamma=1.5, renormalise=renormalise)
    own = pair_weights(rows, arm)
    weights = {seed: pair_weights(rows, arm.model_copy(update={"permute": seed})) for seed in range(20)}
    for of_seed in weights.values():
        assert sorted(of_seed) == sorted(own)
        assert (of_seed == own).mean() < 0.2
    assert len({tuple(of_seed) for of_seed in weights.values()}) == 20
    again = pair_weights(rows, arm.model_copy(update={"permute": 7}))
    assert again.tolist() == weights[7].tolist()
    # What is left of the tie between severity and weight is chance: a standard deviation of 1 / 7.
    ties = [np.corrcoef(of_seed, own)[0, 1] for of_seed in weights.values()]
    assert abs(np.mean(ties)) < 0.15


def test_the_permutation_is_that_of_its_seed(rows):
    arm = ArmConfig(alpha=0.5, beta=1.0, gamma=1.5, renormalise=False, permute=3)
    own = pair_weights(rows, arm.model_copy(update={"permute": None}))
    expected = own[np.random.default_rng(3).permutation(50)]
    assert pair_weights(rows, arm).tolist() == expected.tolist()
