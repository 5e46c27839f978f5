import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.severity.labels import PROBABILITIES
from pipeline.severity.weights import pair_weights, weight_spread


def scored(*rows):
    return pd.DataFrame(rows, columns=["p_non_critical", "p_neutral", "p_critical"], dtype="float32")


@pytest.mark.parametrize(
    ("row", "weight"),
    [
        ((1, 0, 0), 0.5),
        ((0, 1, 0), 1.0),
        ((0, 0, 1), 1.5),
        ((0.25, 0.5, 0.25), 0.5 * 0.25 + 1.0 * 0.5 + 1.5 * 0.25),
        ((0.125, 0.125, 0.75), 0.5 * 0.125 + 1.0 * 0.125 + 1.5 * 0.75),
    ],
)
def test_weights_are_the_formula_by_hand(row, weight):
    assert pair_weights(scored(row), alpha=0.5, beta=1.0, gamma=1.5) == pytest.approx([weight], abs=1e-12)


def test_columns_are_found_by_name_and_rows_keep_their_order():
    table = scored((1, 0, 0), (0, 0, 1))[["p_critical", "p_non_critical", "p_neutral"]]
    table.insert(0, "id", ["a", "b"])
    assert pair_weights(table, alpha=2.0, beta=3.0, gamma=5.0).tolist() == [2.0, 5.0]
    assert PROBABILITIES == ("p_non_critical", "p_neutral", "p_critical")


def test_weights_are_double_precision_although_probabilities_are_not():
    weights = pair_weights(scored((0.3, 0.3, 0.4)), alpha=0.5, beta=1.0, gamma=1.5)
    assert weights.dtype == np.float64
    assert weights.shape == (1,)


coefficients = st.floats(0, 10)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(0.001, 1)] * 3), min_size=1, max_size=20),
    coefficients,
    coefficients,
    coefficients,
)
def test_weights_lie_between_the_least_and_the_greatest_coefficient(rows, alpha, beta, gamma):
    probabilities = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    weights = pair_weights(scored(*probabilities), alpha, beta, gamma)
    bounds = [alpha, beta, gamma]
    # float32 rows sum to 1 within 2e-7.
    assert (weights >= min(bounds) - 1e-5).all()
    assert (weights <= max(bounds) + 1e-5).all()


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
