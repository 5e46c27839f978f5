import gzip
import io
import zipfile
from pathlib import Path

import openpyxl
import pytest

from pipeline.data.tables.archives import check_expansion, unpacked
from pipeline.data.tables.formats import Format
from pipeline.errors import WaznError

TABLE = "q,a\nصداع,راحة\n".encode()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A working folder and a folder for temporary files, in which nothing may be left."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    yield
    assert list(temporary.iterdir()) == []


def zipped(members, path=Path("t.zip")):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def read(path, kind, wanted=None, most_mb=1):
    with unpacked(path, "t", kind, wanted, most_mb) as (found, member):
        return found.read_bytes(), member


def refused(path, kind, wanted=None, most_mb=1):
    before = sorted(Path().rglob("*"))
    with pytest.raises(WaznError) as caught:
        read(path, kind, wanted, most_mb)
    assert sorted(Path().rglob("*")) == before, "nothing is written"
    assert str(caught.value).startswith("t")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_table_of_a_gzip_is_unpacked():
    Path("t.gz").write_bytes(gzip.compress(TABLE))
    assert read(Path("t.gz"), "gzip") == (TABLE, "")


def test_the_one_member_of_a_zip_is_unpacked_whatever_computers_add():
    members = {
        "a/": b"",
        "a/t.csv": TABLE,
        "__MACOSX/a/._t.csv": b"x",
        ".DS_Store": b"x",
        "a/.hidden": b"x",
    }
    assert read(zipped(members), "zip") == (TABLE, "a/t.csv")


@pytest.mark.parametrize("wanted", ["a/t.csv", "t.csv", "*.csv"])
def test_a_member_is_chosen_by_path_name_or_pattern(wanted):
    assert read(zipped({"a/t.csv": TABLE, "readme.txt": b"x"}), "zip", wanted) == (TABLE, "a/t.csv")


@pytest.mark.parametrize("wanted", [None, "*", "none.csv"])
def test_an_unclear_member_lists_the_names(wanted):
    text = refused(zipped({"a.csv": TABLE, "b.csv": TABLE}), "zip", wanted)
    assert "set `file` to one of: a.csv, b.csv" in text


def test_a_zip_without_files_is_refused():
    assert "no file" in refused(zipped({"a/": b""}), "zip")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "..\\x", "C:\\x"])
@pytest.mark.parametrize("wanted", [None, "t.csv"])
def test_a_path_that_leads_out_of_the_zip_is_refused(name, wanted):
    members = {name: TABLE} if wanted is None else {"t.csv": TABLE, name: b"x"}
    assert "leads out" in refused(zipped(members), "zip", wanted)


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_what_expands_beyond_the_bound_is_refused(kind):
    zeros = bytes((1 << 20) + 1)
    if kind == "gzip":
        Path("t.zip").write_bytes(gzip.compress(zeros))
    else:
        zipped({"t.csv": zeros})
    assert Path("t.zip").stat().st_size < 10_000
    assert "more than 1 MB; if you trust it, raise download.max_unpacked_mb" in refused(Path("t.zip"), kind)
    assert read(Path("t.zip"), kind, most_mb=2)[0] == zeros


def test_a_zip_that_lies_about_its_size_is_refused():
    data = bytearray(zipped({"t.csv": bytes(3 << 20)}).read_bytes())
    size = (3 << 20).to_bytes(4, "little")
    assert data.count(size) == 2
    Path("t.zip").write_bytes(bytes(data).replace(size, (9).to_bytes(4, "little")))
    assert "damaged" in refused(Path("t.zip"), "zip")


def test_a_workbook_that_expands_beyond_the_bound_is_refused():
    book = openpyxl.Workbook()
    book.active.append(["صداع " * 6000])
    buffer = io.BytesIO()
    book.save(buffer)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/image.bin", bytes(2 << 20))
    Path("t.xlsx").write_bytes(buffer.getvalue())
    check_expansion(Path("t.xlsx"), "t", Format("xlsx"), 3)
    with pytest.raises(WaznError, match="t: expands to more than 2 MB"):
        check_expansion(Path("t.xlsx"), "t", Format("xlsx"), 2)


def test_an_encrypted_member_is_named():
    data = bytearray(zipped({"t.csv": TABLE}).read_bytes())
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(start) + offset] |= 1
    Path("t.zip").write_bytes(bytes(data))
    assert "encrypted" in refused(Path("t.zip"), "zip")


def test_a_method_of_packing_that_is_not_known_is_named():
    data = bytearray(zipped({"t.csv": TABLE}).read_bytes())
    for start, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(start) + offset] = 9
    Path("t.zip").write_bytes(bytes(data))
    assert "packed by a method that is not known here" in refused(Path("t.zip"), "zip")


def test_names_of_members_that_hold_numbers_of_persons_are_not_shown():
    names = ["a/2024-01-31.csv", "20240131 b.csv", "مريم 0501234567.csv", "x@y.csv", "ص " * 30]
    text = refused(zipped(dict.fromkeys(names, TABLE)), "zip")
    assert text.endswith("one of: a/2024-01-31.csv, 20240131 b.csv, file 3, file 4, file 5")
    assert read(zipped({"مريم 0501234567.csv": TABLE}), "zip") == (TABLE, "file 1")


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_damage_is_named(kind):
    whole = gzip.compress(TABLE * 99) if kind == "gzip" else zipped({"t.csv": TABLE * 99}).read_bytes()
    for damaged in (whole[:-10], whole[:60] + b"\xff" * 8 + whole[68:]):
        Path("t.zip").write_bytes(damaged)
        assert "damaged" in refused(Path("t.zip"), kind)
