"""Files that one stage reads of another's: whatever is wrong with one is one sentence."""

import importlib
import json
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.files import parquet_writer, write_json, write_parquet
from pipeline.inputs import read_csv, read_json
from pipeline.parquet_inputs import parquet_note, read_batches, read_parquet
from pipeline.schemas import SEVERITY, join, numbers, texts
from pipeline.shapes import Shape, Sources

SCHEMA = join(texts("id"), SEVERITY, numbers("value"))
TABLE = pa.table(
    {
        "id": ["a", "b", "c"],
        "severity": ["critical", "neutral", "critical"],
        "value": [1.0, 2.5, 3.0],
        "more": [None, 1, 2],
    }
)


def refused(read, *arguments):
    with pytest.raises(WaznError) as caught:
        read(*arguments)
    text = str(caught.value)
    assert text.startswith(f"{arguments[0]}: ")
    assert "\n" not in text
    return text


def everything(path, schema=SCHEMA):
    return pa.concat_tables(read_batches(path, schema, rows=2))


def changed(name, values):
    """TABLE with other values in a column."""
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return TABLE.set_column(TABLE.column_names.index(name), name, column)


@pytest.fixture
def table(tmp_path):
    """Write a table, and give its path."""

    def write(content):
        pq.write_table(content, tmp_path / "table.parquet")
        return tmp_path / "table.parquet"

    return write


def test_table_comes_back_with_the_columns_of_the_schema(table):
    frame = read_parquet(table(TABLE), SCHEMA)
    assert frame.to_dict("list") == TABLE.drop_columns("more").to_pydict()
    assert everything(table(TABLE)).to_pydict() == TABLE.drop_columns("more").to_pydict()
    assert everything(table(TABLE)).column_names == SCHEMA.names


def test_column_that_may_be_absent_is_left_out_where_it_is(table):
    wide = join(SCHEMA, texts("specialty"))
    assert list(read_parquet(table(TABLE), wide, ["specialty"])) == SCHEMA.names
    assert "no column 'specialty'" in refused(read_parquet, table(TABLE), wide)


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["a", "b", "c"], pa.large_string()),
        pa.array(["a", "b", "c"]).dictionary_encode(),
        pa.array(["a", "b", "c"], pa.string_view()),
    ],
    ids=lambda array: str(array.type.id),
)
def test_texts_may_be_stored_in_any_way(ids, table):
    assert everything(table(changed("id", ids)))["id"].to_pylist() == ["a", "b", "c"]


def test_whole_numbers_pass_for_numbers(table):
    assert everything(table(changed("value", [1, 2, 3])))["value"].to_pylist() == [1.0, 2.0, 3.0]


