import re
from pathlib import Path

import pytest

from pipeline.data.tables.columns import (
    USUAL_COLUMNS,
    USUAL_LABELS,
    check_labels_apart,
    find_columns,
    severity_by_usual_name,
)
from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES

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


@pytest.mark.parametrize("severity", SEVERITIES)
def test_every_usual_label_is_recognised(severity):
    for label in USUAL_LABELS[severity]:
        assert severity_by_usual_name(label) == severity
        assert severity_by_usual_name(f" {label.upper()}\n") == severity


@pytest.mark.parametrize("label", ["", " ", "حر", "حرج جدا", "غير", "0", "unknown"])
def test_no_other_label_is(label):
    assert severity_by_usual_name(label) == ""


def test_no_label_means_two_severities():
    labels = [label for severity in SEVERITIES for label in USUAL_LABELS[severity]]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize(
    "labels",
    [
        ["غير حرج", "متوسط", "حرج", "لا أدري", ""],
        ["حرج", "حرجة", "متوسطة", "متوسط"],
        ["Non-critical", "noncritical", "not critical"],
        ["low", "medium", "high"],
    ],
)
def test_spellings_of_a_label_may_stand_beside_each_other(labels):
    check_labels_apart(labels, KEY, "t.csv")


@pytest.mark.parametrize(
    "labels", [["low", "medium", "high", "critical"], ["mild", "low"], ["عاجل", "طارئ"]]
)
def test_two_labels_for_one_severity_are_not_guessed_at(labels):
    with pytest.raises(
        WaznError, match=r"both usually mean \w+; name the three .* download\.pairs\.0\.labels"
    ):
        check_labels_apart(labels, KEY, "t.csv")


def test_the_documentation_lists_exactly_the_usual_names():
    text = DOCS.read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE))
    for names in (USUAL_COLUMNS, USUAL_LABELS):
        for ours, usual in names.items():
            assert listed[ours] == ", ".join(usual), ours
