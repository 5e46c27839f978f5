"""Files that are either complete or absent."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.errors import WaznError
from pipeline.files import (
    parquet_note,
    parquet_writer,
    read_json,
    read_parquet,
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
    assert read_json(tmp_path / "a.json") == values


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
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "a.parquet"), TABLE)
    assert list(read_parquet(tmp_path / "a.parquet", ["id"]).columns) == ["id"]


def test_parquet_written_table_by_table_is_there_only_once_it_is_complete(tmp_path):
    path, table = tmp_path / "a.parquet", pa.table({"id": ["a", "b"]})
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table)
        assert not path.exists()
        writer.write_table(table)
    assert read_parquet(path)["id"].tolist() == ["a", "b"] * 2
    with pytest.raises(RuntimeError), parquet_writer(path, table.schema):
        raise RuntimeError
    assert len(read_parquet(path)) == 4
    assert left_over(tmp_path) == []


def test_note_of_a_parquet_file_comes_back(tmp_path):
    note = {"labels": "lexicon", "rules": {"ya": True}, "نص": None}
    table = pa.table({"id": ["a"]})
    schema = table.schema.with_metadata({"wazn": json.dumps(note), "other": "1"})
    with parquet_writer(tmp_path / "a.parquet", schema) as writer:
        writer.write_table(table.cast(schema))
    assert parquet_note(tmp_path / "a.parquet") == note


def test_parquet_without_a_note_has_an_empty_one(tmp_path):
    write_parquet(tmp_path / "pandas.parquet", TABLE)
    with parquet_writer(tmp_path / "bare.parquet", pa.schema([("id", pa.string())])):
        pass
    assert parquet_note(tmp_path / "pandas.parquet") == parquet_note(tmp_path / "bare.parquet") == {}


@pytest.mark.parametrize("read", [read_json, read_parquet, parquet_note])
def test_missing_file_is_named(read, tmp_path):
    with pytest.raises(WaznError, match=f"^{tmp_path / 'none'}: no such file; run `dvc repro`"):
        read(tmp_path / "none")


@pytest.mark.parametrize("read", [read_json, read_parquet, parquet_note])
@pytest.mark.parametrize("content", [b"", b"{ half", b"PAR1\xff\x00"])
def test_damaged_file_is_named(read, content, tmp_path):
    (tmp_path / "damaged").write_bytes(content)
    with pytest.raises(WaznError, match=f"^{tmp_path / 'damaged'}: not (valid JSON|readable as Parquet)"):
        read(tmp_path / "damaged")
