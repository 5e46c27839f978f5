import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.pairs import (
    SPLITS,
    assign_split,
    normalise_labelled,
    normalise_pairs,
    row_id,
    why_rejected,
)
from pipeline.text.normalise import RULES

ALL = dict.fromkeys(RULES, True)
LIGHT = {**ALL, "alef": False, "ya": False, "ta_marbuta": False}
FRACTIONS = {"train": 0.7, "valid": 0.1, "test": 0.2}
SETTINGS = {
    "rules": {"classifier": ALL, "question": LIGHT, "answer": LIGHT},
    "min_arabic": 0.6,
    "max_chars": 50,
    "split": FRACTIONS,
    "seed": 17,
}
GOOD = "راجع الطبيب"


def pairs(rows, **changes):
    raw = pd.DataFrame(rows, columns=["question", "answer"])
    return normalise_pairs(raw, **{**SETTINGS, **changes})


def labelled(rows, **changes):
    raw = pd.DataFrame(rows, columns=["text", "severity"])
    return normalise_labelled(raw, **{**SETTINGS, **changes})


def many(count):
    """Complaints that differ in letters, so that normalisation cannot make two of them one."""
    letters = "بتثجحخدذرزسشصضطظعغفق"
    return [
        "صداع " + letters[n // 400 % 20] + letters[n // 20 % 20] + letters[n % 20] for n in range(count)
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("fever and pain", "not_arabic"),
        ("123 ؟", "not_arabic"),
        ("صداع headache", "not_arabic"),
        ("أ" * 51, "too_long"),
        ("أ" * 50, None),
        ("صداع 3 mg", None),
    ],
)
def test_why_a_text_is_rejected(text, reason):
    assert why_rejected(text, min_arabic=0.6, max_chars=50) == reason


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("", GOOD, "question_empty"),
        ("  \u200f ـ ", GOOD, "question_empty"),
        ("صداع", "", "answer_empty"),
        ("", "", "question_empty"),
        ("headache", GOOD, "question_not_arabic"),
        ("صداع", "see a doctor", "answer_not_arabic"),
        ("صداع " * 20, GOOD, "question_too_long"),
        ("صداع", "راحة " * 20, "answer_too_long"),
    ],
)
def test_an_unusable_pair_is_rejected_with_its_reason(question, answer, reason):
    kept, reasons = pairs([("حمى", GOOD), (question, answer)])
    assert kept.index.tolist() == [0]
    assert reasons.to_dict() == {1: reason}


@pytest.mark.parametrize(
    ("text", "severity", "reason"),
    [
        ("", "critical", "empty"),
        ("fever", "critical", "not_arabic"),
        ("صداع " * 20, "critical", "too_long"),
        ("صداع", "", "unknown_label"),
        ("حُمّى", "neutral", "duplicate"),
    ],
)
def test_an_unusable_labelled_complaint_is_rejected_with_its_reason(text, severity, reason):
    kept, reasons = labelled([("حمى", "critical"), (text, severity)])
    assert kept.index.tolist() == [0]
    assert reasons.to_dict() == {1: reason}


def test_length_is_measured_after_normalisation():
    kept, _ = pairs([("صد" + "ـ" * 100 + "اع", GOOD)])
    assert kept["question"].tolist() == ["صداع"]


def test_duplicates_are_found_by_what_the_classifier_reads_and_the_first_stays():
    kept, reasons = pairs([("أعاني من حمّى", GOOD), ("اعاني من حمي", GOOD), ("اعاني من حمي", "اشرب ماء")])
    assert kept["question"].tolist() == ["أعاني من حمى", "اعاني من حمي"]
    assert reasons.to_dict() == {1: "duplicate"}


def test_an_unlabelled_row_does_not_make_a_labelled_one_a_duplicate():
    kept, reasons = labelled([("صداع", ""), ("صداع", "neutral")])
    assert kept["severity"].to_dict() == {1: "neutral"}
    assert reasons.to_dict() == {0: "unknown_label"}


def test_kept_rows_have_the_documented_columns_and_texts():
    kept, _ = pairs([("مُستشفى\u200f ٣", "الرّاحــة ٣")])
    assert list(kept.columns) == ["id", "question", "answer", "text", "split"]
    assert kept.iloc[0][["question", "answer", "text"]].tolist() == ["مستشفى 3", "الراحة 3", "مستشفي 3"]
    kept, _ = labelled([("مُستشفى", "critical")])
    assert list(kept.columns) == ["id", "text", "severity", "split"]
    assert kept.iloc[0][["text", "severity"]].tolist() == ["مستشفي", "critical"]


