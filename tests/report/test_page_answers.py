import json

import pytest
from pages import ATTACK, answers

from pipeline.report.answers import CHARACTERS, chosen, data

ROOM = 1_000_000


def ids(rows):
    return [row["id"] for row in rows]


def test_the_first_rows_are_chosen_and_stay_in_order():
    rows = [{"id": str(place), "severity": "neutral"} for place in range(50)]
    assert ids(chosen(rows, 7, ROOM)) == [str(place) for place in range(7)]


@pytest.mark.parametrize(("most", "count"), [(0, 0), (3, 3), (99, 20)])
def test_there_are_as_many_as_asked_for_and_there(most, count):
    assert len(chosen(answers(["m"], 20), most, ROOM)) == count


def test_each_severity_is_represented_however_little_its_rows_differ():
    rows = [{"id": str(place), "severity": "neutral"} for place in range(50)]
    rows += [{"id": f"c{place}", "severity": "critical"} for place in range(9)]
    rows += [{"id": "n0", "severity": "non_critical"}]
    assert ids(chosen(rows, 20, ROOM)) == [*(str(place) for place in range(17)), "c0", "c1", "n0"]


def test_rows_are_left_out_where_they_would_take_more_than_their_size():
    rows = answers(["m"], 40, words=50)
    each = len(data(rows[0]).encode())
    kept = chosen(rows, 40, size=10 * each)
    assert 8 <= len(kept) <= 10
    assert len(data(kept).encode()) <= 10 * each
    assert {row["severity"] for row in kept} == {"critical", "neutral", "non_critical"}


def test_no_severity_is_missing_where_there_is_little_room():
    rows = [
        {"id": f"{severity} {place}", "severity": severity}
        for severity in ("neutral", "critical")
        for place in range(50)
    ]
    kept = chosen(rows, 100, size=4 * len(data(rows[-1]).encode()))
    assert ids(kept) == ["neutral 0", "neutral 1", "critical 0", "critical 1"]


def test_a_long_text_is_cut_and_says_so():
    [row] = answers(["m"], 1)
    row["answers"]["m"]["base"] = "ا" * (CHARACTERS + 1)
    [kept] = chosen([row], 1, ROOM)
    assert kept["answers"]["m"]["base"] == "ا" * CHARACTERS + " […]"
    assert kept["question"] == row["question"]


@pytest.mark.parametrize(
    "text", [ATTACK, "</SCRIPT>", "<!--<script>", "]]>", "&lt;", "\u2028\u2029", '"\\']
)
def test_nothing_in_the_data_can_end_its_script(text):
    shown = data({text: [text]})
    assert not set("<>&\u2028\u2029") & set(shown)
    assert json.loads(shown) == {text: [text]}


def test_what_json_has_no_word_for_is_an_error():
    with pytest.raises(ValueError, match="not JSON compliant"):
        data({"nll": float("nan")})
