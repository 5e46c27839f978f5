import collections
import tracemalloc

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import SECRET, message, read

from pipeline.data.tables.readers import open_tables
from pipeline.errors import WaznError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t"


def test_numbers_and_other_values_become_text(path):
    table = pd.DataFrame({"n": [1, 2], "f": [0.5, None], "b": [True, False], "y": ["ص".encode(), None]})
    table.to_parquet(path)
    assert read(path).to_dict("list") == {
        "n": ["1", "2"],
        "f": ["0.5", ""],
        "b": ["True", "False"],
        "y": ["ص", ""],
    }


@pytest.mark.parametrize(("kind", "values"), [("string", ["صداع", None]), ("Int64", [3, None])])
def test_a_missing_value_of_any_type_is_the_empty_string(path, kind, values):
    pd.DataFrame({"q": pd.array(values, dtype=kind)}).to_parquet(path)
    assert read(path)["q"].tolist() == [str(values[0]), ""]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
@pytest.mark.parametrize("written", [True, False, ["q"]], ids=["dictionary", "plain", "one"])
def test_texts_are_read_however_they_are_stored(path, kind, written):
    texts = ["صداع", None, "", "حمى"] * 9
    table = pa.table({"a": pa.array(texts), "q": pa.array(texts).cast(kind)})
    pq.write_table(table, path, use_dictionary=written, row_group_size=7)
    assert read(path)["q"].tolist() == [text or "" for text in texts]


def test_a_list_of_one_is_what_is_in_it(path):
    answers = [["راحة"], [], None, [None]]
    pq.write_table(pa.table({"question": ["صداع"] * 4, "answer": answers}), path)
    assert read(path)["answer"].tolist() == ["راحة", "", "", ""]


@pytest.mark.parametrize("value", [["حمى", SECRET], {"a": SECRET}, [{"a": SECRET}]])
def test_what_is_nested_is_no_text(path, value):
    pq.write_table(pa.table({"id": [1, 2, 3], "question": [None, None, value]}), path)
    text = message(path)
    assert "row 3, column 'question': expected a text, found a list or an object" in text


def test_bytes_that_are_no_text_are_refused_and_not_replaced(path):
    pq.write_table(pa.table({"answer": [b"ok", f"{SECRET}".encode("cp1256")]}), path)
    assert "row 2, column 'answer': expected a text, found bytes that are no text in UTF-8" in message(path)


def bomb(path, kind, rows=2000):
    """A small file whose rows all hold one large text, or a list or an object with it."""
    array = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * 200_000]))
    if kind != "text":
        array = pa.ListArray.from_arrays(pa.array(range(rows + 1), pa.int32()), array)
    if kind == "struct":
        array = pa.StructArray.from_arrays([array], ["content"])
    pq.write_table(pa.table({"q": array, "x": [1] * rows}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    return path


def read_within(path, max_mb, *columns):
    [table] = open_tables(path, "t", max_mb=max_mb)
    return sum(len(batch) for batch in table.batches(columns))


@pytest.mark.parametrize("kind", ["text", "list", "struct"])
def test_what_a_dictionary_repeats_is_counted_before_it_is_made(path, kind):
    [table] = open_tables(bomb(path, kind), "t", max_mb=100)
    before = pa.default_memory_pool().max_memory()
    tracemalloc.start()
    with pytest.raises(WaznError, match="t: expands to more than 100 MB; if you trust it"):
        collections.deque(table.cells(["q"]), maxlen=0)
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    assert pa.default_memory_pool().max_memory() - before < 200 << 20
    tracemalloc.stop()


def test_one_row_with_nearly_all_values_is_counted_before_it_is_made(path):
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * 200_000]))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 19_999, 20_000], pa.int32()), texts)
    pq.write_table(pa.table({"q": lists}), path, compression="zstd")
    [table] = open_tables(path, "t", max_mb=100)
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(WaznError, match="expands to more than 100 MB"):
        collections.deque(table.cells(["q"]), maxlen=0)
    assert pa.default_memory_pool().max_memory() - before < 200 << 20


def test_a_column_that_is_not_read_does_no_harm(path):
    assert read_within(bomb(path, "text"), 1, "x") == 2000


@pytest.mark.parametrize("dictionary", [True, False])
def test_what_compresses_well_is_counted(path, dictionary):
    pq.write_table(
        pa.table({"q": [f"{n}" + "x" * 100_000 for n in range(30)]}),
        path,
        compression="zstd",
        use_dictionary=dictionary,
    )
    assert path.stat().st_size < 100_000
    assert read_within(path, 4, "q") == 30
    with pytest.raises(WaznError, match="expands to more than 2 MB"):
        read_within(path, 2, "q")
