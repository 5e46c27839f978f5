import contextlib
import csv
import io
import json
import random
import sqlite3
import zipfile
from pathlib import Path
from typing import ClassVar

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import SECRET, message, read

from pipeline.data.tables.readers import open_table
from pipeline.data.tables.table import Table
from pipeline.errors import WaznError

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data"

COLUMNS = ["الشكوى", "الرد", "الخطورة"]
ROWS = [
    ["عندي صداع، منذ يومين؟", 'قال الطبيب: "راجعنا"\nثم اشرب ماء', "غير حرج"],
    ["", "NA", "null"],
    ["ألم في الصدر 😟", "38.50", ""],
]
SEPARATORS = {"csv": ",", "tsv": "\t", "semicolon": ";"}
FORMATS = [*SEPARATORS, "jsonl", "json", "nested", "xlsx", "parquet", "sqlite"]


def write(path, kind, columns=COLUMNS, rows=ROWS):
    """Write a table in a format; an empty cell as the format has it."""
    records = [{c: v or None for c, v in zip(columns, row, strict=True)} for row in rows]
    if kind in SEPARATORS:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=SEPARATORS[kind]).writerows([columns, *rows])
        path.write_bytes(text.getvalue().encode())
    elif kind == "jsonl":
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif kind in ("json", "nested"):
        value = records if kind == "json" else {"version": 1, "tags": ["a"], "data": records}
        path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    elif kind == "xlsx":
        book = openpyxl.Workbook()
        for row in [columns, *([value or None for value in row] for row in rows)]:
            book.active.append(row)
        book.save(path)
    elif kind == "sqlite":
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            names = ", ".join(f'"{column}"' for column in columns)
            connection.execute(f"CREATE TABLE t ({names})")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO t VALUES ({marks})", [[*r.values()] for r in records])
    else:
        pd.DataFrame(records, columns=columns).to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_rows_and_its_lines(tmp_path, kind):
    table = read(write(tmp_path / "شكاوى المرضى", kind))
    assert list(table.columns) == COLUMNS
    assert table.to_numpy().tolist() == ROWS
    assert table.index.tolist() == ([2, 3, 4] if kind in (*SEPARATORS, "xlsx") else [1, 2, 3])
    assert all(pd.api.types.is_string_dtype(table[column]) for column in COLUMNS)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("wanted", [["الخطورة"], ["الرد", "الشكوى"]])
def test_only_the_columns_asked_for_are_read_in_that_order(tmp_path, kind, wanted):
    opened = open_table(write(tmp_path / "t", kind), "t")
    [batch] = opened.batches(wanted)
    assert list(batch.columns) == wanted
    assert batch.to_numpy().tolist() == [[row[COLUMNS.index(name)] for name in wanted] for row in ROWS]


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_come_in_batches_of_the_size_asked_for(tmp_path, kind):
    opened = open_table(write(tmp_path / "t", kind, ["q"], [[str(n)] for n in range(7)]), "t")
    batches = list(opened.batches(["q"], size=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert [q for batch in batches for q in batch["q"]] == [str(n) for n in range(7)]
    assert [batch.index[0] - batches[0].index[0] for batch in batches] == [0, 3, 6]


@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolon", "jsonl", "json"])
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-be", "cp1256"])
def test_text_is_read_in_every_encoding(tmp_path, kind, codec):
    rows = [["صداع، شديد؟", "راحة\nوماء", "حرج"]] * 3
    path = write(tmp_path / "t", kind, rows=rows)
    text = path.read_bytes().decode()
    path.write_bytes(("\ufeff" * (codec == "utf-16-be") + text).encode(codec))
    table = read(path)
    assert list(table.columns) == COLUMNS
    assert table.to_numpy().tolist() == rows


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\"',;\t|"))


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.sampled_from(["jsonl", "json"]))
def test_any_cells_come_back_as_they_were_written(tmp_path_factory, rows, kind):
    path = tmp_path_factory.getbasetemp() / "cells"
    table = read(write(path, kind, ["question", "answer"], [list(row) for row in rows]))
    assert table.to_numpy().tolist() == [list(row) for row in rows]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_windows_line_ends_change_nothing(tmp_path, kind):
    rows = [["صداع", "راحة", "حرج"]] * 2
    path = write(tmp_path / "t", kind, rows=rows)
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert read(path).to_numpy().tolist() == rows


# ---- delimited text -----------------------------------------------------------------------------


def delimited(tmp_path, text):
    path = tmp_path / "t"
    path.write_bytes(text.encode())
    return path


def test_separators_within_texts_do_not_mislead(tmp_path):
    text = "question, in Arabic\tanswer; short\nصداع, حمى\tراحة; ماء\nسعال\tراحة, ماء\n"
    table = read(delimited(tmp_path, text))
    assert list(table.columns) == ["question, in Arabic", "answer; short"]
    assert table["answer; short"].tolist() == ["راحة; ماء", "راحة, ماء"]


def test_empty_fields_beyond_the_header_are_nothing(tmp_path):
    table = read(delimited(tmp_path, "q,a\nسؤال,جواب,\nسؤال,جواب,,\n"))
    assert table.to_numpy().tolist() == [["سؤال", "جواب"]] * 2


def test_a_column_without_a_name_is_left_out(tmp_path):
    assert list(read(delimited(tmp_path, ",q,\n1,صداع,x\n")).columns) == ["q"]


