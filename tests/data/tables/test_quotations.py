"""A stray quotation mark swallows no row; a text of several lines is read."""

import csv
import functools
import io
import random
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import WaznError

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data"

SECRET = "مريم"
SWALLOWED = "looks like a row of its own"

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
    "جرعة\nدواء 1,5 مل\nدواء ٢,٥ مل",
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


# ---- real posts, of which half have several lines -------------------------------------------------


@functools.cache
def real_posts():
    posts = pd.read_excel(REAL / "severity_posts.xlsx").astype(str)
    # As they are, and with commas that ask for quotation marks.
    return [posts[["Post", "Plan"]], posts[["Post", "Plan"]].replace("،", ",", regex=True)]


def lines_of(rows):
    """How each row is written as CSV."""
    for row in rows:
        written = io.StringIO(newline="")
        csv.writer(written, lineterminator="\n").writerow(row)
        yield written.getvalue()


@pytest.mark.skipif(not REAL.is_dir(), reason="real data is not beside this checkout")
def test_real_posts_come_back_as_they_were_written(table):
    for posts in real_posts():
        for seed in range(5):
            rows = posts.sample(500, random_state=seed).to_numpy().tolist()
            assert table("q,a\n" + "".join(lines_of(rows)))[1] == rows


@pytest.mark.skipif(not REAL.is_dir(), reason="real data is not beside this checkout")
@pytest.mark.parametrize("marks", ["one", "two"])
def test_no_row_of_real_posts_is_lost_to_stray_marks(table, marks):
    chance, refused = random.Random(7), 0
    for seed in range(40):
        posts = real_posts()[seed % 2].sample(100, random_state=seed)
        lines = list(lines_of(posts.to_numpy().tolist()))
        plain = [number for number, line in enumerate(lines) if '"' not in line and line.count(",") == 1]
        first, last = sorted(chance.sample(plain, 2))
        column = chance.randrange(2)
        cells = lines[first].rstrip("\n").split(",")
        cells[column] = f'"{cells[column]}'
        lines[first] = ",".join(cells) + "\n"
        if marks == "two":
            cells = lines[last].rstrip("\n").split(",")
            cells[column] += '"'
            lines[last] = ",".join(cells) + "\n"
        try:
            assert len(table("q,a\n" + "".join(lines))[1]) == len(lines)
        except WaznError as error:
            refused += 1
            assert ", line " in str(error)
    assert refused > 30
