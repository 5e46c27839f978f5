"""Steps and micro-batches: every pair once, never more tokens than allowed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.batching import collate, optimiser_steps
from pipeline.training.grouping import microbatches
from pipeline.training.prompt import Example


def flat(groups):
    return [index for group in groups for index in group]


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=40),
    st.integers(1, 200),
    st.randoms(use_true_random=False),
)
def test_microbatches_hold_the_step_once_within_the_bound(lengths, max_tokens, random):
    step = random.sample(range(len(lengths)), random.randint(1, len(lengths)))
    groups = microbatches(step, lengths, max_tokens)
    assert sorted(flat(groups)) == sorted(step)
    for group in groups:
        padded = len(group) * max(lengths[index] for index in group)
        assert padded <= max_tokens or len(group) == 1


@pytest.mark.parametrize(
    ("lengths", "max_tokens", "groups"),
    [
        ([5, 5, 5, 5], 20, [[0, 1, 2, 3]]),
        ([5, 5, 5, 5], 19, [[0, 1, 2], [3]]),
        ([2, 90, 3], 50, [[1], [2, 0]]),
        ([9, 1, 8, 2], 18, [[0, 2], [3, 1]]),
        ([4, 4], 1, [[0], [1]]),
    ],
    ids=["all fit", "one over", "too long stands alone", "similar lengths together", "none fit"],
)
def test_microbatches_by_hand(lengths, max_tokens, groups):
    assert microbatches(range(len(lengths)), lengths, max_tokens) == groups


def test_microbatches_do_not_depend_on_the_order_of_the_step():
    lengths = [3, 7, 3, 9, 7, 1]
    assert microbatches([5, 0, 4, 2, 1, 3], lengths, 14) == microbatches(range(6), lengths, 14)


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 8, [3]), (1, 1, [1])]
)
def test_every_index_comes_once_an_epoch(count, batch_size, sizes):
    steps = optimiser_steps(count, batch_size, seed=17, epoch=0)
    assert [len(step) for step in steps] == sizes
    assert sorted(flat(steps)) == list(range(count))


def test_order_repeats_with_seed_and_epoch():
    assert optimiser_steps(50, 8, 17, 2) == optimiser_steps(50, 8, 17, 2)


@pytest.mark.parametrize(("seed", "epoch"), [(18, 0), (17, 1), (2**32 - 1, 3)])
def test_another_seed_or_epoch_gives_another_order(seed, epoch):
    assert flat(optimiser_steps(50, 8, seed, epoch)) != flat(optimiser_steps(50, 8, 17, 0))


def test_order_depends_on_seed_and_epoch_only():
    torch.manual_seed(1)
    first = optimiser_steps(50, 8, 17, 0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert optimiser_steps(50, 8, 17, 0) == first
    assert torch.equal(torch.get_rng_state(), state)


def test_collate_by_hand():
    batch = collate([Example("a", [7, 8, 9, 1], 2, 0.5), Example("b", [5, 6], 1, 1.5)])
    assert batch.tokens.tolist() == [[7, 8, 9, 1], [5, 6, 0, 0]]
    assert batch.mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch.answers.tolist() == [[False, False, True, True], [False, True, False, False]]
    assert batch.weights.tolist() == [0.5, 1.5]
    assert (batch.tokens.dtype, batch.weights.dtype) == (torch.int64, torch.float32)


def test_batch_moves_as_a_whole():
    batch = collate([Example("a", [7, 8], 1, 1.0)]).to(torch.device("meta"))
    assert {tensor.device.type for tensor in vars(batch).values()} == {"meta"}


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.sampled_from([0.0, 0.05, 0.3]))
def test_padding_of_a_group_is_bounded(lengths, most):
    groups = microbatches(range(len(lengths)), lengths, 1000, most)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        padded = max(lengths[index] for index in group) * len(group)
        assert padded - sum(lengths[index] for index in group) <= most * padded + 1e-9


def test_a_looser_bound_on_padding_makes_fewer_groups():
    lengths = list(range(100, 200))
    assert len(microbatches(range(100), lengths, 10**6, 0.05)) > len(
        microbatches(range(100), lengths, 10**6)
    )
