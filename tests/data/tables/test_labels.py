import re

import pytest
from root import ROOT

from pipeline.data.tables.labels import USUAL_LABELS, Labels
from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES

KEY = "download.labelled.0"
ARABIC = {"non_critical": ["غير حرج"], "neutral": ["متوسط"], "critical": ["حرج"]}
TRIAGE = {"non_critical": ["4", "5"], "neutral": ["3"], "critical": ["1", "2"]}


def meanings(values, names=None):
    """What each of the values means, after all of them were checked together."""
    labels = Labels(names, "الخطورة", KEY, "t.csv")
    found = labels.severities(values)
    labels.check()
    return [found[value] for value in values]


def refused(values, names=None):
    with pytest.raises(WaznError) as caught:
        meanings(values, names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_every_usual_label_is_recognised(severity):
    for label in USUAL_LABELS[severity]:
        assert meanings([label]) == [severity]
        assert meanings([f" {label.upper()}\n"]) == [severity]


@pytest.mark.parametrize("label", ["", " ", "حر", "حرج جدا", "غير", "0", "unknown"])
def test_no_other_label_is(label):
    assert meanings(["حرج", label]) == ["critical", ""]


def test_no_usual_label_means_two_severities():
    labels = [label for severity in SEVERITIES for label in USUAL_LABELS[severity]]
    assert len(labels) == len(set(labels))


def test_the_documentation_lists_exactly_the_usual_labels():
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE))
    for severity, usual in USUAL_LABELS.items():
        assert listed[severity] == ", ".join(usual), severity


@pytest.mark.parametrize(
    "spelling", ["حرج", " حرج\u00a0", "\u200fحرج\u200e", "حَرِج", "حـرج", "حرج.", "\ufeffحرج", "«حرج»"]
)
def test_spellings_of_a_named_label_are_one(spelling):
    values = [spelling, "متوسط", "غير_حرج"]
    assert meanings(values, ARABIC) == ["critical", "neutral", "non_critical"]


@pytest.mark.parametrize(
    "values",
    [["0", "1", "2"], ["0.0", "1.0", "2.00"], ["٠", "١", "٢"], ["۰", "۱", "۲"], ["00", "01", "٢٫٠"]],
)
@pytest.mark.parametrize("names", [["0", "1", "2"], ["0.0", "1.0", "2.0"], ["٠", "١", "٢"]])
def test_a_number_is_one_label_however_it_is_written(values, names):
    named = {severity: [name] for severity, name in zip(SEVERITIES, names, strict=True)}
    assert meanings(values, named) == list(SEVERITIES)


def test_signs_of_numbers_and_labels_of_signs_are_kept_apart():
    named = {"non_critical": ["-1"], "neutral": ["0"], "critical": ["1"]}
    assert meanings(["-1", "0", "1", "+1", "-0"], named) == [*SEVERITIES, "critical", "neutral"]
    named = {"non_critical": ["-"], "neutral": ["+"], "critical": ["++"]}
    assert meanings(["-", "+", "++", "+++"], named) == [*SEVERITIES, ""]


def test_several_labels_may_mean_one_severity():
    expected = ["critical", "critical", "neutral", "non_critical", "non_critical", "", ""]
    assert meanings(["1", "2", "3", "4", "5", "6", ""], TRIAGE) == expected
    words = {"non_critical": ["low"], "neutral": ["medium"], "critical": ["critical", "high"]}
    assert meanings(["High", "CRITICAL", "low", "medium"], words)[:2] == ["critical", "critical"]


@pytest.mark.parametrize(
    "names",
    [
        {**ARABIC, "neutral": [" حَرِج "]},
        {**ARABIC, "critical": ["حرج", "متوسط"]},
        {"non_critical": ["0"], "neutral": ["0.0"], "critical": ["1"]},
    ],
)
def test_one_label_for_two_severities_is_refused(names):
    assert "each label can mean one severity" in refused(["حرج"], names)
    assert refused(["حرج"], names).startswith(f"{KEY}.labels: ")


def test_a_severity_that_is_named_and_never_occurs_is_refused_unless_it_is_named_with_none():
    values = ["حرج", "متوسط", "متوسط", "غير حرجح"]
    text = refused(values, ARABIC)
    assert f"column 'الخطورة' has no row with a label of {KEY}.labels.non_critical" in text
    assert "write [] where" in text
    assert meanings(values, {**ARABIC, "non_critical": []}) == ["critical", "neutral", "neutral", ""]
    assert meanings(["حرج", "حرج"]) == ["critical", "critical"]


@pytest.mark.parametrize(
    "labels",
    [
        ["غير حرج", "متوسط", "حرج", "لا أدري", ""],
        ["حرج", "حرجة", "متوسطة", "متوسط"],
        ["Non-critical", "noncritical", "not critical"],
        ["low", "medium", "high"],
    ],
)
def test_spellings_of_a_usual_label_may_stand_beside_each_other(labels):
    assert meanings(labels)[0]


@pytest.mark.parametrize(
    "labels", [["low", "medium", "high", "critical"], ["mild", "low"], ["عاجل", "طارئ"]]
)
def test_two_usual_labels_for_one_severity_are_not_guessed_at(labels):
    assert re.search(
        r"both usually mean \w+; name those of each .* download\.labelled\.0\.", refused(labels)
    )


def test_labels_are_shown_if_short_and_repeated():
    assert refused(["a", "a", "b", "b"]).endswith("it has a, b")
    text = refused(["a", "a", "رقمي 0501234567", "ألم " * 20, "ألم " * 20, ""])
    assert text.endswith("it has a, 2 values that are long or stand in one row only, empty cells")
    assert "0501234567" not in text
    assert "ألم" not in text


def test_a_column_of_texts_is_no_label_and_none_of_it_is_shown():
    texts = [f"عندي ألم {number}" for number in range(50)] * 2
    for names in (None, ARABIC):
        text = refused(texts, names)
        assert "it looks like no label" in text
        assert "عندي" not in text
