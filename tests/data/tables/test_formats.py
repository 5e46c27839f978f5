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


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1256"])
def test_the_encoding_of_text_is_found(kind_of, codec):
    assert kind_of(TEXT.encode(codec)) == Format("delimited", codec)


@pytest.mark.parametrize("order", ["le", "be"])
def test_utf16_is_read_in_either_order(kind_of, order):
    assert kind_of(f"\ufeff{TEXT}".encode(f"utf-16-{order}")).encoding == "utf-16"


def test_the_whole_file_decides_between_utf8_and_windows_1256(kind_of):
    ascii_only = b"q,a\n" + b"headache,rest\n" * 200_000  # more than one block
    assert kind_of(ascii_only).encoding == "utf-8"
    assert kind_of(ascii_only + TEXT.encode("cp1256")).encoding == "cp1256"
    assert kind_of(ascii_only + TEXT.encode()).encoding == "utf-8"


def test_a_character_across_two_blocks_is_whole(kind_of):
    assert kind_of(b"q" + "ص".encode() * (1 << 20)).encoding == "utf-8"


@pytest.mark.parametrize("place", [10, -1], ids=["in the middle", "at the end"])
def test_damaged_utf8_is_never_taken_for_windows_1256(kind_of, place):
    data = bytearray((TEXT * 50).strip().encode())
    del data[place]
    with pytest.raises(WaznError, match="UTF-8, but damaged at 1 places"):
        kind_of(bytes(data))


def test_damaged_utf16_is_refused(kind_of):
    with pytest.raises(WaznError, match="UTF-16, but damaged"):
        kind_of(TEXT.encode("utf-16")[:-1])


LETTERS = "".join(bytes([byte]).decode("cp1256") for byte in range(0xC0, 0x100))
ARABIC_LETTERS = "".join(letter for letter in LETTERS if "\u0621" <= letter <= "\u064a")


@settings(deadline=None)
@given(st.lists(st.text(ARABIC_LETTERS, min_size=2), min_size=1).map(" ".join))
@example("دَ")
def test_arabic_words_in_windows_1256_are_known_unless_they_are_utf8(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "words"
    path.write_bytes(text.encode("cp1256"))
    assert recognise(path, "t").encoding == "cp1256"


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
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), "UTF-16"),
    "UTF-32": (TEXT.encode("utf-32"), "UTF-32"),
    "Latin-1": ("question,réponse\nété,à côté\n".encode("latin-1"), "neither in UTF-8 nor in Arabic"),
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