def test_a_csv_row_with_too_many_fields_is_refused_with_its_line(tmp_path):
    text = f'q,a\nصداع,"ماء\nوراحة"\n\n{SECRET},ب,ج,د\n'
    assert "line 5: more fields (4) than the header (2)" in message(delimited(tmp_path, text))


@pytest.mark.parametrize("rest", ["\nصداع,ماء\n", "", "\n" * 5])
def test_an_unclosed_quote_is_refused_with_the_line_that_opens_it(tmp_path, rest):
    text = f'q,a\nسعال,راحة\n"{SECRET},ب{rest}'
    assert "line 3: a quotation mark that opens here is never closed" in message(delimited(tmp_path, text))


def test_a_last_row_without_a_line_end_is_read(tmp_path):
    assert read(delimited(tmp_path, 'q,a\nصداع,"ماء"'))["a"].tolist() == ["ماء"]


# ---- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolon", "xlsx", "parquet", "sqlite"])
def test_a_table_without_rows_is_refused(tmp_path, kind):
    assert "no rows" in message(write(tmp_path / "t", kind, rows=[]))


@pytest.mark.parametrize("kind", ["csv", "tsv", "xlsx"])
def test_a_repeated_column_is_named_by_its_places(tmp_path, kind):
    assert "columns 1 and 3 have the same name" in message(write(tmp_path / "t", kind, ["q", "a", "q"]))


@pytest.mark.parametrize("kind", FORMATS)
def test_records_are_counted_in_another_way_than_they_are_read(tmp_path, kind):
    rows = [[f"{number}", "", "x"] for number in range(5)]
    assert open_table(write(tmp_path / "t", kind, rows=rows), "t").records == 5


def test_rows_that_are_lost_on_the_way_are_an_error(tmp_path):
    class Lossy:
        columns: ClassVar = ["q"]

        def records(self):
            return 3

        def rows(self, indices):
            yield from [(1, ["صداع"]), (3, ["حمى"])]

    with pytest.raises(WaznError, match=r"t: it has 3 records, but 2 rows were read"):
        list(Table("t", "CSV", Lossy()).batches(["q"]))


def test_long_texts_make_batches_short():
    class Long:
        columns: ClassVar = ["q"]

        def records(self):
            return 12

        def rows(self, indices):
            yield from ((number, ["ص" * 3_900_000]) for number in range(12))

    assert [len(batch) for batch in Table("t", "CSV", Long()).batches(["q"])] == [9, 3]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "json"])
def test_a_table_is_not_chosen_where_there_is_one_only(tmp_path, kind):
    assert "`table` is set, but" in message(write(tmp_path / "t", kind), "Sheet1")


def test_an_archive_within_an_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t", "w") as archive:
        archive.writestr("t.csv", "q\nصداع\n")
    assert "an archive within an archive" in message(tmp_path / "t")


@pytest.mark.parametrize("kind", ["xlsx", "parquet", "sqlite"])
def test_damaged_bytes_never_escape_as_another_error(tmp_path, kind):
    whole = write(tmp_path / "whole", kind).read_bytes()
    path = tmp_path / "damaged"
    refused = 0
    for seed in range(60):
        chance = random.Random(seed)
        damaged = bytearray(whole)
        for _ in range(len(whole) // 400 + 5):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except WaznError:
            refused += 1
    assert refused > 20


@pytest.mark.skipif(not REAL.is_dir(), reason="real data is not beside this checkout")
@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("severity_posts.xlsx", 2642, {"Post", "Severity", "Plan"}),
        ("maqa_sample.csv", 150, {"q_body", "a_body"}),
    ],
    ids=["posts", "maqa"],
)
def test_real_tables_are_read_in_full(name, rows, columns):
    table = read(REAL / name, size=1000)
    assert len(table) == rows
    assert columns <= set(table.columns)
    assert table.index.tolist() == list(range(2, rows + 2))
    assert (table[sorted(columns)] != "").all(axis=None)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['راحة']", "راحة"),
        ('["راحة"]', "راحة"),
        ("[]", ""),
        ("[صورة]", "[صورة]"),
        ("{صورة}", "{صورة}"),
        ("[1, 2]", "[1, 2]"),
        ("راحة [1]", "راحة [1]"),
        ("['no \\n']", "no \n"),
    ],
)
def test_a_list_that_a_text_spells_out_is_what_is_in_it(tmp_path, cell, expected):
    """As pandas writes a column of lists to CSV; brackets that people write stay."""
    pd.DataFrame({"question": ["صداع"], "answer": [cell]}).to_csv(tmp_path / "t", index=False)
    assert read(tmp_path / "t")["answer"].tolist() == [expected]


@pytest.mark.parametrize(
    "cell",
    [
        f"['{SECRET}', 'ماء']",
        f"['{SECRET}' 'ماء']",
        f'["{SECRET}", "ماء"]',
        f"{{'text': ['{SECRET}']}}",
        f'{{"text": ["{SECRET}"]}}',
    ],
)
def test_a_list_of_several_or_an_object_that_a_text_spells_out_is_refused(tmp_path, cell):
    pd.DataFrame({"question": ["صداع"], "answer": [cell]}).to_csv(tmp_path / "t", index=False)
    found = message(tmp_path / "t")
    assert "row 2, column 'answer': expected a text, found a list or an object" in found
