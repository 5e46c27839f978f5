import gzip
import hashlib
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from servers import content, of_json, redirect, serving

from pipeline.config.data import PairSource
from pipeline.data.tables import dataverse, fetching
from pipeline.data.tables.fetching import Patience
from pipeline.data.tables.sources import Limits, open_source
from pipeline.errors import WaznError

ROOT = Path(__file__).resolve().parents[3]
KEY = "download.pairs.0"
NAMED = {"question": "الشكوى", "answer": "رد الطبيب"}
TABLE = "رقم,رد الطبيب,الشكوى\n1,ماء,صداع\n2,,حمى\n".encode()
SHA = hashlib.sha256(TABLE).hexdigest()
LIMITS = Limits(folder=Path("data/own"), max_mb=1, patience=Patience(timeout_s=2, retries=0))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder's data/own, with one table in it."""
    monkeypatch.chdir(tmp_path)
    path = Path("data/own")
    (path / "sub").mkdir(parents=True)
    (path / "t.csv").write_bytes(TABLE)
    (path / "sub" / "t.csv").write_bytes(TABLE)
    Path("outside.csv").write_bytes(TABLE)
    return path


@pytest.fixture
def server(folder):
    with serving() as found:
        yield found


def read(source, asked=NAMED, **keys):
    """Rows and provenance of a source."""
    entry = PairSource(source=source, **keys)
    with open_source(KEY, entry, {**asked, "specialty": None}, ["specialty"], LIMITS) as opened:
        rows = pd.concat(opened.batches())
        return rows, opened.provenance(len(rows))


def refused(source, asked=NAMED, **keys):
    with pytest.raises(WaznError) as caught:
        read(source, asked, **keys)
    text = str(caught.value)
    assert "\n" not in text
    assert not any(cell in text for cell in ("صداع", "حمى", "ماء"))
    return text


def test_rows_have_our_columns_with_source_and_line(folder):
    rows, _ = read("t.csv")
    assert rows.to_dict("records") == [
        {"source": "t.csv", "line": 2, "question": "صداع", "answer": "ماء"},
        {"source": "t.csv", "line": 3, "question": "حمى", "answer": ""},
    ]


def test_provenance_identifies_the_file_and_says_which_column_is_what(folder):
    assert read("t.csv")[1] == {
        "source": "t.csv",
        "sha256": SHA,
        "records": 2,
        "rows": 2,
        "columns": ["رقم", "رد الطبيب", "الشكوى"],
        "mapped": NAMED,
    }


def test_columns_with_usual_names_need_not_be_named(folder):
    _, provenance = read("t.csv", {"question": None, "answer": None})
    assert provenance["mapped"] == NAMED


@pytest.mark.parametrize("name", ["t.csv", "data/own/t.csv", "sub/t.csv", "data/own/sub/t.csv"])
def test_a_path_is_given_with_or_without_the_folder(folder, name):
    assert len(read(name)[0]) == 2


def test_an_absolute_path_in_the_folder_is_taken(folder):
    assert len(read(str((folder / "t.csv").resolve()))[0]) == 2


def test_one_column_may_serve_twice(folder):
    rows, _ = read("t.csv", {"question": "الشكوى", "answer": "الشكوى"})
    assert rows["question"].tolist() == rows["answer"].tolist() == ["صداع", "حمى"]


def test_sample_is_the_embedded_data_whatever_the_folder(folder, monkeypatch):
    monkeypatch.chdir(ROOT)
    rows, _ = read("sample", {"question": "question", "answer": "answer"})
    assert len(rows) >= 400
    assert set(rows["source"]) == {"sample"}
    assert (rows["specialty"] != "").all()


def test_a_missing_column_lists_the_columns(folder):
    text = refused("t.csv", {**NAMED, "answer": "الرد"})
    assert "no column 'الرد' (download.pairs.0.answer)" in text
    assert "رقم, رد الطبيب, الشكوى" in text


@pytest.mark.parametrize("name", ["outside.csv", "../../outside.csv", "../own/../../outside.csv"])
def test_a_path_outside_the_folder_is_refused(folder, name):
    text = refused(name)
    assert "outside download.folder" in text
    assert "download.pairs.0.source" in text


def test_a_link_out_of_the_folder_is_refused(folder):
    (folder / "link.csv").symlink_to(Path("outside.csv").resolve())
    assert "outside download.folder" in refused("link.csv")


@pytest.mark.parametrize("name", ["none.csv", "sub", "data/own"])
def test_a_path_that_is_no_file_is_named(folder, name):
    text = refused(name)
    assert "download.pairs.0.source" in text
    assert "data/own" in text


def test_a_local_file_has_to_have_its_hash(folder):
    assert read("t.csv", hash=f"sha256:{SHA}")[1]["sha256"] == SHA
    text = refused("t.csv", hash=f"sha256:{SHA[::-1]}")
    assert "download.pairs.0.hash" in text
    assert SHA[::-1] in text


def test_a_table_in_gzip_is_read_and_its_hash_is_of_the_gzip(folder):
    packed = gzip.compress(TABLE, mtime=0)
    (folder / "t").write_bytes(packed)
    rows, provenance = read("t", hash=f"md5:{hashlib.md5(packed).hexdigest()}")
    assert len(rows) == 2
    assert provenance["sha256"] == hashlib.sha256(packed).hexdigest()


def test_a_member_of_a_zip_is_chosen_and_noted(folder):
    with zipfile.ZipFile(folder / "t.zip", "w") as archive:
        archive.writestr("a/one.csv", TABLE)
        archive.writestr("two.csv", TABLE.replace("صداع".encode(), "سعال".encode()))
    assert "a/one.csv, two.csv" in refused("t.zip")
    rows, provenance = read("t.zip", file="two*")
    assert rows["question"].tolist() == ["سعال", "حمى"]
    assert set(rows["source"]) == {"t.zip#two*"}, "so that a row of one member is not taken for another's"
    assert provenance["file"] == "two.csv"


