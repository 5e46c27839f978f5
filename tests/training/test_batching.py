"""Steps, shares and micro-batches: every pair once, never more tokens or padding than allowed."""

import itertools

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from root import ROOT
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from pipeline.config.params import load
from pipeline.models.microbatches import microbatches
from pipeline.models.prompt import Example, encode_pairs
from pipeline.training.batching import MAX_PADDING, collate, optimiser_steps, split_across_ranks

POSTS = ROOT / "../shared/data/severity_posts.xlsx"
LENGTHS = [1 + 37 * number % 101 for number in range(50)]
lists_of_lengths = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def flat(groups):
    return [index for group in groups for index in group]


def padding(group, lengths):
    """Tokens of a micro-batch, and how many of them are padding."""
    padded = len(group) * max(lengths[index] for index in group)
    return padded, padded - sum(lengths[index] for index in group)


# ---- micro-batches --------------------------------------------------------------------------------


@given(lists_of_lengths, st.integers(1, 200), st.randoms(use_true_random=False))
def test_microbatches_hold_the_step_once_within_the_bound(lengths, max_tokens, random):
    step = random.sample(range(len(lengths)), random.randint(1, len(lengths)))
    groups = microbatches(step, lengths, max_tokens)
    assert sorted(flat(groups)) == sorted(step)
    for group in groups:
        assert padding(group, lengths)[0] <= max_tokens or len(group) == 1


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


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.sampled_from([0.0, 0.05, 0.3]))
def test_padding_of_a_group_is_bounded(lengths, most):
    groups = microbatches(range(len(lengths)), lengths, 1000, most)
    assert sorted(flat(groups)) == list(range(len(lengths)))
    for group in groups:
        padded, empty = padding(group, lengths)
        assert empty <= most * padded + 1e-9


def test_a_looser_bound_on_padding_makes_fewer_groups():
    lengths = list(range(100, 200))
    assert len(microbatches(range(100), lengths, 10**6, 0.05)) > len(
        microbatches(range(100), lengths, 10**6)
    )


# ---- shares ---------------------------------------------------------------------------------------


@given(
    lists_of_lengths, st.integers(1, 200), st.sampled_from([1, 2, 3, 7]), st.randoms(use_true_random=False)
)
def test_shares_hold_the_step_once_in_equally_many_microbatches(lengths, max_tokens, processes, random):
    """Also where there are fewer sequences than processes."""
    step = random.sample(range(len(lengths)), random.randint(1, len(lengths)))
    found = split_across_ranks(step, lengths, max_tokens, processes)
    assert len(found) == processes
    assert sorted(index for groups in found for index in flat(groups)) == sorted(step)
    assert len({len(groups) for groups in found}) == 1
    counts = [len(flat(groups)) for groups in found]
    assert max(counts) - min(counts) <= 1
    for group in (group for groups in found for group in groups if group):
        padded, empty = padding(group, lengths)
        assert padded <= max_tokens or len(group) == 1
        assert empty <= MAX_PADDING * padded
    assert any(groups[-1] for groups in found), "a micro-batch that every process makes for nothing"


@pytest.mark.parametrize(
    ("lengths", "max_tokens", "processes", "expected"),
    [
        ([5, 5, 5, 5], 20, 1, [[[0, 1, 2, 3]]]),
        ([5, 5, 5, 5], 10, 2, [[[0, 2]], [[1, 3]]]),
        ([9, 8, 7, 6], 9, 2, [[[0], [2]], [[1], [3]]]),
        ([9, 8, 7], 9, 2, [[[0], [2]], [[1], []]]),
        ([4, 9], 50, 3, [[[1]], [[0]], [[]]]),
    ],
    ids=["alone", "one each", "two each", "one too few", "fewer than processes"],
)
def test_shares_by_hand(lengths, max_tokens, processes, expected):
    assert split_across_ranks(range(len(lengths)), lengths, max_tokens, processes) == expected


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_shares_depend_on_the_steps_sequences_only(processes):
    step = list(range(3, 40))
    assert split_across_ranks(step[::-1], LENGTHS, 300, processes) == split_across_ranks(
        step, LENGTHS, 300, processes
    )


def test_shares_are_about_equally_long():
    parts = split_across_ranks(range(50), LENGTHS, 300, 2)
    tokens = [sum(LENGTHS[i] for i in flat(groups)) for groups in parts]
    assert max(tokens) < 1.05 * min(tokens)


# ---- optimiser steps ------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 16])
@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"), [(10, 4, [2, 4, 4]), (8, 4, [4, 4]), (3, 8, [3]), (1, 1, [1])]
)
def test_every_index_comes_once_an_epoch(count, batch_size, sizes, window):
    steps = optimiser_steps(LENGTHS[:count], batch_size, window, seed=17, epoch=0)
    assert sorted(map(len, steps)) == sizes
    assert sorted(flat(steps)) == list(range(count))


