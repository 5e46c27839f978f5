import re
from pathlib import Path

import pytest

from pipeline.data.tables.columns import USUAL_COLUMNS, find_columns
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
    assert text.endswith("the columns are: رقم, كلام")


def test_of_many_columns_thirty_are_listed_and_long_names_are_not_shown():
    text = refused([f"c{number}" for number in range(40)], question="q")
    assert text.endswith("c28, c29 and 10 more")
    assert "صداع" not in refused(["عندي صداع " * 9], question=None)


def test_the_documentation_lists_exactly_the_usual_names():
    text = DOCS.read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE))
    for ours, usual in USUAL_COLUMNS.items():
        assert listed[ours] == ", ".join(usual), ours
