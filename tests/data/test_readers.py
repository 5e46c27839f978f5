import csv
import io
import json
import random
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from pipeline.data.readers import read_table
from pipeline.errors import WaznError

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"

COLUMNS = ["الشكوى", "الرد", "الخطورة"]
ROWS = [
    ["عندي صداع، منذ يومين؟", 'قال الطبيب: "راجعنا"\nثم اشرب ماء', "غير حرج"],
    ["", "NA", "null"],
    ["ألم في الصدر 😟", "38.50", ""],
]
SECRET = "مريم"


def write(path, columns=COLUMNS, rows=ROWS):
    """Write a table in the format that the path's ending names; an empty cell as the format has it."""
    kind = path.suffix.lower()
    records = [{c: v or None for c, v in zip(columns, row, strict=True)} for row in rows]
    if kind in (".csv", ".tsv"):
        text = io.StringIO(newline="")
        csv.writer(text, delimiter="\t" if kind == ".tsv" else ",").writerows([columns, *rows])
        path.write_bytes(text.getvalue().encode("utf-8"))
    elif kind == ".jsonl":
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif kind == ".xlsx":
        book = openpyxl.Workbook()
        for row in [columns, *([value or None for value in row] for row in rows)]:
            book.active.append(row)
        book.save(path)
    else:
        pd.DataFrame(records, columns=columns).to_parquet(path, index=False)
    return path


def message(path):
    with pytest.raises(WaznError) as caught:
        read_table(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert SECRET not in text
    return text


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("t.csv", [2, 3, 4]),
        ("t.tsv", [2, 3, 4]),
        ("t.xlsx", [2, 3, 4]),
        ("t.jsonl", [1, 2, 3]),
        ("t.parquet", [1, 2, 3]),
        ("T.CSV", [2, 3, 4]),
        ("شكاوى المرضى.csv", [2, 3, 4]),
    ],
)
def test_every_format_gives_the_same_rows_and_its_lines(tmp_path, name, lines):
    table = read_table(write(tmp_path / name))
    assert list(table.columns) == COLUMNS
    assert table.to_numpy().tolist() == ROWS
    assert table.index.tolist() == lines


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path, name):
    path = write(tmp_path / name)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_table(path).to_numpy().tolist() == ROWS
    assert list(read_table(path).columns) == COLUMNS


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_windows_line_ends_change_nothing(tmp_path, name):
    rows = [["صداع", "راحة", "حرج"]] * 2
    path = write(tmp_path / name, rows=rows)
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert read_table(path).to_numpy().tolist() == rows


def test_jsonl_counts_blank_lines_and_takes_rows_with_different_keys(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"q": "صداع"}\n\n  \n{"a": 5, "q": null}\n', encoding="utf-8")
    table = read_table(path)
    assert table.index.tolist() == [1, 4]
    assert table.to_dict("list") == {"q": ["صداع", ""], "a": ["", "5"]}


def test_xlsx_keeps_the_line_of_a_row_after_an_empty_one(tmp_path):
    path = write(tmp_path / "t.xlsx", ["q"], [["صداع"], [""], ["حمى"]])
    assert read_table(path)["q"].to_dict() == {2: "صداع", 3: "", 4: "حمى"}


def test_numbers_and_other_values_become_text(tmp_path):
    table = pd.DataFrame({"n": [1, 2], "f": [0.5, None], "b": [True, False]})
    table.to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").to_dict("list") == {
        "n": ["1", "2"],
        "f": ["0.5", ""],
        "b": ["True", "False"],
    }


@pytest.mark.parametrize(("kind", "values"), [("string", ["صداع", None]), ("Int64", [3, None])])
def test_a_missing_value_of_any_parquet_type_is_the_empty_string(tmp_path, kind, values):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"q": pd.array(values, dtype=kind)}).to_parquet(path)
    assert read_table(path)["q"].tolist() == [str(values[0]), ""]


