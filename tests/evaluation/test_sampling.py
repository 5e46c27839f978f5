"""Tokens drawn by the Gumbel-max trick: their distribution, what they depend on, how runs share them."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest
from transformers import TemperatureLogitsWarper, TopKLogitsWarper

from pipeline.evaluation.sampling import Sampler, row_keys, uniforms

COUNT = 20_000


def keys(count, seed=5):
    return row_keys([f"row-{number}" for number in range(count)], seed)


def chosen(scores, row_keys, position=0):
    """Which token `Sampler` leaves of each row's scores."""
    left = Sampler(row_keys, 5)(torch.zeros(len(row_keys), 5 + position, dtype=torch.long), scores)
    assert torch.isfinite(left).sum(dim=1).eq(1).all()
    return left.argmax(dim=1)


def warped(logits):
    """Probabilities of what transformers samples from at temperature 0.7 with top-k 50."""
    scores = TemperatureLogitsWarper(0.7)(None, logits[None])
    return TopKLogitsWarper(50)(None, scores).softmax(dim=-1)[0].double()


@pytest.mark.parametrize("position", [0, 49])
@pytest.mark.parametrize("vocabulary", [4, 60])
def test_distribution_is_that_of_plain_sampling(vocabulary, position):
    torch.manual_seed(4)
    logits = torch.randn(vocabulary)
    expected = warped(logits)
    drawn = chosen(logits.expand(COUNT, -1), keys(COUNT), position)
    observed = torch.bincount(drawn, minlength=vocabulary)
    assert observed[expected == 0].eq(0).all()
    possible = expected > 0
    assert possible.sum() == min(vocabulary, 50)
    expected = expected[possible] / expected.sum() * COUNT
    assert chisquare(observed[possible].numpy(), expected.numpy()).pvalue > 0.001


def test_numbers_are_those_of_splitmix64():
    """The first outputs for seed 1234567, as implementations in other languages give them."""
    outputs = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    # A stream of the row's key is itself such an output; here the key's is taken back to the seed.
    found = uniforms(np.array([7], dtype=np.uint64), 0, np.array([[0, 1, 2]]))
    stream = _splitmix64(7, 0)
    assert [_splitmix64(1234567, number) for number in range(3)] == outputs
    expected = [((_splitmix64(stream, number) >> 12) + 0.5) / 2**52 for number in range(3)]
    assert found.tolist() == [expected]


def _splitmix64(seed, number):
    """In whole numbers of any size."""
    mixed = (seed + (number + 1) * 0x9E3779B97F4A7C15) % 2**64
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return mixed ^ (mixed >> 31)


def test_numbers_are_uniform_and_independent_over_rows_positions_and_tokens():
    rows, positions, tokens = 400, 5, 20
    ids = np.tile(np.arange(tokens), (rows, 1))
    found = np.stack([uniforms(keys(rows), position, ids) for position in range(positions)], axis=1)
    assert 0 < found.min() < found.max() < 1
    assert len(np.unique(found)) == found.size
    assert kstest(found.flatten(), "uniform").pvalue > 0.001
    count = found.size
    for first, second in (
        (found[:-1], found[1:]),  # rows
        (found[:, :-1], found[:, 1:]),  # positions
        (found[..., :-1], found[..., 1:]),  # tokens
        (found[:, 1:, :-1], found[:, :-1, 1:]),  # position and token the other way round
    ):
        assert abs(np.corrcoef(first.flatten(), second.flatten())[0, 1]) < 4 / np.sqrt(count)


def test_draws_of_positions_and_rows_are_independent():
    logits = torch.zeros(COUNT, 2)
    first, second = (chosen(logits, keys(COUNT), position).numpy() for position in (0, 1))
    for one, other in ((first, second), (first[:-1], first[1:])):
        counts = np.bincount(2 * one + other, minlength=4)
        assert chisquare(counts).pvalue > 0.001


def test_a_rows_draws_depend_on_its_id_and_the_seed_alone():
    every = row_keys(["a", "b", "c"], 7)
    assert row_keys(["c", "a"], 7).tolist() == every[[2, 0]].tolist()
    assert len({*every.tolist(), *row_keys(["a", "b", "c"], 8).tolist()}) == 6
    torch.manual_seed(2)
    logits = torch.randn(100, 30)
    together = chosen(logits, keys(100))
    apart = [chosen(logits[row : row + 1], keys(100)[row : row + 1]).item() for row in range(100)]
    assert together.tolist() == apart


def test_unlikely_tokens_are_not_drawn():
    logits = torch.tensor([[0.0, 90.0, 0.0], [5.0, 0.0, -torch.inf]]).repeat(1000, 1)
    drawn = chosen(logits, keys(2000)).reshape(1000, 2)
    assert drawn[:, 0].eq(1).all()
    assert not drawn[:, 1].eq(2).any()


def test_models_that_nearly_agree_draw_nearly_the_same():
    """Logits apart by normal noise, as those of two arms are, against inverse transform over sorted ids."""
    torch.manual_seed(9)
    count, vocabulary = 4000, 200
    logits = 2 * torch.randn(count, vocabulary)
    noisy = logits + 0.1 * torch.randn(count, vocabulary)
    shared = chosen(logits, keys(count)).ne(chosen(noisy, keys(count))).double().mean().item()
    uniform = torch.rand(count, 1, dtype=torch.float64)
    first, second = ((_cumulative(each) <= uniform).sum(dim=1) for each in (logits, noisy))
    inverse = first.ne(second).double().mean().item()
    probabilities, others = (torch.stack([warped(row) for row in each]) for each in (logits, noisy))
    variation = (probabilities - others).abs().sum(dim=1) / 2
    assert shared < 0.10
    assert inverse > 0.15
    assert shared < inverse / 2
    # No coupling differs less often than the total variation; Gumbel's at most 2 V / (1 + V).
    assert variation.mean() - 0.02 < shared < (2 * variation / (1 + variation)).mean() + 0.02


def _cumulative(logits):
    return torch.stack([warped(row) for row in logits]).cumsum(dim=1)
