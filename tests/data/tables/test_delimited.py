import csv
import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.tables.delimited import Delimited
from pipeline.errors import WaznError

SECRET = "مريم"
SWALLOWED = "looks like a row of its own"


@pytest.fixture
def table(tmp_path):
    """A table of a text: its columns and rows, of which there are as many as are counted by themselves."""

    def read(text, codec="utf-8"):
        path = tmp_path / "t"
        path.write_bytes(text.encode(codec))
        delimited = Delimited(path, "t", codec)
        rows = [row for _, row in delimited.rows(range(len(delimited.columns)))]
        assert delimited.records() == len(rows)
        return delimited.columns, rows

    return read


@pytest.fixture
def fault(table):
    """The sentence that a text is refused with."""

    def refused(text):
        with pytest.raises(WaznError) as caught:
            table(text)
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert SECRET not in sentence
        return sentence

    return refused


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


# ---- stray quotation marks ----------------------------------------------------------------------

OTHERS = "سعال,دم\nحمى,ماء\n"


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "rows",
    [
        '"صداع,راحة\nحمى,ماء\nسعال",دم\n',
        'صداع,"راحة\nحمى,ماء\nسعال,دم"\n',
        '"صداع,راحة\nسعال",دم',
        '"صداع,راحة\nحمى,ماء\nسعال,", دم"\n',
        'صداع,"راحة\nحمى,ماء\nسعال,"\nدم"\n',
        'صداع,"راحة\nحمى,ماء\n\nسعال,دم"',
    ],
    ids=["first", "second", "two rows", "to a quotation", "to a line end", "last, with a blank line"],
)
def test_rows_that_a_quotation_swallows_are_refused_by_line(fault, rows, separator, end):
    text = f"q,a\n{OTHERS}{rows}".replace(",", separator).replace("\n", end)
    assert (
        f"line 4: a quotation opens here and closes in a later line, but each of these lines {SWALLOWED}"
        in (fault(text))
    )


def test_many_swallowed_rows_are_found_though_one_looks_like_text(fault):
    rows = "".join(f"سؤال {n},جواب {n}\n" for n in range(40))
    assert SWALLOWED in fault(f'q,a\n"صداع,راحة\n{rows}بلا فاصلة\n{rows}سعال",دم\n')


def test_rows_that_are_swallowed_are_found_in_wider_tables(fault):
    assert "line 2" in fault('n,q,a,s\n1,"صداع,راحة,عام\n2,حمى,ماء,عام\n3,سعال",دم,عام\n')


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        (f'q,a\n{OTHERS}"{SECRET},راحة\nحمى,ماء\n', 4, "never closed"),
        (f'q,a\n{OTHERS}صداع,"{SECRET}', 4, "never closed"),
        (f'q,a\n"ص\nح","{SECRET}\nحمى,ماء\n', 3, "never closed"),
        (f'"q,a\n{SECRET},ماء\n', 1, "never closed"),
        (f'q,a\n{OTHERS}"{SECRET},راحة\nحمى,"ماء, نوم"\n', 4, "text follows its closing mark"),
        (f'q,a\n{OTHERS}"{SECRET},راحة\nحمى,قال "نعم"\n', 4, "text follows its closing mark"),
        (f'q,a\nصداع,"قال "{SECRET}" ثم"\n', 2, "text follows its closing mark"),
        (f'q,a\n"ص\nح","x" {SECRET}\n', 3, "text follows its closing mark"),
        (f'"q","a"\n"ص","{SECRET}\n"ح","م"\n', 2, "text follows its closing mark"),
        (f'"q","a"\n"ص","{SECRET}\n"","م"\n', 2, "text follows its closing mark"),
    ],
)
def test_a_quotation_that_does_not_close_properly_is_refused_by_the_line_that_opens_it(
    fault, text, line, expected
):
    for end in ("\n", "\r\n"):
        sentence = fault(text.replace("\n", end))
        assert f"t, line {line}: " in sentence
        assert expected in sentence


TEXTS = [
    "راحة, ماء\nنوم, هدوء\nوراجع الطبيب",
    "مقدمة بلا فاصلة\nراحة, وماء\n\nثم نوم, وهدوء",
    "سطر\nسطر, وفاصلة",
    "راحة, ماء, نوم\nسطر\n\nسطر, وسطر",
    "1- راحة\n2- ماء\n3- نوم,",
    "قال: «نعم», ثم\nقال, لا",
    '"راحة", "ماء"\n"نوم", "هدوء"',
    "\nراحة, ماء\n",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_of_several_lines_with_commas_are_read(table, text, place, quoting, end):
    row = ["سعال", "دم"]
    row[place] = text
    for rows in ([row], [["حمى", "ماء"], row], [row, ["حمى", "ماء"]], [row] * 3):
        written = io.StringIO(newline="")
        csv.writer(written, quoting=quoting, lineterminator=end).writerows([["q", "a"], *rows])
        assert table(written.getvalue())[1] == rows


def test_where_all_is_quoted_a_text_may_look_like_rows(table):
    assert table('"q","a"\n"سعال","راحة,ماء\nنوم,هدوء"\n')[1] == [["سعال", "راحة,ماء\nنوم,هدوء"]]
    assert table('"q","a"\n"راحة,ماء\nنوم","هدوء"\n')[1] == [["راحة,ماء\nنوم", "هدوء"]]


def test_a_space_after_a_comma_tells_a_text_where_some_cells_begin_with_one(table, fault):
    """Of twenty cells one begins with a space, as typed by hand."""
    others = [f"سؤال {n},{' ' * (n % 20 == 0)}جواب {n}\n" for n in range(100)]
    for text in ("التهاب\nراحة , ثم ماء", "التهاب\n راحة, ثم ماء\nونوم, وهدوء"):
        assert [text in row for row in table(f'q,a\n{"".join(others)}سعال,"{text}"\n')[1]][-1]
    spaced = "".join(others).replace(",", ", ")
    assert "line 102" in fault(f'q, a\n{spaced}سعال,"دم\nصداع, راحة"\n')


def test_where_texts_often_look_like_rows_some_may(table, fault):
    """One line in ten has one comma without a space, so some answers of two lines have one each."""
    chance = random.Random(5)

    def written(share):
        lines = [
            ["راحة,ماء" if chance.random() < share else "راحة وماء" for _ in range(2)] for _ in range(2000)
        ]
        return "q,a\n" + "".join(f'سعال,"دم{{}}\n{one} {n}\n{two}"\n' for n, (one, two) in enumerate(lines))

    assert len(table(written(0.1))[1]) == 2000
    assert "line 6002" in fault(written(0) + 'سعال,"راحة\nحمى,ماء\nسعال,دم"\n')


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
