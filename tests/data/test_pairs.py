import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw import setting

from pipeline.data.pairs import normalise_labelled, normalise_pairs, row_id, why_rejected
from pipeline.data.probabilities import parse_probability
from pipeline.data.raw_tables import LABELLED_SCHEMA, PAIRS_SCHEMA
from pipeline.data.splits import assign_splits
from pipeline.schemas import SPLITS
from pipeline.severities import PROBABILITIES

CONFIG = setting(max_chars=50)
FRACTIONS = {"train": 0.7, "valid": 0.1, "test": 0.2}
GOOD = "راجع الطبيب"
COLUMNS = [
    *("source", "line", "id", "question", "answer", "text", "specialty", "severity_human"),
    *PROBABILITIES,
    "reason",
]


def pairs(rows, specialty="", shares=(None, None, None), config=CONFIG):
    """Rows of question and answer, and three probabilities where a row has its own."""
    raw = [
        {
            "source": "a",
            "line": 2,
            "question": row[0],
            "answer": row[1],
            "specialty": specialty,
            **dict(zip(PROBABILITIES, row[2:] or shares, strict=True)),
        }
        for row in rows
    ]
    return normalise_pairs(pa.Table.from_pylist(raw, PAIRS_SCHEMA), config)


def labelled(rows):
    raw = [
        {"source": "a", "line": 2, "text": text, "label": severity, "severity": severity, "specialty": ""}
        for text, severity in rows
    ]
    return normalise_labelled(pa.Table.from_pylist(raw, LABELLED_SCHEMA), CONFIG)


def reasons_of(texts, min_arabic):
    return why_rejected(texts, texts, min_arabic, max_chars=50)


def test_why_a_text_is_rejected():
    reasons = {
        "": "empty",
        "؟! ...": "empty",
        "صدا\ufffd\ufffd\ufffd\ufffd": "mojibake",
        "3andi so2al": "arabizi",
        "سلام دکتر چند روز است سردرد دارم": "other_language",
        "fever and pain": "not_arabic",
        "123 ؟": "not_arabic",
        "صداع headache": "not_arabic",
        "ا" * 51: "too_long",
        "a" * 51: "not_arabic",
        "ا" * 50: "",
        "صداع 3 mg": "",
        "صداع six": "not_arabic",
        "صداعي six": "",
    }
    assert reasons_of(list(reasons), 0.6) == list(reasons.values())
    assert reasons_of([], 0.6) == []


def test_at_a_least_share_of_0_one_arabic_letter_suffices():
    assert reasons_of(["fever", "Tab Augmentin 1 g خ", "120/80", ""], 0.0) == [
        "not_arabic",
        "",
        "not_arabic",
        "empty",
    ]


def test_answers_have_a_least_share_of_their_own():
    """Physicians name drugs and tests in Latin letters."""
    row = ("صداع", "خذ Paracetamol 500 mg tab")
    assert pairs([row])["reason"].to_pylist() == [""]
    assert pairs([row], config=setting(min_arabic_answer=0.5))["reason"].to_pylist() == [
        "answer_not_arabic"
    ]
    assert pairs([row[::-1]])["reason"].to_pylist() == ["question_not_arabic"]


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("صداع", GOOD, ""),
        ("", GOOD, "question_empty"),
        ("  \u200f ـ <br> &nbsp; ", GOOD, "question_empty"),
        ("صداع", "", "answer_empty"),
        ("", "", "question_empty"),
        ("headache", GOOD, "question_not_arabic"),
        ("صداع", "see a doctor", "answer_not_arabic"),
        ("صداع " * 20, GOOD, "question_too_long"),
        ("صداع", "راحة " * 20, "answer_too_long"),
        ("صداع", "", "answer_empty"),
    ],
)
def test_an_unusable_pair_has_its_reason(question, answer, reason):
    assert pairs([("حمى", GOOD), (question, answer)])["reason"].to_pylist() == ["", reason]


