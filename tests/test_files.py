"""Files that are either complete or absent."""

import errno
import json
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.errors import WaznError
from pipeline.files import (
    parquet_writer,
    replacing,
    replacing_folder,
    write_csv,
    write_json,
    write_parquet,
)

TABLE = pd.DataFrame({"id": ["a", "b"], "نص": ["صداع", "ألم"], "value": [1 / 3, 2e-7]})


def left_over(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


def test_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "deep" / "er" / "file.txt"
    for content in ("old", "new"):
        with replacing(path) as temporary:
            assert temporary.parent == path.parent, "only within one folder is replacing atomic"
            temporary.write_text(content, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "new"
    assert left_over(path.parent) == []


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyboardInterrupt])
def test_block_that_fails_leaves_the_old_file_and_nothing_else(error, tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half of the n", encoding="utf-8")
        raise error
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_block_that_fails_makes_no_file(tmp_path):
    with pytest.raises(RuntimeError), replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_new_folder_takes_the_place_of_the_old_one_with_all_that_was_in_it(tmp_path):
    path = tmp_path / "deep" / "folder"
    for name in ("old", "new"):
        with replacing_folder(path) as temporary:
            assert temporary.parent == path.parent
            assert list(temporary.iterdir()) == []
            (temporary / name).write_text(name, encoding="utf-8")
    assert [p.name for p in path.iterdir()] == ["new"]
    assert left_over(path.parent) == []


@pytest.mark.parametrize("error", [RuntimeError, WaznError, KeyboardInterrupt])
def test_block_that_fails_leaves_the_old_folder_and_nothing_else(error, tmp_path):
    path = tmp_path / "folder"
    with replacing_folder(path) as temporary:
        (temporary / "old").touch()
    with pytest.raises(error), replacing_folder(path) as temporary:
        (temporary / "half").touch()
        raise error("")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["folder", "folder/old"]


def test_folder_that_a_killed_run_left_half_written_is_not_taken_over(tmp_path):
    (tmp_path / ".folder.part").mkdir()
    (tmp_path / ".folder.part" / "half").touch()
    with replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "new").touch()
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["new"]
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), ValueError("I/O error: No space (os error 28)")],
    ids=["Python", "Rust"],
)
def test_full_disk_within_a_folder_is_one_sentence(error, tmp_path):
    path = tmp_path / "folder"
    sentence = rf"^{path}: could not be written \(No space left on device\)"
    with pytest.raises(WaznError, match=sentence), replacing_folder(path) as temporary:
        (temporary / "half").touch()
        raise error
    assert list(tmp_path.iterdir()) == []


WRITERS = {
    "json": lambda path: write_json(path, {"a": "x" * 100_000}),
    "csv": lambda path: write_csv(path, TABLE),
    "parquet": lambda path: write_parquet(path, TABLE),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_full_disk_is_one_sentence_and_leaves_the_old_file(writer, tmp_path):
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    # /dev/full takes nothing: what is written through this link meets a full disk.
    (tmp_path / ".file.part").symlink_to("/dev/full")
    with pytest.raises(WaznError, match=rf"^{path}: could not be written \(.*[Nn]o space left") as caught:
        WRITERS[writer](path)
    assert "\n" not in str(caught.value)
    assert path.read_text(encoding="utf-8") == "old"
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_read_only_disk_is_one_sentence(writer, tmp_path, monkeypatch):
    def refuse(self, *_, **__):
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    path = tmp_path / "folder" / "file"
    with pytest.raises(WaznError, match=f"^{path}: could not be written .*Read-only file system"):
        WRITERS[writer](path)


def test_folder_whose_name_a_file_has_is_one_sentence(tmp_path):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    path = tmp_path / "taken" / "deep" / "file.json"
    with pytest.raises(WaznError, match=f"^{path}: could not be written"):
        write_json(path, {})


def test_folder_where_a_file_should_be_is_one_sentence(tmp_path):
    (tmp_path / "file.json").mkdir()
    with pytest.raises(WaznError, match=r"file\.json: could not be written"):
        write_json(tmp_path / "file.json", {})
    assert left_over(tmp_path) == []


def test_json_is_readable_utf8_in_the_order_given(tmp_path):
    values = {"ب": 1, "أ": [None, 0.5]}
    write_json(tmp_path / "a.json", values)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "ب" in text
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["ب", "أ"]
    assert json.loads(text) == values


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_number_that_json_lacks(value, tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"nll": value})
    assert list(tmp_path.iterdir()) == []


def test_csv_repeats_byte_for_byte(tmp_path):
    write_csv(tmp_path / "a.csv", TABLE)
    expected = "id,نص,value\na,صداع,0.333333\nb,ألم,2e-07\n"
    assert (tmp_path / "a.csv").read_bytes() == expected.encode()


def test_parquet_comes_back_as_it_was_without_its_index(tmp_path):
    write_parquet(tmp_path / "a.parquet", TABLE.set_index(pd.Index([7, 3])))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), TABLE)


def test_parquet_written_table_by_table_is_there_only_once_it_is_complete(tmp_path):
    path, table = tmp_path / "a.parquet", pa.table({"id": ["a", "b"]})
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table)
        assert not path.exists()
        writer.write_table(table)
    assert pd.read_parquet(path)["id"].tolist() == ["a", "b"] * 2
    with pytest.raises(RuntimeError), parquet_writer(path, table.schema):
        raise RuntimeError
    assert len(pd.read_parquet(path)) == 4
    assert left_over(tmp_path) == []


REFUSALS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "quota",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "a disk that can be written to",
    errno.ENAMETOOLONG: "a shorter name",
    errno.EISDIR: "move away",
    errno.ENOTDIR: "move away",
    errno.EEXIST: "move away",
    errno.ENOENT: "it was there and is gone",
    errno.EMFILE: "ulimit -n",
    errno.EFBIG: "ulimit -f",
    errno.EIO: "a fault",
}


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_each_refusal_has_advice_of_its_own(number, tmp_path):
    path = tmp_path / "file"
    with pytest.raises(WaznError) as caught, replacing(path):
        raise OSError(number, os.strerror(number))
    text = str(caught.value)
    assert text.startswith(f"{path}: could not be written ({os.strerror(number)}); ")
    assert "\n" not in text
    for other, advice in REFUSALS.items():
        assert (advice in text) == (REFUSALS[number] == advice), errno.errorcode[other]


def test_what_could_not_be_read_is_not_said_to_be_unwritable(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "file"):
        (tmp_path / "other").read_text(encoding="utf-8")
    assert caught.value.filename == str(tmp_path / "other")


def test_name_that_is_too_long_is_told_as_such(tmp_path):
    with pytest.raises(WaznError, match=r"\(File name too long\); give the model or the arm"):
        write_json(tmp_path / ("m" * 250) / "17.json" / ("n" * 251), {})