DAMAGED = {
    "column gone": (TABLE.drop_columns("id"), "it has no column 'id'"),
    "column twice": (TABLE.append_column("id", TABLE["id"]), "it has column 'id' 2 times"),
    "numbers for text": (changed("id", [1, 2, 3]), "column 'id' is not of the type string"),
    "lists for text": (changed("id", [["a"], [], ["b"]]), "column 'id' is not of the type string"),
    "text for numbers": (changed("value", ["1", "2", "3"]), "column 'value' is not of the type double"),
    "truth for numbers": (changed("value", [True] * 3), "column 'value' is not of the type double"),
    "no id": (changed("id", ["a", "b", None]), "row 3 has no usable value in column 'id'"),
    "no number": (changed("value", [1.0, None, 2.0]), "row 2 has no usable value in column 'value'"),
    "nothing at all": (changed("value", pa.nulls(3)), "row 1 has no usable value in column 'value'"),
    "not a number": (
        changed("value", [1.0, 2.0, float("nan")]),
        "row 3 has no usable value in column 'value'",
    ),
    "infinite": (
        changed("value", [float("-inf"), 2.0, 3.0]),
        "row 1 has no usable value in column 'value'",
    ),
    "another word": (changed("severity", ["critical", "bad", "neutral"]), "row 2 has no usable value"),
    "not UTF-8": (
        changed("id", pa.array([b"a", b"\xff", b"c"]).view(pa.string())),
        "column 'id' has a value that is no string",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("read", [read_parquet, everything])
def test_column_that_is_not_as_it_should_be_is_named(damage, read, table):
    content, expected = DAMAGED[damage]
    assert expected in refused(read, table(content), SCHEMA)


def test_table_without_rows(table):
    assert "it has no rows" in refused(read_parquet, table(TABLE.slice(0, 0)), SCHEMA)
    assert list(read_batches(table(TABLE.slice(0, 0)), SCHEMA)) == []


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), keep=st.floats(0, 1))
def test_no_flipped_byte_and_no_cut_is_more_than_a_sentence(tmp_path_factory, place, flip, keep):
    """What is read, if anything, is a table of the schema."""
    path = tmp_path_factory.mktemp("flipped") / "table.parquet"
    pq.write_table(TABLE, path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= flip
    path.write_bytes(content[: int(len(content) * max(keep, 0.5)) + 1])
    for read in (read_parquet, everything):
        try:
            names = list(read(path, SCHEMA).columns) if read is read_parquet else read(path).column_names
        except WaznError as error:
            assert str(error).startswith(f"{path}: ")
        else:
            assert names == SCHEMA.names
    try:
        parquet_note(path)
    except WaznError as error:
        assert str(error).startswith(f"{path}: ")


def test_note_of_a_parquet_file_comes_back(tmp_path):
    note = {"labels": "lexicon", "rules": {"ya": True}, "نص": None}
    schema = TABLE.schema.with_metadata({"wazn": json.dumps(note), "other": "1"})
    with parquet_writer(tmp_path / "a.parquet", schema) as writer:
        writer.write_table(TABLE.cast(schema))
    assert parquet_note(tmp_path / "a.parquet") == note


def test_parquet_without_a_note_has_an_empty_one(tmp_path):
    write_parquet(tmp_path / "pandas.parquet", pd.DataFrame({"id": ["a"]}))
    with parquet_writer(tmp_path / "bare.parquet", pa.schema([("id", pa.string())])):
        pass
    assert parquet_note(tmp_path / "pandas.parquet") == parquet_note(tmp_path / "bare.parquet") == {}


@pytest.mark.parametrize("note", [b"{", b"[1]", b"\xff", b'"text"', b"NaN"])
def test_note_that_is_no_mapping_is_refused(note, table):
    refused(parquet_note, table(TABLE.replace_schema_metadata({"wazn": note})))


def note_of(path):
    return parquet_note(path)


READERS = {
    "JSON": read_json,
    "Parquet": lambda path: read_parquet(path, SCHEMA),
    "batches": everything,
    "note": note_of,
    "CSV": lambda path: read_csv(path, {"a": str}),
}


@pytest.mark.parametrize("reader", READERS)
def test_missing_file_is_named(reader, tmp_path):
    text = refused(READERS[reader], tmp_path / "none")
    assert "no such file; run `dvc repro`" in text


@pytest.mark.parametrize("reader", READERS)
def test_folder_in_place_of_a_file_is_told_as_one(reader, tmp_path):
    assert "could not be read (Is a directory)" in refused(READERS[reader], tmp_path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [b"", b"{ half", b"PAR1\xff\x00", b"\x00" * 100, b"PAR1" * 10])
def test_damaged_file_is_named(reader, content, tmp_path):
    (tmp_path / "damaged").write_bytes(content)
    text = refused(READERS[reader], tmp_path / "damaged")
    assert text.endswith("run `dvc repro` to make it again")


NO_JSON = {
    "NaN": "NaN is no number",
    '{"a": [Infinity]}': "Infinity is no number",
    "[1e999]": "too large",
    '{"a": 1,}': "line 1",
    "{\n'a': 1}": "line 2",
    "[" * 100_000: "nested too deeply",
    '{"a":' * 100_000: "nested too deeply",
    "9" * 5000: "not valid JSON",
    "\ufeff{}": "BOM",
    "{} {}": "Extra data",
}


@pytest.mark.parametrize("content", NO_JSON, ids=lambda text: text[:12])
def test_what_is_no_json_is_told_with_its_line(content, tmp_path):
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    assert NO_JSON[content] in refused(read_json, tmp_path / "a.json")


def test_json_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "a.json").write_bytes('{"a": "نص"}'.encode("cp1256"))
    assert "UTF-8" in refused(read_json, tmp_path / "a.json")