@pytest.mark.parametrize(
    ("text", "severity", "reason"),
    [
        ("صداع", "critical", ""),
        ("", "critical", "empty"),
        ("fever", "critical", "not_arabic"),
        ("صداع " * 20, "critical", "too_long"),
        ("صداع", "", "unknown_label"),
        ("", "", "empty"),
    ],
)
def test_an_unusable_labelled_complaint_has_its_reason(text, severity, reason):
    assert labelled([("حمى", "neutral"), (text, severity)])["reason"].to_pylist() == ["", reason]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, 0.2) for text in ("0.2", ".2", " 0.20\n", "0,2", "٠٫٢", "۰٫۲", "٠.٢", "2e-1", "+0.2")),
        *(
            (text, 0.2)
            for text in ("20%", "20 %", "%20", "٢٠٪", "٪٢٠", "20.0%", "\u200f20%\u200e", "２０％")
        ),
        *((text, 0.0) for text in ("0", "0.0", "٠", "-0.0", "0%")),
        *((text, 1.0) for text in ("1", "1.", "1,0", "100%", "١٠٠٪")),
    ],
)
def test_a_probability_is_read_however_it_is_written(text, value):
    assert parse_probability(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "كثير", "nan", "inf", "-0.2", "0.2.3", "0,2,3", "1_0", "%", "20%%", "1/5", "0x1", "--1"],
)
def test_anything_else_is_no_probability(text):
    assert np.isnan(parse_probability(text))


@pytest.mark.parametrize(
    ("shares", "kept"),
    [
        ((None, None, None), (None, None, None)),
        (("0.2", "0.3", "0.5"), (0.2, 0.3, 0.5)),
        (("0", "0", "1"), (0, 0, 1)),
        (("0,333", "0,333", "0,333"), (0.333, 0.333, 0.333)),
        (("0.34", "0.33", "0.335"), (0.34, 0.33, 0.335)),
        (("20%", "٣٠٪", "0.5"), (0.2, 0.3, 0.5)),
        (("20", "30", "50"), (0.2, 0.3, 0.5)),
        (("33.3", "33.3", "33.3"), (0.333, 0.333, 0.333)),
    ],
)
def test_probabilities_are_three_that_sum_to_one_or_to_a_hundred_or_none(shares, kept):
    found = pairs([("حمى", GOOD), ("صداع", GOOD, *shares)])
    assert found["reason"].to_pylist() == ["", ""]
    given = [found[name].to_pylist() for name in PROBABILITIES]
    assert [column[0] for column in given] == [None] * 3
    assert [column[1] for column in given] == [
        None if share is None else float(np.float32(share)) for share in kept
    ]
    assert found.schema.field(PROBABILITIES[0]).type == pa.float32()


@pytest.mark.parametrize(
    "shares",
    [
        ("0.3", "0.3", "0.3"),
        ("0.5", "0.5", "0.02"),
        ("-0.1", "0.5", "0.6"),
        ("2", "3", "5"),
        ("20", "30", "45"),
        ("كثير", "0.5", "0.5"),
        ("", "0.5", "0.5"),
        ("", "", ""),
        (None, "0.5", "0.5"),
        (None, None, ""),
        ("inf", "0", "0"),
        ("1e999", "0", "0"),
    ],
)
def test_a_row_with_something_else_in_their_place_is_rejected(shares):
    found = pairs([("حمى", GOOD), ("صداع", GOOD, *shares)])
    assert found["reason"].to_pylist() == ["", "bad_probabilities"]


def test_a_text_that_cannot_be_used_is_a_reason_before_probabilities():
    found = pairs([("", GOOD, "1", "1", "1"), ("صداع", "", "1", "1", "1")])
    assert found["reason"].to_pylist() == ["question_empty", "answer_empty"]


def test_length_is_measured_after_normalisation():
    found = pairs([("صد" + "ـ" * 100 + "اع", GOOD)])
    assert found["question"].to_pylist() == ["صداع"]
    assert found["reason"].to_pylist() == [""]


def test_rows_have_the_documented_columns_and_texts():
    found = pairs([("مُستشفى\u200f ٣", "الرّاحــة ٣")], specialty="باطنية").to_pylist()[0]
    assert list(found) == COLUMNS
    assert found["question"] == "مستشفى 3"
    assert found["answer"] == "الراحة 3"
    assert found["text"] == "مستشفي 3"
    assert found["specialty"] == "باطنية"
    assert labelled([("مُستشفى", "critical")]).to_pylist() == [
        {
            "source": "a",
            "line": 2,
            "id": row_id("مستشفي"),
            "text": "مستشفي",
            "severity": "critical",
            "specialty": "",
            "reason": "",
        }
    ]


def test_no_row_gives_the_columns():
    assert pairs([]).column_names == COLUMNS
    assert labelled([]).column_names == ["source", "line", "id", "text", "severity", "specialty", "reason"]
    assert len(pairs([])) == len(labelled([])) == 0


