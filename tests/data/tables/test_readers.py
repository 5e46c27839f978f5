import contextlib
import csv
import io
import json
import random
import sqlite3
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.tables.readers import open_table
from pipeline.errors import WaznError

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data"

COLUMNS = ["الشكوى", "الرد", "الخطورة"]
ROWS = [
    ["عندي صداع، منذ يومين؟", 'قال الطبيب: "راجعنا"\nثم اشرب ماء', "غير حرج"],
    ["", "NA", "null"],
    ["ألم في الصدر 😟", "38.50", ""],
]
SECRET = "مريم"
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


def read(path, table=None, size=2):
    """All rows, by batches of a size that no test's table is a multiple of."""
    opened = open_table(path, str(path), table=table)
    return pd.concat(opened.batches(opened.columns, size=size))


def message(path, table=None):
    with pytest.raises(WaznError) as caught:
        read(path, table)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert SECRET not in text
    return text


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
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.sampled_from([*SEPARATORS, "jsonl", "json"]))
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


def test_jsonl_counts_blank_lines_and_takes_rows_with_different_keys(tmp_path):
    path = tmp_path / "t"
    path.write_text('{"q": "صداع"}\n\n  \n{"q": null}\n{"a": 5, "q": ["حمى", 1]}\n', encoding="utf-8")
    table = read(path)
    assert table.index.tolist() == [1, 4, 5]
    assert table.to_dict("list") == {"q": ["صداع", "", '["حمى", 1]'], "a": ["", "", "5"]}


def test_numbers_and_other_values_become_text(tmp_path):
    table = pd.DataFrame({"n": [1, 2], "f": [0.5, None], "b": [True, False], "y": ["ص".encode(), None]})
    table.to_parquet(tmp_path / "t")
    assert read(tmp_path / "t").to_dict("list") == {
        "n": ["1", "2"],
        "f": ["0.5", ""],
        "b": ["True", "False"],
        "y": ["ص", ""],
    }


@pytest.mark.parametrize(("kind", "values"), [("string", ["صداع", None]), ("Int64", [3, None])])
def test_a_missing_value_of_any_parquet_type_is_the_empty_string(tmp_path, kind, values):
    pd.DataFrame({"q": pd.array(values, dtype=kind)}).to_parquet(tmp_path / "t")
    assert read(tmp_path / "t")["q"].tolist() == [str(values[0]), ""]


# ---- delimited text -----------------------------------------------------------------------------


def delimited(tmp_path, text):
    path = tmp_path / "t"
    path.write_bytes(text.encode())
    return path


def test_a_short_csv_row_ends_in_empty_cells_and_blank_lines_do_not_count(tmp_path):
    table = read(delimited(tmp_path, "\nq,a\n\nصداع\nحمى,ماء\n"))
    assert table.to_numpy().tolist() == [["صداع", ""], ["حمى", "ماء"]]
    assert table.index.tolist() == [2, 3]


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


def test_a_quote_that_swallows_much_is_taken_for_unclosed(tmp_path):
    text = 'q,a\n"' + "صداع,ماء\n" * 1_200_000
    assert "line 2: a quotation mark" in message(delimited(tmp_path, text))


def test_a_last_row_without_a_line_end_is_read(tmp_path):
    assert read(delimited(tmp_path, 'q,a\nصداع,"ماء"'))["a"].tolist() == ["ماء"]


# ---- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolon", "xlsx", "parquet", "sqlite"])
def test_a_table_without_rows_is_refused(tmp_path, kind):
    assert "no rows" in message(write(tmp_path / "t", kind, rows=[]))


@pytest.mark.parametrize("kind", ["csv", "tsv", "xlsx"])
def test_a_repeated_column_is_named(tmp_path, kind):
    assert "'q' is there twice" in message(write(tmp_path / "t", kind, ["q", "a", "q"]))


def test_a_long_text_in_place_of_a_header_is_not_shown(tmp_path):
    text = f"{SECRET} تشكو من صداع شديد منذ يومين مع دوخة وغثيان"
    assert "(" in message(write(tmp_path / "t", "csv", [text, text], [["a", "b"]]))


@pytest.mark.parametrize(
    "line",
    [f'{{"q": "{SECRET}"', SECRET, f'["{SECRET}"]', f'"{SECRET}"', "{'q': 1}"],
    ids=["cut off", "no JSON", "list", "string", "Python"],
)
def test_a_bad_jsonl_line_is_named(tmp_path, line):
    path = tmp_path / "t"
    path.write_text(f'{{"q": "صداع"}}\n\n{line}\n', encoding="utf-8")
    assert "line 3" in message(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'[\n{{"q": "{SECRET}"}},\n{{"q": \n', "line 4: not valid JSON"),
        (f'{{"q": "{SECRET}"\n', "not valid JSON"),
        ("[]", "found none"),
        ('[{"q": 1}, 2]', "found none"),
        ('{"a": [{"q": 1}], "b": [{"q": 2}]}', "several (a, b); set `table`"),
        ("[" * 100_000, "not readable as JSON (RecursionError)"),
    ],
)
def test_json_without_one_list_of_rows_is_refused(tmp_path, text, expected):
    assert expected in message(delimited(tmp_path, text))


def test_a_list_of_a_json_object_is_chosen_by_its_key(tmp_path):
    path = delimited(tmp_path, '{"a": [{"q": 1}], "b": [{"q": 2}]}')
    assert read(path, table="b")["q"].tolist() == ["2"]


def test_half_an_emoji_in_json_does_not_stop_the_row(tmp_path):
    path = tmp_path / "t"
    path.write_text('{"q": "صداع"}\n{"q": "حمى \\ud83d"}\n', encoding="utf-8")
    table = read(path)
    assert table["q"].str.startswith("حمى").tolist() == [False, True]
    table.to_parquet(tmp_path / "out")


def test_a_table_of_a_database_is_chosen_by_name(tmp_path):
    path = write(tmp_path / "t", "sqlite")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("""CREATE TABLE "o'the""r" (q INTEGER PRIMARY KEY AUTOINCREMENT)""")
        connection.execute("""INSERT INTO "o'the""r" VALUES (7)""")
    text = message(path)
    assert """set `table` to one of the tables of this SQLite file: o'the"r, t""" in text
    assert message(path, table="no_such") == text
    assert read(path, table="""o'the"r""")["q"].tolist() == ["7"]
    assert read(path, table="t").to_numpy().tolist() == ROWS


@pytest.mark.parametrize("log", [False, True])
def test_reading_a_database_changes_nothing_beside_it(tmp_path, log):
    path = write(tmp_path / "t", "sqlite")
    writer = sqlite3.connect(path)
    if log:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO t VALUES ('new', 'in', 'the log')")
        writer.commit()
    before = {
        entry.name: entry.read_bytes() for entry in tmp_path.iterdir() if not entry.name.endswith("-shm")
    }
    assert len(read(path)) == len(ROWS) + log
    after = {
        entry.name: entry.read_bytes() for entry in tmp_path.iterdir() if not entry.name.endswith("-shm")
    }
    writer.close()
    assert after == before


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
)
def test_real_tables_are_read_in_full(name, rows, columns):
    table = read(REAL / name, size=1000)
    assert len(table) == rows
    assert columns <= set(table.columns)
    assert table.index.tolist() == list(range(2, rows + 2))
    assert (table[sorted(columns)] != "").all(axis=None)