def test_a_short_csv_row_ends_in_empty_cells(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("q,a\nصداع\nحمى,ماء\n", encoding="utf-8")
    assert read_table(path).to_numpy().tolist() == [["صداع", ""], ["حمى", "ماء"]]


@pytest.mark.parametrize("end", [",", ",زائد"], ids=["trailing comma", "field without a name"])
def test_csv_rows_longer_than_the_header_never_shift_the_columns(tmp_path, end):
    path = tmp_path / "t.csv"
    path.write_text(f"q,a\nسؤال,جواب{end}\nسؤال,جواب{end}\n", encoding="utf-8")
    try:
        table = read_table(path)
    except WaznError:
        return
    assert table["q"].tolist() == ["سؤال", "سؤال"]
    assert table["a"].tolist() == ["جواب", "جواب"]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.xlsx", "t.parquet"])
def test_a_missing_file_is_named(tmp_path, name):
    assert "no such file" in message(tmp_path / name)


@pytest.mark.parametrize("name", ["t.txt", "t", "t.csv.gz", "t.xls"])
def test_an_unknown_ending_lists_the_known_ones(tmp_path, name):
    (tmp_path / name).write_text(SECRET)
    text = message(tmp_path / name)
    assert all(ending in text for ending in (".csv", ".tsv", ".jsonl", ".xlsx", ".parquet"))


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
@pytest.mark.parametrize("encoding", ["cp1256", "utf-16"])
def test_text_that_is_not_utf8_says_what_to_do(tmp_path, name, encoding):
    path = write(tmp_path / name, ["q", "a"], [[SECRET, "جواب"]])
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert "UTF-8" in message(path)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.xlsx", "t.parquet"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    message(tmp_path / name)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.xlsx", "t.parquet"])
def test_a_table_without_rows_is_refused(tmp_path, name):
    assert "no rows" in message(write(tmp_path / name, rows=[]))


@pytest.mark.parametrize(
    "line",
    [f'{{"q": "{SECRET}"', SECRET, f'["{SECRET}"]', f'"{SECRET}"', "{'q': 1}"],
    ids=["cut off", "no JSON", "list", "string", "Python"],
)
def test_a_bad_jsonl_line_is_named(tmp_path, line):
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"q": "صداع"}}\n\n{line}\n', encoding="utf-8")
    assert "line 3" in message(path)


def test_half_an_emoji_in_jsonl_is_read_or_its_line_is_named(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"q": "صداع"}\n{"q": "حمى \\ud83d"}\n', encoding="utf-8")
    try:
        table = read_table(path)
    except WaznError as error:
        assert "line 2" in str(error)
    else:
        assert table["q"].str.startswith("حمى").tolist() == [False, True]


def test_a_csv_row_with_too_many_fields_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"q,a\nصداع,ماء\n{SECRET},ب,ج,د\n", encoding="utf-8")
    message(path)


def test_an_unclosed_quote_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f'q,a\n"{SECRET},ب\nصداع,ماء\n', encoding="utf-8")
    message(path)


@pytest.mark.parametrize("ending", [".xlsx", ".parquet"])
@pytest.mark.parametrize(
    "content",
    [random.Random(0).randbytes(600), b"PAR1" + random.Random(1).randbytes(600) + b"PAR1", b"PK\x03\x04"],
    ids=["noise", "noise in Parquet's brackets", "start of a zip"],
)
def test_binary_garbage_is_refused(tmp_path, ending, content):
    path = tmp_path / f"t{ending}"
    path.write_bytes(content)
    message(path)


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "[Content_Types].xml"])
def test_a_workbook_with_a_broken_part_is_refused(tmp_path, part):
    whole = zipfile.ZipFile(write(tmp_path / "whole.xlsx", ["q"], [[SECRET]]))
    path = tmp_path / "broken.xlsx"
    with zipfile.ZipFile(path, "w") as broken:
        for name in whole.namelist():
            broken.writestr(name, f"<{SECRET}" if name == part else whole.read(name))
    message(path)


@pytest.mark.parametrize("ending", [".xlsx", ".parquet"])
def test_damaged_bytes_never_escape_as_another_error(tmp_path, ending):
    whole = write(tmp_path / f"whole{ending}").read_bytes()
    path = tmp_path / f"damaged{ending}"
    refused = 0
    for seed in range(60):
        chance = random.Random(seed)
        damaged = bytearray(whole)
        for _ in range(5):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            read_table(path)
        except WaznError:
            refused += 1
    assert refused > 40


@pytest.mark.skipif(not REAL.is_dir(), reason="real data is not beside this checkout")
@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("severity_posts.xlsx", 2642, {"Post", "Severity", "Plan"}),
        ("maqa_sample.csv", 150, {"q_body", "a_body"}),
    ],
)
def test_real_tables_are_read_in_full(name, rows, columns):
    table = read_table(REAL / name)
    assert len(table) == rows
    assert columns <= set(table.columns)
    assert table.index.tolist() == list(range(2, rows + 2))
    assert (table[sorted(columns)] != "").all(axis=None)
