import re
import unicodedata
from pathlib import Path

import pytest

from pipeline.data.tables.columns import find_columns
from pipeline.data.tables.names import USUAL_COLUMNS
from pipeline.errors import WaznError

DOCS = Path(__file__).resolve().parents[3] / "docs" / "data.md"
KEY = "download.pairs.0"


def find(columns, optional=("specialty",), **asked):
    return find_columns(columns, asked, optional, KEY, "t.csv")


def refused(columns, **asked):
    with pytest.raises(WaznError) as caught:
        find(columns, **asked)
    assert str(caught.value).startswith("t.csv: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_column_that_is_named_is_taken_whatever_else_there_is():
    found = find(["question", "الشكوى", "x"], question="الشكوى", answer="x")
    assert found == {"question": "الشكوى", "answer": "x"}


@pytest.mark.parametrize("ours", USUAL_COLUMNS)
def test_every_usual_name_is_recognised(ours):
    for name in USUAL_COLUMNS[ours]:
        assert find(["x", name], **{ours: None}) == {ours: name}


@pytest.mark.parametrize("name", ["Question", " QUESTION ", "ｑuestion", "question:", "_question_"])
def test_case_space_and_marks_make_no_difference(name):
    assert find([name], question=None) == {"question": name}


@pytest.mark.parametrize("name", ["الاجابه", "الإجَابَة", "اجـابة"])
def test_arabic_spellings_make_no_difference(name):
    assert find([name], answer=None) == {"answer": name}


@pytest.mark.parametrize(
    "columns", [["text", "question"], ["question", "text"], ["المنشور", "السؤال"], ["post", "سؤال"]]
)
def test_of_several_usual_names_the_first_of_the_list_counts(columns):
    order = USUAL_COLUMNS["question"]
    assert find(columns, question=None) == {"question": min(columns, key=order.index)}


def test_a_specialty_may_be_missing_unless_it_is_named():
    assert find(["question"], question=None, specialty=None) == {"question": "question"}
    assert "no column 'قسم' (download.pairs.0.specialty)" in refused(["question"], specialty="قسم")


def test_a_column_of_no_usual_name_has_to_be_named():
    text = refused(["رقم", "كلام"], question=None)
    assert "no column known as question; name it in download.pairs.0.question" in text
    assert text.endswith("the columns are: رقم, column 2")


def test_columns_that_params_name_are_shown_as_they_are():
    assert refused(["كلام", "قول", "x"], question="كلام", answer="رأي").endswith("كلام, column 2, column 3")


def test_of_many_columns_thirty_are_listed():
    text = refused([f"c{number}" for number in range(40)], question="q")
    assert "if the first row is no header, add one" in text
    assert text.endswith("column 29, column 30 and 10 more")


@pytest.mark.parametrize(
    "cells",
    [
        ["مريم علي", "0501234567", "عندي صداع", "question"],
        ["Maryam", "3andi so2al", "urgent", "answer"],
        ["a@b.example", "عندي\nصداع", "", "السؤال\n"],
    ],
)
def test_where_a_row_stands_in_place_of_the_header_no_cell_is_shown(cells):
    text = refused(cells, text="المنشور")
    assert not any(cell in text for cell in cells[:3] if cell)
    assert text.endswith(f"the columns are: column 1, column 2, column 3, {cells[3].strip()}")


UNSEEN = {
    "decomposed": unicodedata.normalize("NFD", "إجابة الطّبيب"),
    "direction mark": "\u200fإجابة الطبيب",
    "embedding": "\u202bإجابة الطبيب\u202c",
    "no-break space": "إجابة\xa0الطبيب",
    "two spaces": " إجابة  الطبيب ",
    "tatweel": "إجـــابة الطبيب",
    "zero width": "إجا\u200bبة\u200d الطبيب\ufeff",
    "soft hyphen": "إجا\xadبة الطبيب",
    "hamza": "اجابه الطبيب",
    "Persian letters": "إجابة الطبیب",
    "positional forms": unicodedata.normalize("NFC", "إجابة الطﺒيب"),
}


@pytest.mark.parametrize("name", UNSEEN.values(), ids=UNSEEN)
def test_names_that_look_alike_are_alike(name):
    assert find(["x", name], answer=None) == {"answer": name}, "usual"
    assert find(["x", name], question="إجابة الطبيب") == {"question": name}, "given"
    assert find(["x", "إجابة الطبيب"], question=name) == {"question": "إجابة الطبيب"}, "given so"


def test_an_exact_name_goes_before_its_spellings():
    columns = ["Body", "body", "BODY"]
    assert find(columns, question="body") == {"question": "body"}
    text = refused(columns, question="bodY")
    assert "the names of columns 1 and 2 and 3 differ only in spelling" in text
    assert "download.pairs.0.question" in text


def test_two_spellings_of_a_usual_name_are_not_guessed_at():
    assert "columns 1 and 2 differ only in spelling" in refused(["Question", "question"], question=None)


@pytest.mark.parametrize(("columns", "given"), [(["%", "x"], "؟"), (["", "!"], "؟"), (["x"], " ")])
def test_names_without_a_letter_are_not_alike(columns, given):
    assert "no column" in refused(columns, question=given)


def test_the_documentation_lists_exactly_the_usual_names():
    text = DOCS.read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE))
    for ours, usual in USUAL_COLUMNS.items():
        assert listed[ours] == ", ".join(usual), ours