def test_pairs_have_the_same_id_only_if_the_classifier_would_read_both_sides_alike():
    first, spelt, answered, asked = pairs(
        [("أعاني من حمّى", GOOD), ("اعاني من حمي", "راجِع الطّبيب"), ("اعاني من حمي", "راحة"), ("صداع", GOOD)]
    )["id"].to_pylist()
    assert first == spelt
    assert len({first, answered, asked}) == 3


CELLS = st.sampled_from(["", " ", "صداع", "صُداع", "أعاني", "اعاني", "pain", "حمى " * 20, "حمى x", "<b>"])


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), st.randoms())
def test_a_row_is_judged_by_itself(rows, random):
    alone = [pairs([row]).to_pylist()[0] for row in rows]
    assert pairs(rows).to_pylist() == alone
    order = random.sample(range(len(rows)), len(rows))
    assert pairs([rows[place] for place in order]).to_pylist() == [alone[place] for place in order]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(CELLS, st.sampled_from(["critical", "neutral", ""])), min_size=1, max_size=12))
def test_a_labelled_row_is_judged_by_itself(rows):
    assert labelled(rows).to_pylist() == [labelled([row]).to_pylist()[0] for row in rows]


# ---- splits -------------------------------------------------------------------------------------

KEYS = np.random.default_rng(1).integers(0, 2**64, 20_000, dtype=np.uint64)


@pytest.mark.parametrize("seed", [0, 17, 2**32 - 1])
@pytest.mark.parametrize(
    "fractions",
    [FRACTIONS, {"train": 0.5, "valid": 0.25, "test": 0.25}, {"train": 0.9, "valid": 0, "test": 0.1}],
)
def test_splits_have_the_shares_asked_for(fractions, seed):
    found = np.bincount(assign_splits(KEYS, fractions, seed), minlength=3) / len(KEYS)
    # Of 20,000 draws the standard error is at most 0.0035.
    np.testing.assert_allclose(found, list(fractions.values()), atol=0.015)
    assert found[1] > 0 or fractions["valid"] == 0


def test_keys_in_a_row_are_spread_as_any_others():
    found = (
        np.bincount(assign_splits(np.arange(20_000, dtype=np.uint64), FRACTIONS, 17), minlength=3) / 20_000
    )
    np.testing.assert_allclose(found, list(FRACTIONS.values()), atol=0.015)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_with_everything_gets_everything(split):
    fractions = {name: float(name == split) for name in SPLITS}
    assert set(assign_splits(KEYS[:2000], fractions, 3).tolist()) == {SPLITS.index(split)}


def test_the_seed_moves_as_many_rows_as_a_new_draw_would():
    moved = assign_splits(KEYS, FRACTIONS, 17) != assign_splits(KEYS, FRACTIONS, 18)
    assert moved.mean() == pytest.approx(1 - 0.7**2 - 0.1**2 - 0.2**2, abs=0.015)


def test_a_split_depends_on_the_rows_own_key():
    whole = assign_splits(KEYS, FRACTIONS, 17)
    np.testing.assert_array_equal(assign_splits(KEYS[::-3], FRACTIONS, 17), whole[::-3])
    assert len(assign_splits(KEYS[:0], FRACTIONS, 17)) == 0


def test_a_larger_training_share_takes_rows_in_and_gives_none_away():
    small = assign_splits(KEYS, {"train": 0.5, "valid": 0.2, "test": 0.3}, 17)
    large = assign_splits(KEYS, {"train": 0.6, "valid": 0.2, "test": 0.2}, 17)
    assert (large[small == 0] == 0).all()


def test_splits_of_a_seed_stay_what_they_are():
    """A change here moves every row of everybody's data to another split."""
    keys = np.array([number * 0x9E3779B97F4A7C15 % 2**64 for number in range(1, 17)], dtype=np.uint64)
    assert assign_splits(keys, FRACTIONS, 17).tolist() == [2, 0, 2, 0, 2, 0, 0, 2, 2, 0, 0, 2, 0, 0, 0, 0]


def test_a_row_id_is_sixteen_hexadecimal_digits_and_tells_its_keys_apart():
    assert re.fullmatch("[0-9a-f]{16}", row_id("صداع"))
    assert len({row_id("ab", "c"), row_id("a", "bc"), row_id("abc"), row_id("c", "ab")}) == 4
