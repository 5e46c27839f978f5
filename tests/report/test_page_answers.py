import json

import pandas as pd
import pytest
from pages import ATTACK, answers, page, pairs

from pipeline.config.evaluation import PrimaryConfig
from pipeline.report.answers import (
    EXCERPT_CHARACTERS,
    MAX_CHARACTERS,
    choose_answers,
    primary_values,
    script_json,
    strongest_pairs,
)

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


# The strongest pairs.


def primary(metric="nll"):
    return PrimaryConfig(arm="weighting", metric=metric, group="critical")


def rows_of(differences, severity="critical", model="m"):
    """A row for each difference of weighting from CE, with its values."""
    rows = [
        {
            "id": f"{severity} {place}",
            "severity": severity,
            "by_people": False,
            "question": "س",
            "answers": {model: {"uniform": "أ", "weighting": "ب"}},
        }
        for place, _ in enumerate(differences)
    ]
    values = {
        row["id"]: {"uniform": 2.0, "weighting": 2.0 + difference}
        for row, difference in zip(rows, differences, strict=True)
    }
    return rows, values


def chosen(sides):
    return {side: [pair["row"]["id"] for pair in pairs] for side, pairs in sides.items()}


def test_the_strongest_for_and_against_are_chosen_by_the_primary_metric():
    rows, values = rows_of([0.1, -0.3, 0.4, -0.1, -0.2, 0.2, 0.0])
    sides = strongest_pairs(rows, {"m": values}, primary(), 200)
    assert chosen(sides) == {"better": ["critical 1", "critical 4"], "worse": ["critical 2", "critical 5"]}
    pair = sides["better"][0]
    assert (pair["model"], pair["values"]["weighting"]) == ("m", pytest.approx(1.7))
    assert pair["difference"] == pytest.approx(-0.3)
    higher = strongest_pairs(rows, {"m": values}, primary("chrf"), 200)
    assert chosen(higher)["better"] == ["critical 2", "critical 5"]


def test_a_metric_without_a_good_side_has_no_pairs():
    rows, values = rows_of([0.1, -0.3])
    assert chosen(strongest_pairs(rows, {"m": values}, primary("words"), 200)) == {
        "better": [],
        "worse": [],
    }


def test_critical_complaints_come_before_all_others():
    critical, of_critical = rows_of([0.01, -0.01])
    neutral, of_neutral = rows_of([0.5, -0.5, 0.4], "neutral")
    sides = strongest_pairs([*neutral, *critical], {"m": of_critical | of_neutral}, primary(), 200)
    assert chosen(sides) == {"better": ["critical 1", "neutral 1"], "worse": ["critical 0", "neutral 0"]}


@pytest.mark.parametrize(
    ("differences", "examples", "each"),
    [
        ([-0.1, -0.2, 0.3], 200, 1),
        ([-0.1, -0.2], 200, 0),
        ([-0.1, -0.2, 0.3, 0.4], 3, 1),
        ([-0.1, 0.3], 0, 0),
    ],
)
def test_there_are_as_many_against_as_for_and_no_more_than_the_page_may_show(differences, examples, each):
    rows, values = rows_of(differences)
    sides = strongest_pairs(rows, {"m": values}, primary(), examples)
    assert [len(sides["better"]), len(sides["worse"])] == [each, each]


def test_a_complaint_stands_once_with_the_model_that_differs_most():
    rows, values = rows_of([-0.1, 0.1])
    for row in rows:
        row["answers"]["n"] = row["answers"]["m"]
    other = {
        "critical 0": {"uniform": 2.0, "weighting": 2.9},
        "critical 1": {"uniform": 2.0, "weighting": 1.5},
    }
    sides = strongest_pairs(rows, {"m": values, "n": other}, primary(), 200)
    assert {side: [(p["row"]["id"], p["model"]) for p in pairs] for side, pairs in sides.items()} == {
        "better": [("critical 1", "n")],
        "worse": [("critical 0", "n")],
    }


def test_the_texts_of_a_pair_are_excerpts():
    rows, values = rows_of([-0.1, 0.1])
    rows[0]["question"] = "س" * 1000
    sides = strongest_pairs(rows, {"m": values}, primary(), 200)
    assert sides["better"][0]["row"]["question"] == "س" * EXCERPT_CHARACTERS + " […]"


def test_values_of_the_primary_metric_come_from_the_first_training():
    def table(nll, due):
        return pd.DataFrame(
            {
                "id": ["a", "b"],
                "nll_sum": nll,
                "answer_tokens": [2, 4],
                "alarm_right": [1, 0],
                "alarm_due": due,
            }
        )

    arms = {"uniform": [table([4.0, 8.0], [1, 0])], "weighting": [table([3.0, 9.0], [1, 0]), None]}
    assert primary_values({"m": arms}, primary()) == {
        "m": {"a": {"uniform": 2.0, "weighting": 1.5}, "b": {"uniform": 2.0, "weighting": 2.25}}
    }
    # Of a complaint that is not urgent there is no urgency recall.
    assert list(primary_values({"m": arms}, primary("urgency_recall"))["m"]) == ["a"]


def test_pairs_are_always_among_the_answers_of_the_page():
    rows = answers(["m"], 60)
    last = rows[-1]["id"]
    assert last in ids(choose_answers(rows, 5, ROOM, {last}))
    assert len(choose_answers(rows, 5, ROOM, {last})) == 5


def test_the_page_shows_the_pairs_and_says_what_they_are():
    rows = answers(["m"], 60, labelled=60)
    html = page(answers=rows)
    found = pairs(rows, primary(), 200)
    assert [len(side) for side in found.values()] == [2, 2]
    part = html[html.index('id="pairs"') : html.index('id="differences"')]
    assert part.count('<div class="case">') == 4
    assert part.count("as people labelled it") == 4
    assert "the extremes of 60 test complaints, not typical ones" in part
    for side in found.values():
        for pair in side:
            assert pair["row"]["answers"]["m"]["weighting"] in part
    assert 'id="pairs"' not in page(answers=rows, examples=0)