@given(lists_of_lengths, st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_at_most_one_step_has_fewer(lengths, batch_size, window, seed):
    steps = optimiser_steps(lengths, batch_size, window, seed, epoch=0)
    assert sorted(flat(steps)) == list(range(len(lengths)))
    assert len(steps) == -(-len(lengths) // batch_size)
    assert sum(len(step) < batch_size for step in steps) == (len(lengths) % batch_size > 0)


@pytest.mark.parametrize("window", [1, 3])
def test_order_repeats_with_seed_and_epoch_and_depends_on_nothing_else(window):
    torch.manual_seed(1)
    first = optimiser_steps(LENGTHS, 8, window, 17, 2)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert optimiser_steps(LENGTHS, 8, window, 17, 2) == first
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize(("seed", "epoch"), [(18, 0), (17, 1), (2**32 - 1, 3)])
def test_another_seed_or_epoch_gives_other_steps(seed, epoch, window):
    found, other = (optimiser_steps(LENGTHS, 8, window, *of) for of in ((seed, epoch), (17, 0)))
    assert {frozenset(step) for step in found} != {frozenset(step) for step in other}


def test_with_a_window_of_1_every_step_is_drawn_at_random():
    """The lengths do not matter to who is in a step."""
    steps = [set(step) for step in optimiser_steps(LENGTHS, 8, 1, 17, 0)]
    assert [set(step) for step in optimiser_steps([5] * 50, 8, 1, 17, 0)] == steps
    assert all(max(s) - min(s) > 8 for s in steps if len(s) == 8)


def test_within_a_window_steps_are_of_like_length_and_in_random_order():
    steps = optimiser_steps(LENGTHS, 8, 1000, 17, 0)
    spans = [(min(LENGTHS[i] for i in step), max(LENGTHS[i] for i in step)) for step in steps]
    by_length = sorted(spans)
    assert all(high <= low for (_, high), (low, _) in itertools.pairwise(by_length))
    assert spans not in (by_length, by_length[::-1])


def test_windows_are_drawn_from_everywhere():
    """Sorting goes no further than the window: the first one is a random half of the sequences."""
    steps = optimiser_steps(list(range(1, 65)), 8, 4, 17, 0)
    first = sorted(flat(steps[:4]))
    assert 8 < sum(index < 32 for index in first) < 24


# ---- padding of real texts ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_lengths():
    """Tokens of the real posts with their plans, under 16,000 pieces that are learnt from them."""
    if not POSTS.is_file():
        pytest.skip("the real posts are not beside this checkout")
    posts = pd.read_excel(POSTS, usecols=["Post", "Plan"]).dropna().astype(str)
    assert len(posts) > 2000
    pieces = ByteLevelBPETokenizer()
    texts = [*posts["Post"], *posts["Plan"]]
    pieces.train_from_iterator(texts, vocab_size=16_000, show_progress=False)
    pieces.add_special_tokens(["<|endoftext|>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer, eos_token="<|endoftext|>")
    pairs = pd.DataFrame({"id": posts.index, "question": posts["Post"], "answer": posts["Plan"]})
    examples, _ = encode_pairs(
        tokenizer, pairs, [1.0] * len(pairs), load(ROOT / "params.yaml").finetune.max_length
    )
    return [len(example.input_ids) for example in examples]


@pytest.mark.parametrize("tokens", [256, 16_384])
@pytest.mark.parametrize(("batch_size", "most"), [(64, 0.09), (8, 0.12)])
def test_padding_on_the_real_posts(tokens, batch_size, most, real_lengths):
    """With what `auto` stands for on a CPU and on a GPU."""
    finetune = load(ROOT / "params.yaml").finetune
    padded = empty = 0
    for epoch in range(3):
        for step in optimiser_steps(real_lengths, batch_size, finetune.length_window, 17, epoch):
            for group in split_across_ranks(step, real_lengths, tokens, 1)[0]:
                found = padding(group, real_lengths)
                padded, empty = padded + found[0], empty + found[1]
    assert padded - empty == 3 * sum(real_lengths)
    assert empty <= most * padded


# ---- collate --------------------------------------------------------------------------------------


def test_collate_by_hand():
    batch = collate([Example("a", [7, 8, 9, 1], 2, 0.5), Example("b", [5, 6], 1, 1.5)])
    assert batch.input_ids.tolist() == [[7, 8, 9, 1], [5, 6, 0, 0]]
    assert batch.completion_mask.tolist() == [[False, False, True, True], [False, True, False, False]]
    assert (batch.input_ids.dtype, batch.completion_mask.dtype) == (torch.int64, torch.bool)


def test_batch_moves_as_a_whole():
    batch = collate([Example("a", [7, 8], 1, 1.0)]).to(torch.device("meta"))
    assert {tensor.device.type for tensor in vars(batch).values()} == {"meta"}
