import json

import pytest
from pages import ATTACK, answers

from pipeline.report.answers import MAX_CHARACTERS, choose_answers, script_json

ROOM = 1_000_000


def ids(rows):
    return [row["id"] for row in rows]


def test_the_first_rows_are_chosen_and_stay_in_order():
    rows = [{"id": str(place), "severity": "neutral"} for place in range(50)]
    assert ids(choose_answers(rows, 7, ROOM)) == [str(place) for place in range(7)]


@pytest.mark.parametrize(("asked", "count"), [(0, 0), (3, 3), (99, 20)])
def test_there_are_as_many_as_asked_for_and_there(asked, count):
    assert len(choose_answers(answers(["m"], 20), asked, ROOM)) == count


def test_each_severity_is_represented_however_little_its_rows_differ():
    rows = [{"id": str(place), "severity": "neutral"} for place in range(50)]
    rows += [{"id": f"c{place}", "severity": "critical"} for place in range(9)]
    rows += [{"id": "n0", "severity": "non_critical"}]
    assert ids(choose_answers(rows, 20, ROOM)) == [*(str(place) for place in range(17)), "c0", "c1", "n0"]


def test_rows_are_left_out_where_they_would_take_more_than_their_size():
    rows = answers(["m"], 40, words=50)
    each = len(script_json(rows[0]).encode())
    kept = choose_answers(rows, 40, max_bytes=10 * each)
    assert 8 <= len(kept) <= 10
    assert len(script_json(kept).encode()) <= 10 * each
    assert {row["severity"] for row in kept} == {"critical", "neutral", "non_critical"}


def test_no_severity_is_missing_where_there_is_little_room():
    rows = [
        {"id": f"{severity} {place}", "severity": severity}
        for severity in ("neutral", "critical")
        for place in range(50)
    ]
    kept = choose_answers(rows, 100, max_bytes=4 * len(script_json(rows[-1]).encode()))
    assert ids(kept) == ["neutral 0", "neutral 1", "critical 0", "critical 1"]


def test_a_long_text_is_cut_and_says_so():
    [row] = answers(["m"], 1)
    row["answers"]["m"]["base"] = "ا" * (MAX_CHARACTERS + 1)
    [kept] = choose_answers([row], 1, ROOM)
    assert kept["answers"]["m"]["base"] == "ا" * MAX_CHARACTERS + " […]"
    assert kept["question"] == row["question"]


@pytest.mark.parametrize(
    "text", [ATTACK, "</SCRIPT>", "<!--<script>", "]]>", "&lt;", "\u2028\u2029", '"\\']
)
def test_nothing_in_the_data_can_end_its_script(text):
    shown = script_json({text: [text]})
    assert not set("<>&\u2028\u2029") & set(shown)
    assert json.loads(shown) == {text: [text]}


def test_what_json_has_no_word_for_is_an_error():
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json({"nll": float("nan")})
