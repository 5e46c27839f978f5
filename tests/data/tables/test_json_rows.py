import json
import sys

import pandas as pd
import pytest
from tables import SECRET, message, read

ROW = f'{{"q": "{SECRET}"}}'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t"


def written(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return path


def test_jsonl_counts_blank_lines_and_takes_rows_with_different_keys(path):
    table = read(written(path, '{"q": "صداع"}\n\n  \n{"q": null}\n{"a": 5, "q": true}\n'))
    assert table.index.tolist() == [1, 4, 5]
    assert table.to_dict("list") == {"q": ["صداع", "", "True"], "a": ["", "", "5"]}


def test_jsonl_files_that_were_put_one_after_the_other_are_read_whatever_marks_they_have(path):
    lines = '\ufeff{"q": 1}\n\ufeff{"q": 2}\n\ufeff\n \ufeff'
    assert read(written(path, lines))["q"].tolist() == ["1", "2"]


@pytest.mark.parametrize("template", ["{0}\n{0}\n", "[{0}, {0}]", '{{"a": 1, "rows": [{0}, {0}]}}'])
def test_numbers_stay_as_they_are_written(path, template):
    table = read(written(path, template.format('{"q": 38.50, "n": 1e3, "big": 12345678901234567890}')))
    assert table.iloc[0].tolist() == ["38.50", "1e3", "12345678901234567890"]


def test_nan_is_a_missing_value(path):
    assert read(written(path, '{"q": NaN}\n{"q": "صداع"}\n'))["q"].tolist() == ["", "صداع"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (ROW[:-1], "not valid JSON"),
        (SECRET, "not valid JSON"),
        (f"{ROW[:-1]},}}", "not valid JSON"),
        (f'["{SECRET}"]', "expected a JSON object"),
        (f'"{SECRET}"', "expected a JSON object"),
        ("{'q': 1}", "not valid JSON"),
        (f'{{"q": "a", "q": "{SECRET}"}}', "a key stands twice in one object"),
        (f'{{"q": {{"{SECRET}": 1, "{SECRET}": 2}}}}', "a key stands twice in one object"),
        ('{"q": ' + "[" * 100_000, "nested too deeply"),
    ],
    ids=["cut", "none", "comma", "list", "string", "Python", "twice", "twice within", "deep"],
)
def test_a_bad_jsonl_line_is_named(path, line, expected):
    assert f"line 3: {expected}" in message(written(path, f'{{"q": "صداع"}}\n\n{line}\n'))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'[\n{ROW},\n{{"q": \n', "line 4: not valid JSON"),
        # From Python 3.13 on it is the comma's line.
        (f"[\n{ROW},\n]", f"line {2 if sys.version_info >= (3, 13) else 3}: not valid JSON"),
        (ROW[:-1] + "\n", "not valid JSON"),
        (f'[\n{{"q": "a", "q": "{SECRET}"}}\n]', "a key stands twice"),
        ("[]", "found none"),
        (f'["{SECRET}"]', "found none"),
        (f"[{ROW}, 2]", "row 2: expected a JSON object"),
        (f'{{"a": [{ROW}], "b": [{ROW}]}}', "has 2 tables; set `table` to one of: a, b"),
        (f'{{"a": [{ROW}], "{SECRET} 0501234567": [{ROW}]}}', "one of: a, key 2"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"q": ' * 100_000, "nested too deeply"),
    ],
)
def test_json_without_one_list_of_rows_is_refused(path, text, expected):
    assert expected in message(written(path, text))


def test_a_list_of_a_json_object_is_chosen_by_its_key(path):
    written(path, '{"a": [{"q": 1}], "بيانات": [{"q": 2}], "empty": []}')
    assert read(path, table="بيانات")["q"].tolist() == ["2"]
    assert read(path, table="بيانـات\u200f")["q"].tolist() == ["2"]
    assert "no key 'c'; set `table` to one of: a, key 2" in message(path, table="c")


@pytest.mark.parametrize("between", ["\n", "", "\n\n"])
def test_objects_that_follow_each_other_over_several_lines_are_rows(path, between):
    objects = [json.dumps({"q": text}, ensure_ascii=False, indent=2) for text in ("صداع", "حمى")]
    assert read(written(path, between.join(objects)))["q"].tolist() == ["صداع", "حمى"]


