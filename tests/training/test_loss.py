"""From probabilities to weights to coefficients, and the loss of hidden states chunk by chunk."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from pipeline.config.training import ArmConfig
from pipeline.severities import PROBABILITIES
from pipeline.severity.weights import pair_weights
from pipeline.training.loss import chunked_linear_cross_entropy, token_weights


def arm(alpha, beta, gamma, renormalise=False):
    return ArmConfig(alpha=alpha, beta=beta, gamma=gamma, renormalise=renormalise)


def scored(*rows):
    return pd.DataFrame(rows, columns=["p_non_critical", "p_neutral", "p_critical"], dtype="float32")


def softmax_rows(count, seed=0):
    """Probabilities as a classifier's softmax gives them in float32: they sum to 1 only nearly."""
    logits = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    table = scored(*logits.softmax(dim=1).numpy())
    assert (table.sum(axis=1) != 1).any()
    return table


# ---- pair_weights ---------------------------------------------------------------------------------


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
    found = pair_weights(scored(row), arm(0.5, 1.0, 1.5))
    assert found == pytest.approx([weight], abs=1e-12)


def test_columns_are_found_by_name_and_rows_keep_their_order():
    table = scored((1, 0, 0), (0, 0, 1))[["p_critical", "p_non_critical", "p_neutral"]]
    table.insert(0, "id", ["a", "b"])
    assert pair_weights(table, arm(2.0, 3.0, 5.0)).tolist() == [2.0, 5.0]
    assert PROBABILITIES == ("p_non_critical", "p_neutral", "p_critical")


def test_weights_are_double_precision_although_probabilities_are_not():
    weights = pair_weights(scored((0.3, 0.3, 0.4)), arm(0.5, 1.0, 1.5))
    assert weights.dtype == np.float64
    assert weights.shape == (1,)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(0.001, 1)] * 3), min_size=1, max_size=20),
    *[st.floats(0.001, 10)] * 3,
)
def test_weights_lie_between_the_least_and_the_greatest_coefficient(rows, alpha, beta, gamma):
    probabilities = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    weights = pair_weights(scored(*probabilities), arm(alpha, beta, gamma))
    bounds = [alpha, beta, gamma]
    assert (weights >= min(bounds) - 1e-12).all()
    assert (weights <= max(bounds) + 1e-12).all()


@pytest.mark.parametrize("renormalise", [False, True])
def test_weights_1_1_1_are_exactly_1(renormalise):
    """So that `weighting` at 1, 1, 1 is `uniform` bit for bit, although float32 rows do not sum to 1."""
    weights = pair_weights(softmax_rows(5000), arm(1.0, 1.0, 1.0, renormalise))
    assert (weights == 1.0).all()


def test_renormalised_weights_are_the_weights_divided_by_their_mean():
    plain = pair_weights(softmax_rows(1000), arm(0.25, 1.0, 1.75))
    found = pair_weights(softmax_rows(1000), arm(0.25, 1.0, 1.75, True))
    assert abs(plain.mean() - 1) > 0.001
    assert found.mean() == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(found / found[0], plain / plain[0], rtol=1e-14)


# ---- coefficients ---------------------------------------------------------------------------------


def test_coefficients_by_hand():
    weights, lengths = np.array([0.5, 1.5]), np.array([2, 6])
    assert token_weights(weights, lengths, "sequence").tolist() == [0.5 / (2 * 2), 1.5 / (2 * 6)]
    assert token_weights(weights, lengths, "token").tolist() == [0.5 / 8, 1.5 / 8]


@pytest.mark.parametrize("mean", ["sequence", "token"])
def test_weights_of_pairs_do_not_mix(mean):
    """Trap 2: weights of shape (B, 1, 1) against a loss of (B, T) give each pair all weights' mean."""
    lengths, nll = np.array([3, 5]), np.array([6.0, 20.0])
    for weights in ([0.5, 1.5], [1.5, 0.5]):
        found = token_weights(np.array(weights), lengths, mean)
        assert found.shape == (2,)
        if mean == "sequence":
            expected = (weights[0] * 6 / 3 + weights[1] * 20 / 5) / 2
        else:
            expected = (weights[0] * 6 + weights[1] * 20) / 8
        assert found @ nll == pytest.approx(expected, rel=1e-15)


