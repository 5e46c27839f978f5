"""Folds keep near duplicates together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import WaznError
from pipeline.severity.folds import folds

GROUPS = st.lists(st.sampled_from([f"group-{number}" for number in range(12)]), min_size=5, max_size=60)


@settings(max_examples=100, deadline=None)
@given(GROUPS, st.integers(2, 5), st.integers(0, 3), st.randoms(use_true_random=False))
def test_folds_keep_groups_together_whatever_the_order_of_the_rows(groups, k, seed, shuffler):
    if len(set(groups)) < k:
        with pytest.raises(WaznError, match=f"{k} folds need"):
            folds(groups, k, seed)
        return
    found = folds(groups, k, seed)
    by_group = dict(zip(groups, found, strict=True))
    assert [by_group[group] for group in groups] == found.tolist(), "one fold a group"
    assert set(found) == set(range(k)), "no fold is empty"
    counts = np.bincount(found)
    assert counts.max() - counts.min() <= max(groups.count(group) for group in groups)
    shuffled = shuffler.sample(groups, len(groups))
    assert dict(zip(shuffled, folds(shuffled, k, seed), strict=True)) == by_group


def test_folds_of_single_rows_are_equal_and_the_seed_changes_them():
    groups = [f"row-{number}" for number in range(100)]
    first, other = folds(groups, 5, 1), folds(groups, 5, 2)
    assert np.bincount(first).tolist() == [20] * 5
    assert 0.5 < (first != other).mean() < 1.0


def test_a_row_keeps_its_fold_in_every_process():
    assert folds(["a", "b", "c", "c", "d", "e"], 3, 7).tolist() == [2, 2, 0, 0, 1, 1]