def test_a_member_of_what_is_no_archive_is_refused(folder):
    assert "this is no archive" in refused("t.csv", file="two.csv")


def database(path, **tables):
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, (columns, *rows) in tables.items():
            connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


UNNAMED = {"question": None, "answer": None}
QA = ("question", "answer")


def test_a_table_of_a_database_is_chosen(folder):
    database(folder / "t.db", a=(QA, ("صداع", "راحة")), b=(QA, ("حمى", "ماء")))
    assert read("t.db", UNNAMED, table="b")[0]["question"].tolist() == ["حمى"]
    assert "2 tables have the columns; set `table` to one of: a, b" in refused("t.db", UNNAMED)


def test_the_one_table_that_has_the_columns_and_rows_is_read(folder):
    database(folder / "t.db", a=(("id", "x"), (1, 2)), b=(QA, ("حمى", "ماء")), c=(QA,), d=(("question",),))
    rows, provenance = read("t.db", UNNAMED)
    assert rows["question"].tolist() == ["حمى"]
    assert provenance["table"] == "b"


def test_where_no_table_has_the_columns_the_first_says_why(folder):
    database(folder / "t.db", a=(("id", "x"), (1, 2)), b=(("id", "y"), (1, 2)))
    text = refused("t.db", UNNAMED)
    assert "none of its 2 tables has the columns" in text
    assert "no column known as question" in text


def test_a_header_below_a_title_is_known_by_the_names_given(folder):
    table = pd.DataFrame([["رقم الملف", "كلام", "قول"], [1, "صداع", "راحة"]], columns=["تقرير", None, None])
    table.to_excel(folder / "t.xlsx", index=False)
    rows, _ = read("t.xlsx", {"question": "كلام", "answer": "قول"})
    assert rows[["line", "question", "answer"]].values.tolist() == [[2, "صداع", "راحة"]]


def test_columns_that_may_be_texts_are_noted_by_their_places(folder):
    (folder / "t.csv").write_text("مريم علي,0501234567,سؤال,كلام\n1,2,صداع,راحة\n", encoding="utf-8")
    _, provenance = read("t.csv", {"question": None, "answer": "كلام"})
    assert provenance["columns"] == ["column 1", "column 2", "سؤال", "كلام"]


def test_a_name_that_cannot_be_written_is_noted_without_what_cannot(folder):
    row = '{"question\\ud83d": "صداع", "Answer\\u200f\\n": "راحة"}'
    (folder / "t.jsonl").write_text(f"{row}\n{row}\n", encoding="utf-8")
    rows, provenance = read("t.jsonl", UNNAMED)
    assert rows["answer"].tolist() == ["راحة"] * 2
    assert provenance["columns"] == ["question", "Answer"]
    assert provenance["mapped"] == {"question": "question", "answer": "Answer"}


def test_an_unreadable_file_is_named_without_its_text(folder):
    (folder / "bad.jsonl").write_text('{"q": 1}\n{"q": "صداع"\n', encoding="utf-8")
    assert "bad.jsonl, line 2" in refused("bad.jsonl")


def test_a_file_of_a_server_is_read_and_its_address_noted(server):
    server.answers |= {"/old": redirect("/t%20x.csv"), "/t%20x.csv": content(TABLE)}
    rows, provenance = read(server.url("/t%20x.csv"))
    assert set(rows["source"]) == {server.url("/t%20x.csv")}
    assert provenance["url"] == server.url("/t%20x.csv")
    assert provenance["file"] == "t x.csv"
    assert provenance["sha256"] == SHA
    assert len(read(server.url("/old"))[0]) == 2


def test_a_zip_of_a_server_is_read(server):
    with zipfile.ZipFile("t.zip", "w") as archive:
        archive.writestr("t.csv", TABLE)
    server.answers["/t"] = content(Path("t.zip").read_bytes())
    rows, provenance = read(server.url("/t"))
    assert len(rows) == 2
    assert provenance["file"] == "t.csv"


def test_a_page_in_place_of_a_file_is_named_with_its_address(server):
    server.answers["/t.csv"] = content(b"<!doctype html><title>Sign in</title>")
    text = refused(server.url("/t.csv"))
    assert text.startswith(server.url("/t.csv"))
    assert "an HTML page instead of a table" in text


def test_a_file_of_a_doi_is_chosen_checked_and_noted(server, monkeypatch):
    md5 = hashlib.md5(TABLE).hexdigest()
    file = {"label": "ds5b.csv", "dataFile": {"id": 5, "filename": "ds5b.csv", "md5": md5}}
    listing = "/api/datasets/:persistentId/versions/:latest-published"
    server.answers |= {
        listing: of_json({"data": {"files": [file, {**file, "label": "other.csv"}]}}),
        "/api/access/datafile/5": content(TABLE),
    }
    with serving() as resolver:
        monkeypatch.setattr(dataverse, "RESOLVER", resolver.url(""))
        resolver.answers["/10.7910/DVN/Y2JBEZ"] = redirect(server.url("/citation"))
        for _ in range(2):
            rows, provenance = read("doi:10.7910/DVN/Y2JBEZ", file="ds5b.csv")
    assert len(rows) == 2
    assert provenance["doi"] == "doi:10.7910/DVN/Y2JBEZ"
    assert provenance["file"] == "ds5b.csv"
    assert server.count("/api/access/datafile/5") == 1, "its md5 is known, so the kept file serves"
    assert [path.read_bytes() for path in fetching.FOLDER.iterdir()] == [TABLE]
