"""Chat and instruction data, from files to pairs."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.data import LabelledSource, PairSource
from pipeline.data.raw_tables import open_labelled, open_pairs
from pipeline.data.tables.dialogues import exchanges
from pipeline.data.tables.fetching import Patience
from pipeline.data.tables.sources import Limits
from pipeline.errors import WaznError

SECRET = "مريم"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def turns(*texts, keys=("role", "content"), sides=("user", "assistant")):
    return [{keys[0]: sides[n % 2], keys[1]: text} for n, text in enumerate(texts)]


def opened(name, labelled=False, **keys):
    entry, opener = (LabelledSource, open_labelled) if labelled else (PairSource, open_pairs)
    limits = Limits(Path(), 10, Patience(1, 0))
    with opener("download.pairs.0", entry(source=name, **keys), limits) as source:
        rows = pd.concat(source.batches())
        return rows, source.provenance(len(rows))


def pairs(name, **keys):
    rows, _ = opened(name, **keys)
    return list(rows[["line", "question", "answer"]].itertuples(index=False, name=None))


def written(kind, rows):
    """A file of some format with the rows, lists as the format has them."""
    if kind == "jsonl":
        Path("t").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    elif kind == "json":
        Path("t").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    elif kind == "parquet":
        pd.DataFrame(rows).to_parquet("t")
    else:
        texts = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows]
        frame = pd.DataFrame(texts)
        if kind == "csv":
            frame.to_csv("t", index=False)
        elif kind == "xlsx":
            frame.to_excel("t.xlsx", index=False)
            Path("t.xlsx").rename("t")
        else:
            with closing(sqlite3.connect("t")) as connection:
                frame.to_sql("t", connection, index=False)
    return "t"


KINDS = ["jsonl", "json", "parquet", "csv", "xlsx", "sqlite"]
SHAPES = {
    "messages": {},
    "conversations": {"keys": ("from", "value"), "sides": ("human", "gpt")},
    "الحوار": {"keys": ("role", "text"), "sides": ("المريض", "الطبيب")},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_exchange_of_a_dialogue_is_a_pair(kind, name):
    rows = [
        {"id": "1", name: turns("صداع", "راحة", "كم يوما؟", "يومان", **SHAPES[name])},
        {"id": "2", name: turns("حمى", "ماء", **SHAPES[name])},
    ]
    first = 2 if kind in ("csv", "xlsx") else 1
    expected = [
        (first, "صداع", "راحة"),
        (first, "كم يوما؟", "يومان"),
        (first + 1, "حمى", "ماء"),
    ]
    assert pairs(written(kind, rows)) == expected
    assert pairs("t", messages=name) == expected
    _, provenance = opened("t")
    assert (provenance["records"], provenance["rows"]) == (2, 3)
    assert provenance["mapped"] == {"question": name, "answer": name}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_one_dialogue_is_one_record(kind):
    assert pairs(written(kind, [{"messages": turns("صداع", "راحة")}]))[0][1:] == ("صداع", "راحة")
    assert opened("t")[1]["records"] == 1


def test_one_object_that_is_a_dialogue_is_one_record():
    Path("t").write_text(json.dumps({"id": 7, "messages": turns("صداع", "راحة")}, indent=1))
    assert pairs("t") == [(1, "صداع", "راحة")]


def roles(*names):
    return [{"role": name, "content": f"{name[0]}{number}"} for number, name in enumerate(names)]


@pytest.mark.parametrize(
    ("dialogue", "expected"),
    [
        (roles("system", "user", "assistant"), [("u1", "a2")]),
        (roles("user", "user", "assistant", "assistant"), [("u0\n\nu1", "a2\n\na3")]),
        (roles("assistant", "user", "assistant"), [("", "a0"), ("u1", "a2")]),
        (roles("user", "assistant", "user"), [("u0", "a1"), ("u2", "")]),
        (roles("user", "tool", "assistant"), [("u0", "a2")]),
        (roles("User", " ASSISTANT "), [("U0", " 1")]),
        (roles("Patient:", "الطَبيب\u200f"), [("P0", "ا1")]),
        (roles("system"), [("", "")]),
        ([], [("", "")]),
        (None, [("", "")]),
        ("", [("", "")]),
        ([{"role": "user", "content": None}, {"role": "assistant", "content": "ا"}], [("", "ا")]),
        ([{"role": "user", "content": [{"type": "text", "text": "ا"}, {"type": "image"}]}], [("ا", "")]),
        ({"role": ["user", "assistant"], "content": ["س", "ج"]}, [("س", "ج")]),
    ],
)
def test_turns_become_exchanges(dialogue, expected):
    assert exchanges(dialogue) == expected


SAID = st.tuples(st.sampled_from(["user", "assistant"]), st.text("اب ج", min_size=1).filter(str.strip))


@settings(deadline=None)
@given(st.lists(SAID))
def test_nothing_that_is_said_is_lost_and_the_order_stays(said):
    pairs = exchanges([{"from": role, "value": text} for role, text in said])
    found = [
        (role, text)
        for pair in pairs
        for role, texts in zip(("user", "assistant"), pair, strict=True)
        for text in texts.split("\n\n")
        if text
    ]
    assert found == said
    assert len(pairs) == 1 or all(question for question, _ in pairs[1:])


@pytest.mark.parametrize(
    "dialogue",
    [
        SECRET,
        [SECRET],
        f'["{SECRET}"]',
        "[" * 100_000,
        "5",
        {"role": "user", "content": SECRET},
        [{"role": SECRET, "content": SECRET}],
        [{"role": "user", "content": {"a": SECRET}}],
        [{"role": "user"}],
        {"role": ["user"], "content": ["a", SECRET]},
    ],
    ids=range(10),
)
def test_what_is_no_dialogue_is_refused_by_row_and_column(dialogue):
    written("json", [{"messages": turns("صداع", "راحة")}, {"messages": dialogue}])
    with pytest.raises(WaznError, match="t, row 2, column 'messages': expected a dialogue") as caught:
        opened("t")
    assert SECRET not in str(caught.value)


def test_of_labelled_dialogues_the_first_question_is_the_text():
    dialogue = [{"role": "system", "content": "x"}, *turns("صداع", "راحة", "شكرا", "عفوا")]
    rows, provenance = opened(
        written("jsonl", [{"messages": dialogue, "severity": "low"}] * 2), labelled=True
    )
    assert rows[["text", "label"]].values.tolist() == [["صداع", "low"]] * 2
    assert provenance["mapped"] == {"text": "messages", "label": "severity"}


def test_a_question_and_an_answer_go_before_dialogues():
    written("jsonl", [{"question": "س", "answer": "ج", "messages": turns("صداع", "راحة")}] * 2)
    assert pairs("t")[0] == (1, "س", "ج")
    assert pairs("t", messages="messages")[0] == (1, "صداع", "راحة")


def test_a_prompt_beside_dialogues_is_part_of_them():
    written("jsonl", [{"prompt": "صداع", "messages": turns("صداع", "راحة")}] * 2)
    assert pairs("t")[0] == (1, "صداع", "راحة")


def test_named_dialogues_take_no_question_beside_them():
    with pytest.raises(ValueError, match="question is part of the dialogues that `messages` names"):
        PairSource(source="t", messages="m", question="q")


# ---- instruction data ---------------------------------------------------------------------------


def instruction(*rows):
    return written(
        "jsonl", [dict(zip(("instruction", "input", "output"), row, strict=True)) for row in rows]
    )


def questions(name, **keys):
    return [question for _, question, _ in pairs(name, **keys)]


def test_an_instruction_and_its_input_are_the_question():
    instruction(("عندي صداع", "", "راحة"), ("ما العلاج؟", "حمى منذ يومين", "ماء"), ("سعال", None, "عسل"))
    assert pairs("t") == [
        (1, "عندي صداع", "راحة"),
        (2, "ما العلاج؟\n\nحمى منذ يومين", "ماء"),
        (3, "سعال", "عسل"),
    ]
    assert opened("t")[1]["mapped"] == {"question": "instruction + input", "answer": "output"}


def test_an_instruction_that_many_rows_share_is_no_part_of_the_question():
    several = ["أجب كطبيب", "أنت طبيب، أجب المريض"]
    rows = [(several[n % 2], f"شكوى {n}", "ج") for n in range(8)]
    rows += [("ما رأيك؟", "شكوى أخيرة", "ج"), (several[0], "", "ج")]
    instruction(*rows)
    expected = [f"شكوى {n}" for n in range(8)] + ["ما رأيك؟\n\nشكوى أخيرة", several[0]]
    assert questions("t") == expected
    assert questions("t", question=["instruction", "input"]) == expected


def test_a_part_that_is_named_alone_is_taken_alone():
    instruction(("عندي صداع", "منذ يومين", "راحة"), ("حمى", "", "ماء"))
    assert questions("t", question="instruction") == ["عندي صداع", "حمى"]
    assert questions("t", question="input") == ["منذ يومين", ""]


def test_columns_that_are_named_together_are_joined():
    frame = pd.DataFrame({"العنوان": ["صداع", "", "سعال"], "النص": ["شديد", "حمى", " "], "الرد": "ج"})
    frame.to_csv("t", index=False)
    assert questions("t", question=["العنوان", "النص"]) == ["صداع\n\nشديد", "حمى", "سعال"]
    assert [line for line, _, _ in pairs("t", question=["العنوان", "النص"])] == [2, 3, 4]
    with pytest.raises(WaznError, match=r"no column 'title' \(download.pairs.0.question\)"):
        opened("t", question=["title", "النص"])


def test_a_column_of_two_roles_is_refused_where_one_is_a_list():
    instruction(("عندي صداع", "منذ يومين", "راحة"))
    with pytest.raises(WaznError, match="is named as question and as answer"):
        opened("t", question=["instruction", "output"], answer="output")


def test_labelled_texts_are_joined_likewise():
    written("jsonl", [{"instruction": f"س{n}", "input": f"{n}", "label": "low"} for n in range(2)])
    rows, _ = opened("t", labelled=True)
    assert rows["text"].tolist() == ["س0\n\n0", "س1\n\n1"]
