"""Intervals over groups of rows cover with few rows, with skewed values, and with near duplicates."""

import numpy as np
import pytest
from scipy.stats import binomtest

from pipeline.evaluation.group_intervals import group_codes, group_sums, mean_interval, share_interval

REPEATS = 400


def test_codes_and_sums_keep_the_rows_of_a_group_together():
    codes = group_codes(["b", "a", "b", "c"])
    assert codes.tolist() == [0, 1, 0, 2]
    assert group_sums(np.array([[1.0, 10], [2, 20], [3, 30], [4, 40]]), codes).tolist() == [
        [4, 40],
        [2, 20],
        [4, 40],
    ]


def test_wilsons_interval_is_scipys_for_single_rows():
    ends = binomtest(3, 27).proportion_ci(method="wilson")
    found = share_interval(np.arange(27) < 3, np.arange(27))
    assert list(found.values()) == pytest.approx([3 / 27, ends.low, ends.high], abs=1e-6)


@pytest.mark.parametrize("hits", [0, 5])
def test_a_share_of_none_or_all_has_an_interval_within_0_and_1(hits):
    found = share_interval(np.arange(5) < hits, np.arange(5))
    assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    assert found["high"] - found["low"] > 0.4


def test_rows_of_one_group_count_as_one():
    assert share_interval(np.tile([True, False, True], 4), np.tile([0, 1, 2], 4)) == share_interval(
        np.array([True, False, True]), np.arange(3)
    )
    one = share_interval(np.ones(50, dtype=bool), np.zeros(50, dtype=int))
    assert one["low"] < 0.25, "fifty copies are one complaint"


def test_the_mean_of_alike_rows_has_no_width_and_one_group_has_the_bounds():
    assert mean_interval(np.full(5, 0.3), np.arange(5), (0, 1)) == pytest.approx(
        {"value": 0.3, "low": 0.3, "high": 0.3}
    )
    assert mean_interval(np.array([0.2, 0.4]), np.zeros(2, dtype=int), (-1, 2)) == pytest.approx(
        {"value": 0.3, "low": -1, "high": 2}
    )


def test_bounds_cut_an_interval():
    found = mean_interval(np.array([0.0, 0.0, 1.0]), np.arange(3), (0, 1))
    assert (found["low"], found["high"]) == (0, 1)


@pytest.mark.parametrize(("groups", "least"), [(9, 0.90), (20, 0.93), (100, 0.93)])
def test_the_interval_of_a_mean_covers_with_skewed_rows_in_groups(groups, least):
    """Log-losses of the rows are skewed; rows of a group have one value but for a little noise.

    2,000 repeats give 92.4 % with 9 groups, 94.4 % with 20 and 94.7 % with 100.
    """
    random, held = np.random.default_rng(groups), 0
    for _ in range(REPEATS):
        codes = np.repeat(np.arange(groups), random.integers(1, 4, groups))
        # The mean of an exponential is 1, and its skewness 2.
        values = random.exponential(1, groups)[codes] + random.normal(0, 0.1, len(codes))
        found = mean_interval(values, codes, (-36, 36))
        held += found["low"] <= 1 <= found["high"]
    assert held >= least * REPEATS


def test_resampling_single_rows_would_not_cover_where_rows_come_in_groups():
    """The planted fault that the groups are there for: five copies of each row."""
    random, held = np.random.default_rng(4), {"rows": 0, "groups": 0}
    for _ in range(REPEATS):
        values = np.repeat(random.exponential(1, 30), 5)
        for name, codes in (("rows", np.arange(150)), ("groups", np.repeat(np.arange(30), 5))):
            found = mean_interval(values, codes, (-36, 36))
            held[name] += found["low"] <= 1 <= found["high"]
    assert held["groups"] >= 0.93 * REPEATS
    assert held["rows"] < 0.75 * REPEATS
