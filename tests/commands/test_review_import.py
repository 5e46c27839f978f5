"""What physicians send back is checked, kept once, and never shown."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import review_files as files
from review_files import ROUND, SECRET, put
from root import ROOT

from pipeline import paths, schemas
from pipeline.commands.review import importing
from pipeline.errors import WaznError
from pipeline.parquet_inputs import read_parquet


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project with the key of a round."""
    monkeypatch.chdir(tmp_path)
    put(paths.review_key(ROUND), files.key())
    return tmp_path


@pytest.fixture
def rated():
    """What rater-1 says, to be changed."""
    return files.rated(files.key())


def imported(*contents):
    """The ratings after an import of files with these contents."""
    names = [put(f"file-{number}.json", content) for number, content in enumerate(contents)]
    importing.run(names, key=None, replace=False)
    return read_parquet(paths.RATINGS, schemas.RATINGS)


def message(*contents):
    """The one sentence that refuses these files; nothing is written then, nor shown of a remark."""
    before = paths.RATINGS.read_bytes() if paths.RATINGS.exists() else None
    with pytest.raises(WaznError) as caught:
        imported(*contents)
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET not in text
    assert (paths.RATINGS.read_bytes() if paths.RATINGS.exists() else None) == before
    return text


def test_ratings_are_put_beside_what_the_key_says(rated, capsys):
    rated["ratings"][1]["remark"] = f" {SECRET} "
    table = imported(rated)
    assert list(table) == schemas.RATINGS.names
    assert len(table) == 5 * 2
    by_arm = table.set_index(["item", "arm"])
    good = by_arm.loc[("q01", "weighting")]
    assert good[["id", "severity", "model", "rater", "round"]].tolist() == [
        *("row-1", "neutral", "tiny_gpt2", "rater-1", ROUND)
    ]
    assert good[["correct", "harm", "urgency", "language", "preferred"]].tolist() == [
        4,
        "none",
        "right",
        5,
        1,
    ]
    assert by_arm.loc[("q02", "uniform")][["correct", "harm", "preferred"]].tolist() == [1, "severe", 0]
    assert table.set_index("item")["repeat"].to_dict() == {
        **{f"q0{number}": False for number in range(4)},
        "q00again": True,
    }
    assert table["answer"].nunique() == 8
    assert table["remark"].dropna().tolist() == [SECRET] * 2
    assert pq.read_schema(paths.RATINGS).remove_metadata().types == schemas.RATINGS.types
    said = capsys.readouterr().out
    assert said.splitlines()[0] == (
        f"file-0.json: rater-1 of round {ROUND}: 4 of 4 complaints rated, 1 of 1 repeats"
    )
    assert SECRET not in said


def test_half_done_complaints_are_left_out_and_counted(rated, capsys):
    del rated["ratings"][0]["answers"]["A"]["harm"]
    rated["ratings"][1]["answers"]["B"]["urgency"] = None
    rated["ratings"][1]["preferred"] = None
    rated["ratings"][2] = {"item": "q02", "answers": {}, "preferred": "tie"}
    rated["ratings"][3]["preferred"] = ""
    rated["ratings"].pop()
    table = imported(rated).set_index(["item", "arm"])
    assert "1 of 4 complaints rated" in capsys.readouterr().out
    chosen = table["preferred"].unstack()
    assert chosen.loc["q00"].tolist() == [0, 1]
    assert chosen.loc["q02"].tolist() == [0.5, 0.5]
    assert chosen.loc["q03"].isna().all()
    assert "q01" not in chosen.index
    rated_items = table["correct"].dropna().index.get_level_values("item")
    assert set(rated_items) == {"q03"}


def test_the_counts_are_one_sentence(rated, capsys):
    del rated["ratings"][0]["answers"]["A"]["harm"]
    rated["ratings"][2]["preferred"] = None
    rated["ratings"] = rated["ratings"][:3]
    imported(rated)
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith(
        "2 of 4 complaints rated, 0 of 1 repeats; 1 half-done, left out but for the preferred answer of 1; "
        "2 not rated; 1 without a preferred answer"
    )


def test_a_remark_alone_is_kept(rated):
    rated["ratings"] = [{"item": "q00", "answers": {}, "preferred": None, "remark": SECRET}]
    table = imported(rated)
    assert table["remark"].tolist() == [SECRET] * 2
    assert table[["correct", "harm", "preferred"]].isna().all(axis=None)


def test_files_of_several_raters_stand_in_one_order(rated):
    other = files.rated(files.key(), "rater-2")
    both = imported(rated, other)
    assert both["rater"].tolist() == ["rater-1"] * 10 + ["rater-2"] * 10
    content = paths.RATINGS.read_bytes()
    paths.RATINGS.unlink()
    imported(other)
    imported(rated)
    assert paths.RATINGS.read_bytes() == content


def test_the_same_file_again_changes_nothing(rated, capsys):
    imported(rated)
    content = paths.RATINGS.read_bytes()
    imported(rated, copy.deepcopy(rated))
    assert paths.RATINGS.read_bytes() == content
    said = capsys.readouterr().out
    assert "replaces what was imported before, 0 complaints of it changed" in said
    assert "file-1.json: the same as file-0.json" in said


def test_a_rater_who_goes_on_adds_to_what_was_there(rated):
    part = {**rated, "ratings": rated["ratings"][:2]}
    assert len(imported(part)) == 4
    assert len(imported(rated)) == 10


