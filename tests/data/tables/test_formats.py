import gzip
import io
import json
import random
import sqlite3
import zipfile

import openpyxl
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.data.tables.formats import Format, recognise
from pipeline.errors import WaznError

TEXT = "السؤال,الجواب\nصداع شديد منذ يومين،راحة,حمى\n"
SECRET = "مريم"


@pytest.fixture
def kind_of(tmp_path):
    """What bytes are, in a file whose name says nothing."""

    def recognised(data):
        path = tmp_path / "t"
        path.write_bytes(data)
        return recognise(path, "t")

    return recognised


def workbook():
    buffer = io.BytesIO()
    openpyxl.Workbook().save(buffer)
    return buffer.getvalue()


def parquet():
    buffer = io.BytesIO()
    pd.DataFrame({"q": ["صداع"]}).to_parquet(buffer)
    return buffer.getvalue()


def database():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (q TEXT)")
    return connection.serialize()


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_binary_formats_are_known_by_their_bytes(kind_of):
    assert kind_of(workbook()) == Format("xlsx")
    assert kind_of(parquet()) == Format("parquet")
    assert kind_of(database()) == Format("sqlite")
    assert kind_of(gzip.compress(b"x")) == Format("gzip")
    assert kind_of(zipped(t="x")) == Format("zip")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_whatever_is_utf8_is_read_as_utf8(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "utf8"
    path.write_bytes(b"q,a\n" + text.encode())
    assert recognise(path, "t") == Format("delimited", "utf-8")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"q": 1}\n{"q": 2}\n', "jsonl"),
        ('\n  {"q": 1}\n\n{"q": 2}', "jsonl"),
        ('{"q": 1}', "jsonl"),
        ('{"q": 1}\n{"q": 2', "jsonl"),
        ('[{"q": 1}]', "json"),
        ('[\n  {"q": 1},\n  {"q": 2}\n]', "json"),
        ('{"rows": [{"q": 1}]}', "json"),
        ('{\n  "rows": [{"q": 1}]\n}', "json"),
        ("q,a\n1,2\n", "delimited"),
        ("q\ta\n", "delimited"),
        ("q|a\n1|2\n", "delimited"),
        ("sep=;\nq;a\n1;2\n", "delimited"),
        ("question\nصداع\n", "delimited"),
        ("القسم: ملاحظات,الرد\nعام: صداع,ماء\n", "delimited"),
    ],
)
def test_kinds_of_text_are_told_apart(kind_of, text, kind):
    assert kind_of(text.encode()).kind == kind
    assert kind_of(text.encode("utf-16")).kind == kind


UNREADABLE = {
    "nothing": (b"", "empty"),
    "white space": (b"\xef\xbb\xbf \n\n", "empty"),
    "HTML": (f"<!DOCTYPE html><html><p>{SECRET}".encode(), "an HTML page instead of a table"),
    "HTML in capitals": (b"\n <HTML><body>", "an HTML page instead of a table"),
    "XML": (b"<?xml version='1.0'?><rows/>", "XML"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old .xls workbook"),
    "PDF": (b"%PDF-1.7\n", "a PDF"),
    "bzip2": (b"BZh91AY&SY", "bzip2"),
    "xz": (b"\xfd7zXZ\x00" + bytes(10), "xz"),
    "tar": (b"t.csv".ljust(257, b"\0") + b"ustar\0" + bytes(300), "tar archive"),
    "Arrow": (b"ARROW1\0\0", "Arrow"),
    "a cut zip": (zipped(t="x")[:20], "damaged zip"),
    "text document": (zipped(**{"[Content_Types].xml": "", "word/document.xml": ""}), "Office document"),
    "OpenDocument": (
        zipped(mimetype="application/vnd.oasis.opendocument.spreadsheet", **{"content.xml": ""}),
        "OpenDocument",
    ),
    "Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n",
        "a pointer of Git LFS, the file itself is not here; run `git lfs pull`",
    ),
    "git-annex": (b"/annex/objects/MD5E-s123--4d7a.csv\n", "run `git annex get`"),
    "a link of git-annex": (
        b"../.git/annex/objects/xx/yy/MD5E-s1--4d.csv/MD5E-s1--4d.csv\n",
        "git annex get",
    ),
    "DVC": (b"outs:\n- md5: 4d7a21\n  size: 3\n  path: t.csv\n", "run `dvc pull`"),
    "RTF": (b"{\\rtf1\\ansi\\ansicpg1256 {\\fonttbl}}", "a text document (RTF); take the table out"),
    "YAML": (f"---\nrows:\n- q: {SECRET}\n".encode(), "a YAML file"),
    "YAML without a start": (f"- q: {SECRET}\n  a: {SECRET}\n- q: x\n  a: y\n".encode(), "a YAML file"),
    "SQL": (b"-- MySQL dump 10.13\n\nCREATE TABLE `t` (q text);\n", "SQL statements; load them"),
    "SQL, rows only": (f"INSERT INTO t VALUES ('{SECRET}', 'x');\n".encode(), "SQL statements"),
    "Markdown": (f"| q | a |\n|---|:--|\n| {SECRET} | x |\n".encode(), "a Markdown table"),
    "text": (
        (f"هذا ما كتبته {SECRET} عن الصداع الذي تشكو منه منذ شهر\n" * 3).encode(),
        "text without a table",
    ),
    "Feather": (b"FEA1\0\0", "Feather"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "pickle": (b"\x80\x04\x95\x01", "pickle, which could run code"),
    "picture": (b"\x89PNG\r\n\x1a\n", "a picture"),
    "noise": (random.Random(0).randbytes(5000), "not a table"),
}


@pytest.mark.parametrize("content", UNREADABLE)
def test_what_is_no_table_is_named_with_what_to_do(kind_of, content):
    data, expected = UNREADABLE[content]
    with pytest.raises(WaznError) as caught:
        kind_of(data)
    text = str(caught.value)
    assert expected in text
    assert text.startswith("t: ")
    assert "\n" not in text
    assert SECRET not in text


@settings(deadline=None)
@given(st.binary(min_size=1))
@example(b"PK\x03\x04")
@example(b"PK\x05\x06" + bytes(18))
@example(b"[" * 100_000)
@example(json.dumps([1]).encode())
def test_any_bytes_are_recognised_or_refused_in_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    try:
        assert recognise(path, "t").kind
    except WaznError as error:
        assert "\n" not in str(error)
