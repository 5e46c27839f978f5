"""Fewer rows than there are: every severity keeps its share, and the order of the rows does not matter."""

import pandas as pd
import pytest

from pipeline.data.subsets import stratified_subset
from pipeline.severities import SEVERITIES


def table(**counts):
    """Rows of each severity, mixed."""
    severity = [name for name in SEVERITIES for _ in range(counts.get(name, 0))]
    rows = pd.DataFrame({"id": [f"row-{number}" for number in range(len(severity))], "severity": severity})
    return rows.sample(frac=1, random_state=0)


ROWS = table(non_critical=50, neutral=30, critical=20)


def counts_of(rows):
    return {name: int((rows["severity"] == name).sum()) for name in SEVERITIES}


@pytest.mark.parametrize(
    ("rows", "count", "expected"),
    [
        (ROWS, 10, (5, 3, 2)),
        (ROWS, 50, (25, 15, 10)),
        # 50, 30 and 20 per cent of 7 are 3.5, 2.1 and 1.4: one is left, for the largest remainder.
        (ROWS, 7, (4, 2, 1)),
        # Of 99, 49.5, 29.7 and 19.8: two are left.
        (ROWS, 99, (49, 30, 20)),
        (ROWS, 1, (1, 0, 0)),
        (table(non_critical=4, critical=4), 3, (2, 0, 1)),
        (table(neutral=9), 4, (0, 4, 0)),
    ],
)
def test_each_severity_has_its_share_by_the_largest_remainder(rows, count, expected):
    assert tuple(counts_of(stratified_subset(rows, count, 17)).values()) == expected


def test_a_rare_severity_is_kept():
    rows = table(non_critical=900, neutral=98, critical=2)
    assert counts_of(stratified_subset(rows, 10, 17)) == {"non_critical": 8, "neutral": 1, "critical": 1}
    assert counts_of(stratified_subset(rows, 3, 17)) == {"non_critical": 1, "neutral": 1, "critical": 1}
    assert counts_of(stratified_subset(rows, 2, 17)) == {"non_critical": 1, "neutral": 1, "critical": 0}


@pytest.mark.parametrize("count", [None, 100, 101, 10**9])
def test_all_rows_stay_as_they_are(count):
    pd.testing.assert_frame_equal(stratified_subset(ROWS, count, 17), ROWS)


def test_the_choice_depends_on_the_ids_and_not_on_their_order():
    chosen = stratified_subset(ROWS, 23, 17)
    assert [index for index in ROWS.index if index in set(chosen.index)] == list(chosen.index)
    for seed in range(5):
        again = stratified_subset(ROWS.sample(frac=1, random_state=seed), 23, 17)
        assert set(again["id"]) == set(chosen["id"])
    assert set(chosen["id"]) != set(ROWS.head(23)["id"])


def test_another_seed_chooses_others_and_the_same_seed_the_same():
    chosen = {seed: set(stratified_subset(ROWS, 20, seed)["id"]) for seed in (17, 18)}
    assert chosen[17] == set(stratified_subset(ROWS, 20, 17)["id"])
    # By chance a fifth of them are the same.
    assert len(chosen[17] & chosen[18]) < 12


def test_a_larger_choice_holds_a_smaller_one_within_each_severity():
    smaller, larger = (set(stratified_subset(ROWS, count, 17)["id"]) for count in (20, 60))
    assert smaller < larger


def test_every_row_is_as_likely_as_another():
    times = pd.Series(0, index=ROWS["id"])
    for seed in range(400):
        times[stratified_subset(ROWS, 10, seed)["id"]] += 1
    # Each is chosen 40 times on average, with a standard deviation of 6.
    assert times.sum() == 4000
    assert times.min() >= 15
    assert times.max() <= 70
