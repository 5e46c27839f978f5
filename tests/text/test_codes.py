import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.codes import UNICODE, Codes

# No half of a surrogate pair: those are read, but not written.
LISTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=8)


@settings(deadline=None)
@given(LISTS)
def test_texts_come_back_as_they_were(texts):
    assert Codes.of(texts).texts() == texts


@settings(deadline=None)
@given(st.lists(st.text(st.characters(categories=["Cs", "Lo", "Nd"]), max_size=8), max_size=8))
def test_values_are_code_points_and_offsets_tell_the_texts_apart(texts):
    codes = Codes.of(texts)
    assert codes.values.tolist() == [ord(character) for text in texts for character in text]
    assert np.diff(codes.offsets).tolist() == [len(text) for text in texts]
    assert codes.offsets[0] == 0


@pytest.mark.parametrize(
    ("texts", "dtype"),
    [
        (["صداع", "\uffff"], np.uint16),
        (["صداع", "😀"], np.uint32),
        (["\ud83d", "\ude00"], np.uint16),
        (["\ud83d\ude00😀"], np.uint32),
        (["", ""], np.uint16),
        ([], np.uint16),
    ],
)
def test_two_bytes_a_character_do_unless_one_lies_beyond_the_basic_plane(texts, dtype):
    assert Codes.of(texts).values.dtype == dtype


@settings(deadline=None)
@given(LISTS, st.data())
def test_keeping_and_counting_are_by_text(texts, data):
    codes = Codes.of(texts)
    total = sum(map(len, texts))
    mask = data.draw(st.lists(st.booleans(), min_size=total, max_size=total))
    marks = iter(mask)
    kept = ["".join(character for character in text if next(marks)) for text in texts]
    assert codes.keep(np.array(mask, dtype=bool)).texts() == kept
    assert codes.count(np.array(mask, dtype=bool)).tolist() == [len(text) for text in kept]


def test_a_count_of_more_than_a_byte_holds_does_not_wrap():
    codes = Codes.of(["", "ا" * 1000, "", "ب"])
    assert codes.count(np.ones(1001, dtype=bool)).tolist() == [0, 1000, 0, 1]


def test_a_table_is_looked_up_at_every_character():
    table = np.zeros(UNICODE, dtype=np.uint8)
    table[[ord("ا"), 0x10FFFF]] = 1, 2
    assert Codes.of(["با", "\U0010ffff"]).look_up(table).tolist() == [0, 1, 2]
    assert Codes.of(["با"]).look_up(table).tolist() == [0, 1]