@pytest.mark.parametrize(
    ("decide", "columns"),
    [
        (pairs, ["id", "question", "answer", "text", "split"]),
        (labelled, ["id", "text", "severity", "split"]),
    ],
)
def test_if_nothing_is_kept_the_columns_are_still_there(decide, columns):
    kept, reasons = decide([("", "")])
    assert list(kept.columns) == columns
    assert len(kept) == 0
    assert reasons.to_dict() in ({0: "question_empty"}, {0: "empty"})


CELLS = st.sampled_from(["", " ", "صداع", "صُداع", "أعاني", "اعاني", "pain", "حمى " * 20, "حمى x"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), max_size=12), st.integers(0, 1000))
def test_every_row_is_either_kept_or_rejected(rows, first):
    raw = pd.DataFrame(rows, columns=["question", "answer"], index=range(first, first + len(rows)))
    kept, reasons = normalise_pairs(raw, **SETTINGS)
    assert sorted([*kept.index, *reasons.index]) == list(raw.index)
    assert kept["id"].is_unique
    assert list(kept.index) == sorted(kept.index), "in the order given"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELLS, st.sampled_from(["critical", "neutral", ""])), max_size=12))
def test_every_labelled_row_is_either_kept_or_rejected(rows):
    kept, reasons = labelled(rows)
    assert sorted([*kept.index, *reasons.index]) == list(range(len(rows)))
    assert kept["text"].is_unique
    assert kept["severity"].all()


def test_ids_and_splits_stay_when_rows_are_added_or_moved():
    old = [(text, GOOD) for text in many(50)]
    before, _ = pairs(old)
    after, _ = pairs([("حمى جديدة", GOOD), *reversed(old), ("سعال", GOOD)])
    wanted = before.set_index("id")[["question", "split"]].to_dict("index")
    found = after.set_index("id")[["question", "split"]].to_dict("index")
    assert len(found) == 52
    assert wanted.items() <= found.items()


def test_labelled_ids_and_splits_stay_when_rows_are_added_or_moved():
    old = [(text, "neutral") for text in many(50)]
    before, _ = labelled(old)
    after, _ = labelled([("سعال", "critical"), *reversed(old)])
    wanted = before.set_index("id")[["text", "split"]].to_dict("index")
    assert wanted.items() <= after.set_index("id")[["text", "split"]].to_dict("index").items()


def test_a_complaint_is_in_the_same_split_in_pairs_and_labelled():
    texts = many(300)
    # Spelt differently in the two: only the normalised complaint counts.
    in_pairs, _ = pairs([("أ " + text, GOOD) for text in texts])
    in_labelled, _ = labelled([(f"ا\u200f  {text}ٌ", "neutral") for text in texts])
    assert in_pairs["text"].tolist() == in_labelled["text"].tolist()
    assert in_pairs["split"].tolist() == in_labelled["split"].tolist()
    assert set(in_pairs["split"]) == set(SPLITS)


def test_a_question_with_two_answers_is_in_one_split():
    texts = many(300)
    kept, reasons = pairs([(text, answer) for text in texts for answer in (GOOD, "اشرب ماء")])
    assert reasons.empty
    assert (kept.groupby("text")["split"].nunique() == 1).all()
    assert kept["id"].nunique() == 600


def test_the_seed_changes_splits_and_nothing_else():
    rows = [(text, GOOD) for text in many(300)]
    first, second = pairs(rows)[0], pairs(rows, seed=18)[0]
    assert first.drop(columns="split").equals(second.drop(columns="split"))
    moved = (first["split"] != second["split"]).mean()
    assert 0.3 < moved < 0.6, "1 - 0.7² - 0.1² - 0.2² = 0.46 of the rows move"


@pytest.mark.parametrize("seed", [0, 17])
@pytest.mark.parametrize("fractions", [FRACTIONS, {"train": 0.5, "valid": 0.25, "test": 0.25}])
def test_splits_have_about_the_shares_asked_for(fractions, seed):
    found = pd.Series([assign_split(f"complaint {n}", fractions, seed) for n in range(5000)])
    for split in SPLITS:
        assert (found == split).mean() == pytest.approx(fractions[split], abs=0.03)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_with_everything_gets_everything(split):
    fractions = {name: float(name == split) for name in SPLITS}
    assert {assign_split(str(n), fractions, seed=3) for n in range(200)} == {split}


def test_a_row_id_is_sixteen_hexadecimal_digits_and_tells_its_keys_apart():
    assert re.fullmatch("[0-9a-f]{16}", row_id("صداع"))
    assert len({row_id("ab", "c"), row_id("a", "bc"), row_id("abc"), row_id("c", "ab")}) == 4
