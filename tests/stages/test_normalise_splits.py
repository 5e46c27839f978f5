"""Splits and duplicates through the stage."""

import contextlib
import tempfile

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw import GOOD, TEXTS, edited, made_up, metrics, read, setting, write_raw

from pipeline.severities import SEVERITIES
from pipeline.stages import normalise

PAIRS = [(text, GOOD) for text in TEXTS]
LABELLED = [(text, SEVERITIES[number % 3]) for number, text in enumerate(TEXTS)]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)


@contextlib.contextmanager
def elsewhere():
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield


# ---- splits -------------------------------------------------------------------------------------


def test_fractions_are_met(project):
    """A row's split is a hash, so of 20,000 rows a share is met within one in a hundred."""
    texts = made_up(20_000, words=6, seed=3)
    write_raw([[(text, GOOD) for text in texts]], [LABELLED])
    normalise.run(setting(split={"train": 0.7, "valid": 0.1, "test": 0.2}))
    found = metrics()["pairs"]
    assert found["kept"] == 20_000
    for split, share in (("train", 0.7), ("valid", 0.1), ("test", 0.2)):
        assert found["splits"][split] / 20_000 == pytest.approx(share, abs=0.012)


# A text, and the place of the word that is another in it, or none.
VARIANTS = st.tuples(st.integers(0, 59), st.none() | st.integers(0, 9))


def rows_of(variants):
    return [TEXTS[number] if place is None else edited(TEXTS[number], place) for number, place in variants]


def run_on(pair_texts, labelled_texts):
    """Kept pairs and labelled rows, with the data set in the index; and what was rejected."""
    write_raw([[(text, GOOD) for text in pair_texts]], [[(text, "neutral") for text in labelled_texts]])
    normalise.run(setting())
    return pd.concat({name: read(name).set_index("id") for name in ("pairs", "labelled")}), read("rejected")


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(VARIANTS, max_size=60), st.lists(VARIANTS, max_size=40), st.randoms())
def test_a_row_keeps_its_split_whatever_comes_goes_or_moves(old, new, random):
    with elsewhere():
        before, _ = run_on(TEXTS + rows_of(old), TEXTS + rows_of(old[::2]))
        # New rows, near duplicates among them, in front; old ones removed and moved.
        kept = random.sample(old, len(old) // 2)
        mixed = random.sample(TEXTS, 50) + rows_of(kept)
        random.shuffle(mixed)
        after, _ = run_on(rows_of(new) + mixed, rows_of(new)[::-1] + mixed)
    both = before.index.intersection(after.index)
    assert len(both) > 50
    assert before.loc[both, "split"].equals(after.loc[both, "split"])


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(VARIANTS, max_size=60), st.lists(VARIANTS, max_size=40))
def test_appending_copies_and_near_duplicates_removes_no_row(old, new):
    with elsewhere():
        before, _ = run_on(TEXTS + rows_of(old), TEXTS + rows_of(old))
        after, _ = run_on(TEXTS + rows_of(old + new), TEXTS + rows_of(old + new))
    common = ["text", "split", "group"]
    assert after.loc[before.index, common].equals(before[common])


def test_appending_removes_a_row_only_where_it_joins_its_group_to_an_earlier_one(project):
    """Each step of a chain is a near duplicate of the one before; its ends are none of each other."""
    chains = [[text] for text in TEXTS]
    for chain in chains:
        for place in range(0, 32, 4):
            chain.append(edited(chain[-1], place))
    ends = [chain[0] for chain in chains] + [chain[-1] for chain in chains]
    steps = [text for chain in chains for text in chain[1:-1]]
    before, rejected = run_on(ends, TEXTS)
    assert before.loc["pairs", "group"].nunique() == 120
    assert rejected.empty
    after, rejected = run_on(ends + steps, TEXTS)
    assert after.loc["pairs", "group"].nunique() == 60
    gone = before.index.difference(after.index)
    astray = {
        last
        for first, last in zip(ends[:60], ends[60:], strict=True)
        if split_of(before, first) != split_of(before, last)
    }
    assert set(before.loc[gone, "text"]) == astray
    assert 20 < len(astray) < 55, "of 60, 1 - 0.5^2 - 2 x 0.25^2 = 0.625"
    assert set(rejected["reason"]) == {"near_duplicate"}
    stayed = before.index.intersection(after.index)
    assert before.loc[stayed, "split"].equals(after.loc[stayed, "split"])