@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_without_lists_is_a_row(path, indent):
    assert read(written(path, json.dumps({"q": "صداع", "n": 1}, indent=indent)))["q"].tolist() == ["صداع"]


@pytest.mark.parametrize("cell", ['["حمى", 1]', '{"text": "حمى"}'])
@pytest.mark.parametrize("template", ["{0}\n{1}\n", "[{0}, {1}]"])
def test_what_is_nested_is_no_text(path, cell, template):
    text = message(written(path, template.format('{"a": 1, "q": "صداع"}', f'{{"a": 1, "q": {cell}}}')))
    assert "row 2, column 2: expected a text, found a list or an object" in text


@pytest.mark.parametrize("cell", ['["حمى"]', '"حمى"', '["38.5"]', "[38.5]", "[]", "[null]"])
@pytest.mark.parametrize("template", ["{0}\n{1}\n", "[{0}, {1}]", "{1}"])
def test_a_list_of_one_is_what_is_in_it(path, cell, template):
    table = read(written(path, template.format('{"a": 1, "q": "صداع"}', f'{{"a": 1, "q": {cell}}}')))
    assert table["q"].tolist()[-1] == cell.strip('[]"').replace("null", "")


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("orient", ["columns", "index", "split", "records", "table"])
def test_a_table_of_pandas_is_read_as_the_table_it_is(path, orient, indent):
    """Whatever its index: filtered, shuffled or of names."""
    rows = pd.DataFrame({"q": ["صداع", "حمى", None], "a": ["راحة", "ماء", "دواء"]}, index=[4, 0, 2])
    text = rows.to_json(orient=orient, force_ascii=False, indent=indent)
    table = read(written(path, text))
    assert table[["q", "a"]].to_dict("list") == {"q": ["صداع", "حمى", ""], "a": ["راحة", "ماء", "دواء"]}


def test_columns_with_rows_that_have_names_are_a_table(path):
    named = pd.DataFrame({"q": ["صداع", "حمى"], "a": ["راحة", "ماء"]}, index=["p1", "p2"])
    assert read(written(path, named.to_json()))["q"].tolist() == ["صداع", "حمى"]


@pytest.mark.parametrize("indent", [None, 2])
def test_an_object_of_lists_of_one_length_is_a_table(path, indent):
    columns = {"q": ["صداع", "حمى"], "a": [["راحة"], "ماء"], "n": [1, None]}
    table = read(written(path, json.dumps(columns, indent=indent)))
    assert table.to_dict("list") == {"q": ["صداع", "حمى"], "a": ["راحة", "ماء"], "n": ["1", ""]}


@pytest.mark.parametrize(
    "columns",
    [
        {"q": [SECRET, SECRET], "a": [SECRET]},
        {"q": {"0": SECRET, "1": SECRET}, "a": {"0": SECRET}},
        {"columns": ["q", "a"], "index": [0], "data": [[SECRET]]},
    ],
)
def test_columns_of_different_lengths_are_no_table(path, columns):
    assert "expected a list of JSON objects" in message(written(path, json.dumps(columns)))


def test_two_columns_of_one_name_are_refused_where_they_are_listed(path):
    columns = {"columns": ["q", "q"], "data": [[SECRET, SECRET]]}
    assert "a key stands twice" in message(written(path, json.dumps(columns)))


def test_nested_columns_are_refused_where_they_are_a_table(path):
    columns = {"question": {"0": SECRET}, "answer": {"0": {"text": [SECRET], "answer_start": [0]}}}
    refusal = message(written(path, json.dumps(columns)))
    assert "row 1, column 'answer': expected a text, found a list or an object" in refusal


def test_keys_that_are_values_are_refused(path):
    rows = [json.dumps({f"05012{number:05}": "صداع"}) for number in range(1001)]
    assert "1,001 columns" in message(written(path, "\n".join(rows)))


def test_a_cell_that_holds_a_whole_file_is_refused(path):
    cell = json.dumps("ص" * 4_000_001)
    text = message(written(path, f'{{"answer": "a"}}\n{{"answer": {cell}}}\n'))
    assert "row 2, column 'answer': a cell of more than 4,000,000 characters" in text


def test_half_an_emoji_does_not_stop_the_row(path, tmp_path):
    table = read(written(path, '{"q": "صداع"}\n{"q": "حمى \\ud83d"}\n'))
    assert table["q"].str.startswith("حمى").tolist() == [False, True]
    table.to_parquet(tmp_path / "out")