GOOD = {"pairs": [{"source": "a", "rows": 3, "sha256": "0"}], "labelled": []}
WRONG_SHAPES = {
    "a list": ([], "it: input should be"),
    "a text": ("x", "it: input should be"),
    "nothing": (None, "it: input should be"),
    "key gone": ({"pairs": []}, "labelled: is missing"),
    "mapping for a list": ({**GOOD, "pairs": {"a": 1}}, "pairs: input should be a valid list"),
    "key of an item gone": ({**GOOD, "pairs": [{"source": "a"}]}, "pairs.0.rows: is missing"),
    "text for a number": ({**GOOD, "pairs": [{"source": "a", "rows": "3"}]}, "pairs.0.rows: input"),
    "truth for a number": ({**GOOD, "pairs": [{"source": "a", "rows": True}]}, "pairs.0.rows: input"),
    "fraction for a count": ({**GOOD, "pairs": [{"source": "a", "rows": 1.5}]}, "pairs.0.rows: input"),
    "less than none": ({**GOOD, "pairs": [{"source": "a", "rows": -1}]}, "pairs.0.rows: input"),
    "another word": (
        {**GOOD, "labelled": [{"source": "a", "rows": 1, "labels": "?"}]},
        "labelled.0.labels",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_SHAPES)
def test_json_of_another_shape_names_the_key(wrong, tmp_path):
    content, expected = WRONG_SHAPES[wrong]
    write_json(tmp_path / "a.json", content)
    assert expected in refused(read_json, tmp_path / "a.json", Sources)


def test_json_of_the_shape_comes_back_with_what_else_it_has(tmp_path):
    write_json(tmp_path / "a.json", GOOD)
    assert read_json(tmp_path / "a.json", Sources) == GOOD


def test_a_message_shows_no_value_of_the_file(tmp_path):
    write_json(tmp_path / "a.json", {**GOOD, "labelled": [{"source": "a", "rows": 1, "labels": "MARK"}]})
    assert "MARK" not in refused(read_json, tmp_path / "a.json", Sources)
    pq.write_table(changed("severity", ["MARK"] * 3), tmp_path / "a.parquet")
    assert "MARK" not in refused(read_parquet, tmp_path / "a.parquet", SCHEMA)
    (tmp_path / "a.csv").write_text("x\nMARK\n", encoding="utf-8")
    assert "MARK" not in refused(read_csv, tmp_path / "a.csv", {"x": float})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("x\n", "it has no rows"),
        ("y\n1\n", "it has no column 'x'"),
        ("x\none\n", "no number"),
        ("x\n\n1\n\nnan\n", "not finite"),
        ("x\ninf\n", "not finite"),
        ("x,y\n1,2\n1,2,3\n", "not readable as CSV"),
        ('x\n"1\n', "not readable as CSV"),
        ("x\n1\x00\n", "no number"),
    ],
)
def test_csv_that_is_not_as_it_should_be(content, expected, tmp_path):
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    assert expected in refused(read_csv, tmp_path / "a.csv", {"x": float})


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        (paths.RAW_PAIRS, "download"),
        (paths.SOURCES, "download"),
        (paths.NORMALISED_LABELLED, "normalise"),
        (paths.DATA_METRICS, "normalise"),
        (paths.CLASSIFIER, "train_classifier"),
        (paths.CLASSIFIER / "severity.json", "train_classifier"),
        (paths.CLASSIFIER_METRICS, "train_classifier"),
        (paths.PLOTS / "confusion.csv", "train_classifier"),
        (paths.SCORED, "score"),
        (paths.SEVERITY_METRICS, "score"),
        (paths.REFERENCES / "references.json", "embed_references"),
        (paths.trained_model("mild", "tiny-gpt2", 17), "finetune@tiny-gpt2-mild-17"),
        (paths.training_metrics("mild", "m", 17), "finetune@m-mild-17"),
        (paths.training_curves("mild", "m", 17) / "plots/loss.tsv", "finetune@m-mild-17"),
        (paths.generated("mild", "m", 17), "evaluate@m-mild-17"),
        (paths.generated("base", "m", None), "evaluate_base@m"),
        (paths.evaluation_metrics("base", "m", None), "evaluate_base@m"),
        (paths.evaluation_metrics("mild", "m", 17), "evaluate@m-mild-17"),
        (paths.SUMMARY, "report"),
        (paths.PLOTS / "nll.csv", "report"),
        (paths.PAGE, "report"),
    ],
    ids=str,
)
def test_a_file_is_traced_to_the_stage_that_makes_it(path, stage):
    assert paths.maker(path) == stage


@pytest.mark.parametrize("path", ["models/base/m/config.json", "params.yaml", "data/own/a.csv"])
def test_other_files_are_traced_to_none(path):
    assert paths.maker(Path(path)) == ""


def test_the_stage_is_named_that_makes_it_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json(paths.SUMMARY, [])
    assert "`dvc repro --force --single-item report`" in refused(read_json, paths.SUMMARY, dict)
    write_json(Path("models/base/m/config.json"), [])
    text = refused(read_json, Path("models/base/m/config.json"), dict)
    assert "remove models/base/m and run `dvc repro`" in text


def shapes():
    """Every model of the files' shapes, of which the classifier's have a file of their own."""
    importlib.import_module("pipeline.classifier_shapes")
    waiting, classes = [Shape], []
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        classes += subclasses
        waiting += subclasses
    return classes


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape.__name__)
def test_no_shape_converts(shape):
    assert shape.model_config["strict"]