def split_of(kept, question):
    pairs = kept.loc["pairs"]
    return pairs.loc[pairs["question"] == question, "split"].item()


@settings(max_examples=25, deadline=None)
@given(st.lists(VARIANTS, min_size=20, max_size=60), st.lists(VARIANTS, min_size=20, max_size=60))
def test_near_duplicates_are_in_one_split_in_pairs_and_labelled_together(in_pairs, in_labelled):
    with elsewhere():
        kept, rejected = run_on(TEXTS + rows_of(in_pairs), TEXTS[30:] + TEXTS[:30] + rows_of(in_labelled))
        counts = metrics()
    assert set(rejected["reason"]) <= {"duplicate", "near_duplicate"}
    assert len(kept) + len(rejected) == counts["pairs"]["rows"] + counts["labelled"]["rows"]
    assert (kept.groupby("group")["split"].nunique() == 1).all()
    # A group is a text with its near duplicates, all of which end alike: no less, and no more.
    origin = kept["text"].str[-100:]
    assert (kept["group"].groupby(origin).nunique() == 1).all()
    assert (origin.groupby(kept["group"]).nunique() == 1).all()


def test_a_near_duplicate_that_would_straddle_splits_is_rejected(project):
    """Their keys agree with probability s^2 only, so of many near duplicates some fall elsewhere."""
    copies = [edited(text, number % 10) for number, text in enumerate(TEXTS)]
    kept, rejected = run_on(TEXTS + copies, TEXTS + copies)
    near = rejected[rejected["reason"] == "near_duplicate"]
    # About 60 x (1 - 0.91^2) x (1 - 0.5^2 - 2 x 0.25^2) = 6 in each data set.
    assert 2 <= len(near) / 2 <= 18
    assert set(near["reason"]) == {"near_duplicate"}
    assert {line - 2 for line in near["line"]} <= set(range(60, 120)), "the first of a group always stays"
    assert len(kept) + len(near) == 240
    assert kept.groupby("group").size().value_counts().to_dict() == {
        4: 60 - len(near) // 2,
        2: len(near) // 2,
    }
    assert metrics()["pairs"]["rejected"] == {"near_duplicate": len(near) // 2}


def test_groups_go_across_data_sets(project):
    """Only the labelled data has the original, only the pairs its near duplicates."""
    copies = [edited(text, 9) for text in TEXTS]
    kept, rejected = run_on(copies, TEXTS)
    assert (kept.groupby("group")["split"].nunique() == 1).all()
    assert (kept.groupby("group").size() == 2).sum() > 30
    assert set(rejected["dataset"]) == {"labelled"}, "the pairs come first"
    assert set(kept.loc["labelled", "group"]) <= set(kept.loc["pairs"].index)


def test_of_identical_pairs_the_first_stays_and_of_identical_complaints_each_answer(project):
    again = [(text.replace(" ", "  ") + "ـ", "رَاجع الطّبيب") for text in TEXTS]
    other = [(text, "راحة") for text in TEXTS]
    write_raw([PAIRS, again, other], [LABELLED])
    normalise.run(setting())
    kept = read("pairs")
    assert kept["answer"].tolist() == [GOOD] * 60 + ["راحة"] * 60
    assert (kept.groupby("text")["split"].nunique() == 1).all()
    assert metrics()["pairs"]["rejected"] == {"duplicate": 60}
    assert read("rejected")["source"].tolist()[:60] == ["b"] * 60


def test_a_complaint_is_in_one_split_however_it_is_spelt_in_pairs_and_labelled(project):
    write_raw(
        [[("أ " + text, GOOD) for text in TEXTS]], [[(f"إ\u200f  {text}ٌ", "neutral") for text in TEXTS]]
    )
    normalise.run(setting())
    pairs, labelled = read("pairs"), read("labelled")
    assert pairs["text"].tolist() == labelled["text"].tolist()
    assert pairs["split"].tolist() == labelled["split"].tolist()
    assert pairs["group"].tolist() == labelled["group"].tolist() == pairs["id"].tolist()


def test_an_unusable_row_does_not_make_a_usable_one_a_duplicate(project):
    write_raw([[(TEXTS[0], GOOD, 5.0, 0.0, 0.0), *PAIRS]], [[(TEXTS[0], ""), *LABELLED]])
    normalise.run(setting())
    assert len(read("pairs")) == len(read("labelled")) == 60
    assert read("rejected")["reason"].tolist() == ["bad_probabilities", "unknown_label"]


# ---- duplicates ---------------------------------------------------------------------------------


def test_duplicates_are_counted_by_groups_and_sizes(project):
    """One complaint ten times, one five times, two three times, three twice (nearly, one of these)."""
    sizes = [10, 5, 3, 3, 2, 2]
    rows = [
        (TEXTS[number], f"{GOOD} {answer}") for number, size in enumerate(sizes) for answer in range(size)
    ]
    rows += [(TEXTS[6], GOOD), (edited(TEXTS[6], 3), GOOD), *((text, GOOD) for text in TEXTS[7:])]
    write_raw([[*rows, rows[0]]], [LABELLED])
    normalise.run(setting())
    found = metrics()["duplicates"]
    leaks = found.pop("naive_split_leaks")
    assert found == {
        "usable_rows": 10 + 5 + 6 + 4 + 2 + 53 + 1,
        "exact": 11 + 5 + 6 + 4,
        "groups": 7,
        "rows_in_groups": 11 + 5 + 6 + 4 + 2,
        "largest": 11,
        "sizes": {"2": 3, "3": 2, "4-9": 1, "10+": 1},
    }
    assert set(leaks) == {"test_rows", "leaked"}
    assert 0 <= leaks["leaked"] <= leaks["test_rows"]


@pytest.mark.parametrize("nearly", [False, True])
def test_a_naive_split_leaks_as_often_as_the_other_copy_is_trained_on(project, nearly):
    """Every complaint stands twice: of a test row the other one is in the training split with 70 %."""
    texts = made_up(1500, seed=4)
    copies = [edited(text, 7) for text in texts] if nearly else texts
    write_raw([[*((text, GOOD) for text in texts), *((text, "راحة") for text in copies)]], [LABELLED])
    normalise.run(setting(split={"train": 0.7, "valid": 0.1, "test": 0.2}))
    found = metrics()["duplicates"]
    leaks = found["naive_split_leaks"]
    assert found["usable_rows"] == 3000
    assert found["exact"] == (0 if nearly else 3000)
    assert found["groups"] >= (1490 if nearly else 1500)
    assert leaks["test_rows"] == pytest.approx(600, abs=90)
    assert leaks["leaked"] / leaks["test_rows"] == pytest.approx(0.7, abs=0.08)


def test_half_of_the_rows_copies_leak_half_as_much(project):
    texts = made_up(1500, seed=5)
    rows = [*((text, GOOD) for text in texts), *((text, "راحة") for text in texts[:500])]
    write_raw([rows], [LABELLED])
    normalise.run(setting(split={"train": 0.7, "valid": 0.1, "test": 0.2}))
    leaks = metrics()["duplicates"]["naive_split_leaks"]
    # Half of the 2,000 rows have a copy.
    assert leaks["leaked"] / leaks["test_rows"] == pytest.approx(0.35, abs=0.08)


def test_without_duplicates_nothing_leaks(project):
    write_raw([PAIRS], [LABELLED])
    normalise.run(setting())
    found = metrics()["duplicates"]
    assert found["groups"] == found["exact"] == found["rows_in_groups"] == 0
    assert found["largest"] == 1
    assert found["naive_split_leaks"]["leaked"] == 0
    assert found["naive_split_leaks"]["test_rows"] > 0