# ---- chunked_linear_cross_entropy
# ----------------------------------------------------------------------------------

TOKENS, WIDTH, VOCABULARY = 13, 6, 40


@pytest.fixture
def states():
    """Hidden states, what they predict, coefficients and a head with a bias, all in float64."""
    torch.manual_seed(4)
    hidden = torch.randn(TOKENS, WIDTH, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(VOCABULARY, (TOKENS,))
    coefficient = torch.rand(TOKENS, dtype=torch.float64)
    return hidden, labels, coefficient, torch.nn.Linear(WIDTH, VOCABULARY, dtype=torch.float64)


def in_chunks(states, chunk, trained=True):
    hidden, labels, coefficient, head = states
    parameters = list(head.parameters()) if trained else []
    loss, nll = chunked_linear_cross_entropy(hidden, labels, coefficient, head, parameters, chunk)
    return loss, nll, torch.autograd.grad(2.5 * loss, [hidden, *parameters])


@pytest.mark.parametrize("chunk", [1, 2, 5, 12, 13, 1000])
def test_any_chunk_gives_loss_and_gradients_of_the_whole(chunk, states):
    """With an upstream factor, as accumulation and gradient scaling would put there."""
    hidden, labels, coefficient, head = states
    expected = cross_entropy(head(hidden), labels, reduction="none")
    whole = (coefficient * expected).sum()
    wanted = torch.autograd.grad(2.5 * whole, [hidden, *head.parameters()])
    loss, nll, found = in_chunks(states, chunk)
    torch.testing.assert_close(loss, whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(nll, expected, rtol=0, atol=1e-12)
    assert not nll.requires_grad
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_head_that_is_not_trained_gets_no_gradient_and_changes_none(states):
    *_, (with_head, *_) = in_chunks(states, 5)
    states[-1].requires_grad_(False)
    *_, (without,) = in_chunks(states, 5, trained=False)
    assert torch.equal(without, with_head)
    assert states[-1].weight.grad is None


def test_projection_is_given_no_more_than_a_chunk_and_each_state_once(states):
    hidden, labels, coefficient, head = states
    seen = []
    head.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
    loss, _ = chunked_linear_cross_entropy(hidden, labels, coefficient, head, list(head.parameters()), 5)
    loss.backward()
    assert seen == [5, 5, 3]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_give_a_float32_loss(dtype, states):
    hidden, labels, coefficient, head = states
    exact = cross_entropy(head(hidden), labels, reduction="none")
    rounded = hidden.to(dtype)
    loss, nll = chunked_linear_cross_entropy(rounded, labels, coefficient, head.to(dtype), [], 5)
    assert (loss.dtype, nll.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(nll.double(), exact, rtol=0, atol=0.05)


@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_scaling_all_weights_scales_loss_and_gradient(factor, states):
    hidden, labels, coefficient, head = states
    loss, nll, found = in_chunks(states, 5)
    scaled, same, more = in_chunks((hidden, labels, factor * coefficient, head), 5)
    assert torch.equal(nll, same)
    torch.testing.assert_close(scaled, factor * loss, rtol=1e-14, atol=0)
    for once, times in zip(found, more, strict=True):
        torch.testing.assert_close(times, factor * once, rtol=1e-12, atol=1e-15)


def test_token_of_coefficient_0_leaves_no_trace_in_the_gradient(states):
    hidden, labels, coefficient, head = states
    kept = coefficient.clone()
    kept[4:] = 0
    *_, found = in_chunks((hidden, labels, kept, head), 5)
    assert found[0][4:].count_nonzero() == 0
    first = (hidden[:4].detach().requires_grad_(), labels[:4], coefficient[:4], head)
    *_, alone = in_chunks(first, 5)
    for ours, theirs in zip((found[0][:4], *found[1:]), alone, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


def test_nothing_is_differentiated_where_nothing_is_to_be(states):
    hidden, labels, coefficient, head = states
    with torch.no_grad():
        loss, nll = chunked_linear_cross_entropy(
            hidden, labels, coefficient, head, list(head.parameters()), 5
        )
    assert not loss.requires_grad
    torch.testing.assert_close((coefficient * nll).sum(), loss, rtol=1e-15, atol=0)
    assert all(parameter.grad is None for parameter in head.parameters())