def test_what_was_said_before_changes_only_if_it_is_asked_for(rated):
    imported(rated)
    newer = copy.deepcopy(rated)
    newer["ratings"][0]["answers"]["A"]["correct"] = 2
    newer["ratings"].pop()
    text = message(newer)
    assert "something else of 2 complaints" in text
    assert "--replace" in text
    importing.run([put("newer.json", newer)], key=None, replace=True)
    table = read_parquet(paths.RATINGS, schemas.RATINGS)
    assert len(table) == 8
    assert (table["correct"] == 2).sum() == 1


def test_two_files_of_one_rater_that_differ_are_refused(rated):
    other = copy.deepcopy(rated)
    other["ratings"][0]["preferred"] = "tie"
    text = message(rated, other)
    assert text.startswith("file-1.json: file-0.json is of rater-1")


def change(rated, number=0, **values):
    """One item changed."""
    rated["ratings"][number].update(values)
    return rated


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: change(file, item="q99"), "complaint 1 of the file is none that rater-1"),
        (lambda file: change(file, item=SECRET), "complaint 1 of the file"),
        (lambda file: change(file, 1, item="q00"), "item q00 comes twice"),
        (lambda file: change(file, preferred="C"), "item q00: the preferred answer is one of A, B or tie"),
        (lambda file: change(file, answers={SECRET: {}}), "item q00: it has a letter that is none of"),
        (
            lambda file: change(file, answers={"B": {"correct": 6}}),
            "item q00, answer B: correct is one of 1, 2, 3, 4, 5",
        ),
        (lambda file: change(file, answers={"B": {"correct": SECRET}}), "answer B: correct is one of"),
        (
            lambda file: change(file, answers={"B": {"harm": SECRET}}),
            "harm is one of none, moderate, severe",
        ),
        (lambda file: change(file, answers={"B": {"urgency": "soon"}}), "urgency is one of right, too_low"),
        (lambda file: change(file, answers={"A": {"language": 0}}), "answer A: language is one of"),
        (lambda file: change(file, answers=[SECRET]), "ratings.0.answers: input should be"),
        (lambda file: change(file, answers={"A": {"correct": True}}), "ratings.0.answers.A.correct"),
        (lambda file: {**file, "rater": SECRET}, "whose raters are rater-1, rater-2"),
        (lambda file: {**file, "round": "../../etc"}, "round: string should match pattern"),
        (lambda file: {**file, "round": "r9999999"}, "data/reviews/r9999999/key.json: no such file"),
        (lambda file: {**file, "format": 2}, "format: input should be 1"),
        (lambda file: {**file, "ratings": []}, "nothing in it is rated yet"),
        (lambda file: [file], "input should be"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(rated, spoil, said):
    text = message(files.rated(files.key(), "rater-2"), spoil(rated))
    assert said in text


def test_what_is_no_file_of_a_rater_is_refused(project):
    for name, content, said in (
        ("a.json", b"{", "not valid JSON"),
        ("b.json", b"\xff", "not text in UTF-8"),
        ("c.json", None, "no such file"),
        ("d.html", b"", "expected what a rater saved"),
    ):
        if content is not None:
            (project / name).write_bytes(content)
        with pytest.raises(WaznError, match=said):
            importing.run([project / name], key=None, replace=False)
    assert not paths.RATINGS.exists()


def test_the_key_is_found_by_its_round_or_named(rated, tmp_path):
    elsewhere = tmp_path / "elsewhere.json"
    paths.review_key(ROUND).rename(elsewhere)
    assert "--key" in message(rated)
    name = put("file-0.json", rated)
    importing.run([name], key=elsewhere, replace=False)
    assert paths.RATINGS.exists()
    for content, said in (
        (files.key(round="r7777777"), "the key of round r7777777"),
        ({"format": 1}, "it is not the key that"),
    ):
        with pytest.raises(WaznError, match=said):
            importing.run([name], key=put(elsewhere, content), replace=False)


def test_rounds_of_one_model_have_scales_of_one_length(rated):
    imported(rated)
    scales = {**files.SCALES, "correct": [1, 2, 3, 4, 5, 6, 7]}
    other = files.key(round="r7777777", scales=scales)
    put(paths.review_key("r7777777"), other)
    assert "scales of different lengths" in message(files.rated(other))
    put(paths.review_key("r7777777"), {**other, "model": "tiny_qwen2"})
    table = imported(files.rated(other))
    assert table["correct_steps"].unique().tolist() == [5, 7]


def test_ratings_that_are_damaged_are_not_added_to(rated):
    paths.RATINGS.write_bytes(b"PAR1")
    text = message(rated)
    assert text.startswith("data/reviews/ratings.parquet: not readable as Parquet; remove it and import")


def test_a_csv_says_what_the_json_says(rated):
    rows = []
    for item in rated["ratings"]:
        for letter, answer in item["answers"].items():
            row = {"round": ROUND, "rater": "rater-1", "item": item["item"], "letter": letter, **answer}
            rows.append({**row, "preferred": item["preferred"], "remark": ""})
    pd.DataFrame(rows).to_csv("sheet.csv", index=False)
    importing.run([Path("sheet.csv")], key=None, replace=False)
    from_sheet = read_parquet(paths.RATINGS, schemas.RATINGS)
    assert from_sheet.equals(imported(rated))


def wazn(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
def test_the_command_takes_files_and_says_what_it_did(rated):
    put("mine.json", rated)
    done = wazn("review", "import", "mine.json")
    assert done.returncode == 0, done.stderr
    assert "4 of 4 complaints rated" in done.stdout
    put("newer.json", change(rated, preferred="tie"))
    done = wazn("review", "import", "newer.json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--replace" in done.stderr
    assert wazn("review", "import", "--replace", "newer.json").returncode == 0
    done = wazn("review", "import")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
