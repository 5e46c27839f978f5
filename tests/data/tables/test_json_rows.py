import json
import sys

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
