import hashlib
from pathlib import Path

import pytest

from pipeline.data.sources import read_source
from pipeline.errors import WaznError

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = {"question": "الشكوى", "answer": "رد الطبيب"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder's data/own, with one table in it."""
    monkeypatch.chdir(tmp_path)
    path = Path("data/own")
    (path / "sub").mkdir(parents=True)
    text = "رقم,رد الطبيب,الشكوى\n1,ماء,صداع\n2,,حمى\n"
    (path / "t.csv").write_text(text, encoding="utf-8")
    (path / "sub" / "t.csv").write_text(text, encoding="utf-8")
    Path("outside.csv").write_text(text, encoding="utf-8")
    return path


def refused(*arguments):
    with pytest.raises(WaznError) as caught:
        read_source("download.pairs.0", *arguments)
    return str(caught.value)


def test_rows_have_our_columns_with_source_and_line(folder):
    source = read_source("download.pairs.0", "t.csv", folder, COLUMNS)
    assert source.rows.to_dict("records") == [
        {"source": "t.csv", "line": 2, "question": "صداع", "answer": "ماء"},
        {"source": "t.csv", "line": 3, "question": "حمى", "answer": ""},
    ]


def test_provenance_identifies_the_file(folder):
    source = read_source("download.pairs.0", "t.csv", folder, COLUMNS)
    assert source.provenance() == {
        "source": "t.csv",
        "sha256": hashlib.sha256((folder / "t.csv").read_bytes()).hexdigest(),
        "rows": 2,
        "columns": ["رقم", "رد الطبيب", "الشكوى"],
    }


@pytest.mark.parametrize("name", ["t.csv", "data/own/t.csv", "sub/t.csv", "data/own/sub/t.csv"])
def test_a_path_is_given_with_or_without_the_folder(folder, name):
    assert len(read_source("download.pairs.0", name, folder, COLUMNS).rows) == 2


def test_an_absolute_path_in_the_folder_is_taken(folder):
    name = str((folder / "t.csv").resolve())
    assert len(read_source("download.pairs.0", name, folder, COLUMNS).rows) == 2


def test_one_column_may_serve_twice(folder):
    source = read_source("download.labelled.0", "t.csv", folder, {"text": "الشكوى", "label": "الشكوى"})
    assert source.rows["text"].tolist() == source.rows["label"].tolist() == ["صداع", "حمى"]


def test_sample_is_the_embedded_data_whatever_the_folder(folder, monkeypatch):
    monkeypatch.chdir(ROOT)
    columns = {"question": "question", "answer": "answer"}
    source = read_source("download.pairs.0", "sample", Path("no/such/folder"), columns)
    assert len(source.rows) >= 400
    assert set(source.rows["source"]) == {"sample"}


def test_a_missing_column_lists_the_columns(folder):
    text = refused("t.csv", folder, {**COLUMNS, "answer": "الرد"})
    assert "'الرد'" in text
    assert "download.pairs.0.answer" in text
    assert "رقم, رد الطبيب, الشكوى" in text
    assert not any(cell in text for cell in ("صداع", "حمى", "ماء"))


@pytest.mark.parametrize("name", ["outside.csv", "../../outside.csv", "../own/../../outside.csv"])
def test_a_path_outside_the_folder_is_refused(folder, name):
    text = refused(name, folder, COLUMNS)
    assert "outside download.folder" in text
    assert "download.pairs.0.source" in text


def test_a_link_out_of_the_folder_is_refused(folder):
    (folder / "link.csv").symlink_to(Path("outside.csv").resolve())
    assert "outside download.folder" in refused("link.csv", folder, COLUMNS)


@pytest.mark.parametrize("name", ["none.csv", "sub", "", "data/own"])
def test_a_path_that_is_no_file_is_named(folder, name):
    text = refused(name, folder, COLUMNS)
    assert "download.pairs.0.source" in text
    assert "data/own" in text


def test_an_unreadable_file_is_named_without_its_text(folder):
    (folder / "bad.jsonl").write_text('{"q": "مريم"\n', encoding="utf-8")
    text = refused("bad.jsonl", folder, COLUMNS)
    assert "bad.jsonl, line 1" in text
    assert "مريم" not in text
