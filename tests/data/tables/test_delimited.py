import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.tables.delimited import Delimited
from pipeline.errors import WaznError

SECRET = "مريم"


# ---- what stands between fields and rows --------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_line_ends_and_marks_of_encoding(table, separator, end, codec):
    lines = ["q,a", "صداع؛ حمى,راحة", "", '"سعال,دم",ماء', "   ", f'ألم,"سطر{end}{end}سطر: ""نعم"""', ""]
    text = end.join(lines).replace(",", separator)
    assert table(text, codec) == (
        ["q", "a"],
        [
            ["صداع؛ حمى", "راحة"],
            [f"سعال{separator}دم", "ماء"],
            ["ألم", f'سطر{end}{end}سطر: "نعم"'],
        ],
    )


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "SEP=;\n", "\ufeffsep=;\n"])
def test_the_separator_that_a_first_line_declares_is_taken(table, first):
    text = f"{first}q,x,y;a\nصداع, حمى, سعال;راحة\n"
    assert table(text) == (["q,x,y", "a"], [["صداع, حمى, سعال", "راحة"]])


def test_a_separator_at_the_end_of_every_line_is_nothing(table):
    assert table("q,a,\nصداع,راحة,\nحمى,ماء,\n")[1] == [["صداع", "راحة", ""], ["حمى", "ماء", ""]]
    assert table("q,a\nصداع,راحة,\nحمى,ماء,,\n")[1] == [["صداع", "راحة"], ["حمى", "ماء"]]
    assert table("q,a,\nصداع,راحة\nحمى,ماء\n")[1] == [["صداع", "راحة", ""], ["حمى", "ماء", ""]]


def test_the_character_that_ends_files_of_dos_is_no_row(table):
    assert table("q,a\r\nصداع,راحة\r\n\x1a")[1] == [["صداع", "راحة"]]


def test_spaces_before_quotations_do_not_count_where_they_are_the_custom(table):
    assert table('q, a\n"صداع", "راحة, ماء"\n "حمى", "ماء"\n')[1] == [
        ["صداع", "راحة, ماء"],
        ["حمى", "ماء"],
    ]
    assert table('q,a\nصداع, "راحة" وماء\nحمى,ماء\n')[1] == [["صداع", ' "راحة" وماء'], ["حمى", "ماء"]]


def test_quotation_marks_within_a_field_are_text(table):
    rows = table('q,a\nمقاس 5" للجبيرة,قال "نعم" ثم سكت\n"",""\n')[1]
    assert rows == [['مقاس 5" للجبيرة', 'قال "نعم" ثم سكت'], ["", ""]]


def test_empty_fields_may_be_left_out_where_others_are_empty(table, fault):
    assert table("q,a,s\nصداع,راحة\nحمى,ماء,\n")[1] == [["صداع", "راحة", ""], ["حمى", "ماء", ""]]
    assert "line 2: fewer fields (2) than the header (3)" in fault("q,a,s\nصداع,راحة\nحمى,ماء,عام\n")


@pytest.mark.parametrize("tail", ["", "\nحمى,ماء\n", "\nحمى,\n"])
def test_a_line_of_a_text_is_no_row(fault, tail):
    assert "line 3: fewer fields (1) than the header (2)" in fault(f"q,a\nصداع,راحة\n{SECRET}{tail}")


def test_too_many_fields_are_refused_by_line(fault):
    assert "line 4: more fields (3) than the header (2)" in fault(f'q,a\n"ص\nح",ر\nحمى,{SECRET},ماء\n')


# ---- backslashes --------------------------------------------------------------------------------


def test_quotation_marks_after_backslashes_are_text(table):
    """As MySQL and Spark write them."""
    text = 'q,a\n"قال: \\"تعال\\", ثم سكت","راحة"\n"سعال\\\\","ماء\\\nونوم\\nوهدوء"\n\\N,"a ""b"""\n'
    assert table(text)[1] == [
        ['قال: "تعال", ثم سكت', "راحة"],
        ["سعال\\", "ماء\nونوم\nوهدوء"],
        ["", 'a "b"'],
    ]


def test_mysql_writes_backslashes_instead_of_quotation_marks(table):
    text = "q\ta\tn\nصداع\\\nوحمى\tراحة\\\tوماء\t\\N\nسعال\\tجاف\tC:\\\\x\tN\n"
    assert table(text)[1] == [["صداع\nوحمى", "راحة\tوماء", ""], ["سعال\tجاف", "C:\\x", "N"]]


@pytest.mark.parametrize(
    "text",
    [
        'q,a\n"حمى\\, سعال",ماء\nC:\\n,ماء\n',
        'q,a\n"C:\\","ماء"\nحمى,ماء\n',
        "q,a\nC:\\,ماء\nحمى,ماء\\\n",
        'q,a\n"x\\",b\n"y\\",c\n',
    ],
)
def test_backslashes_without_a_meaning_stay(table, text):
    assert sum(cell.count("\\") for row in table(text)[1] for cell in row) == text.count("\\")


def test_a_missing_value_or_an_escaped_mark_makes_backslashes_meaningful(table):
    assert table("q,a\nحمى\\nوسعال,ماء\nسعال,\\N\n")[1] == [["حمى\nوسعال", "ماء"], ["سعال", ""]]
    assert table("q\ta\nحمى\\nوسعال\tماء\\\\\\tنوم\n")[1] == [["حمى\nوسعال", "ماء\\\tنوم"]]
    assert table('q,a\nقال \\"نعم\\",ماء\n')[1] == [['قال "نعم"', "ماء"]]
    assert table("q,a\nحمى\\nوسعال,ماء\nسعال,N\n")[1] == [["حمى\\nوسعال", "ماء"], ["سعال", "N"]]


def test_a_file_that_can_be_read_in_two_ways_is_refused(fault):
    # Either two rows, or one whose question has two lines.
    assert "line 2: a backslash stands before a quotation mark" in fault('q,a\n"ص\\", ح\nس",ر\n')


# ---- size ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["", '"', 'ماء,"'])
def test_a_cell_of_four_million_characters_is_refused(fault, start):
    sentence = fault(f"q,a\nحمى,ماء\n{start}{'ص' * 4_000_001}")
    assert "line 3: a cell that begins here has more than 4,000,000 characters" in sentence
    assert "quotation mark is never closed, or the cell holds a whole file" in sentence


def test_a_quotation_that_swallows_much_is_refused_before_the_end(fault):
    assert "line 2: a cell that begins here" in fault('q,a\n"' + "صداع,ماء\n" * 500_000)


# ---- any file -----------------------------------------------------------------------------------

CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\"',;\t|"))


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.sampled_from([",", ";", "|", "\t"]))
def test_any_cells_come_back_as_they_were_written(tmp_path_factory, rows, separator):
    path = tmp_path_factory.getbasetemp() / "cells"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL)
        writer.writerows([["question", "answer"], *rows])
    table = Delimited(path, "t", "utf-8")
    assert [tuple(cells) for _, cells in table.rows([0, 1])] == rows
    assert table.records() == len(rows)


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from('صح,"\n\r \\;'), max_size=20))
def test_whatever_is_read_is_read_in_full(tmp_path_factory, text):
    """The count does not share the reader's way, and what it would lose is refused."""
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(f"q,a\n{text}".encode())
    try:
        table = Delimited(path, "t", "utf-8")
        rows = len(list(table.rows([0, 1])))
    except WaznError as error:
        assert ", line " in str(error)
    else:
        assert table.records() == rows
