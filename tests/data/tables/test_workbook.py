import datetime
import io
import re
import zipfile

import openpyxl
import pytest

from pipeline.data.tables.readers import open_table, open_tables
from pipeline.errors import WaznError

SECRET = "مريم"


@pytest.fixture
def write(tmp_path):
    def workbook(*rows, **sheets):
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        for title, others in sheets.items():
            sheet = book.create_sheet(title)
            for row in others:
                sheet.append(row)
        book.save(tmp_path / "t.xlsx")
        return tmp_path / "t.xlsx"

    return workbook


def rewrite(path, part, pattern, replacement, count=0):
    """Change a part of the workbook's XML, as another program might have written it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    changed = re.sub(pattern, lambda _: replacement, members[part].decode(), count=count)
    assert changed != members[part].decode()
    members[part] = changed.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    path.write_bytes(buffer.getvalue())
    return path


def rows(path, *columns, sheet=None):
    table = open_table(path, "t", table=sheet)
    batches = table.batches(columns)
    return [row for batch in batches for row in zip(batch.index, batch.to_numpy().tolist(), strict=True)]


def refused(path, *columns, sheet=None):
    with pytest.raises(WaznError) as caught:
        rows(path, *columns, sheet=sheet)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


SHEET = "xl/worksheets/sheet1.xml"


def test_blank_rows_count_but_are_no_rows(write):
    path = write(["q"], ["صداع"], [None], ["حمى"], [None], [None])
    rewrite(path, SHEET, "</sheetData>", '<row r="9"><c r="A9"/></row></sheetData>')
    assert rows(path, "q") == [(2, ["صداع"]), (4, ["حمى"])]


def test_the_first_row_that_is_not_blank_is_the_header(write):
    assert rows(write([None], [None, " q "], [1, "صداع"]), "q") == [(2, ["صداع"])]


def test_cells_become_text_and_errors_nothing(write):
    day = datetime.datetime(2020, 1, 31)
    path = write(["a", "b", "c", "d", "e"], [1.0, 0.25, True, day, "#N/A"])
    [(_, cells)] = rows(path, *"abcde")
    assert cells == ["1", "0.25", "True", "2020-01-31", ""]


def test_a_wrong_extent_loses_no_rows(write):
    path = write(["q", "a"], ["صداع", "راحة"])
    rewrite(path, SHEET, '<dimension ref="A1:B2"', '<dimension ref="A1"')
    assert rows(path, "q", "a") == [(2, ["صداع", "راحة"])]


def test_a_sheet_is_chosen_by_its_title(write):
    path = write(["q"], ["صداع"], بيانات=[["q"], ["حمى"]])
    assert rows(path, "q", sheet="بيانات") == [(2, ["حمى"])]
    assert rows(path, "q", sheet=" بيانـات\u200f") == [(2, ["حمى"])]
    assert "no sheet 'none'; set `table` to one of: Sheet, بيانات" in refused(path, "q", sheet="none")
    assert "has 2 tables; set `table` to one of: Sheet, بيانات" in refused(path, "q")


def test_an_empty_sheet_is_no_table(write):
    assert rows(write(["q"], ["صداع"], فارغة=[], أخرى=[[None], [" "]]), "q") == [(2, ["صداع"])]


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_is_read_only_where_it_is_named(write, state):
    path = write(["q"], ["قديم"], بيانات=[["q"], ["حمى"]])
    rewrite(path, "xl/workbook.xml", 'state="visible"', f'state="{state}"', 1)
    assert rows(path, "q") == [(2, ["حمى"])]
    assert rows(path, "q", sheet="Sheet") == [(2, ["قديم"])]
    rewrite(path, "xl/workbook.xml", 'state="visible"', f'state="{state}"')
    assert "every sheet with cells is hidden; set `table` to one of: Sheet, بيانات" in refused(path, "q")


def test_titles_above_the_header_are_no_part_of_the_table(write):
    path = write(
        ["تقرير العيادة"], [None], ["السنة", 2024], ["رقم", "السؤال", "الجواب"], [1, "صداع", "راحة"]
    )
    assert rows(path, "السؤال", "الجواب") == [(2, ["صداع", "راحة"])]


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("صداع_x000D_\nوحمى", "صداع\nوحمى"),
        ("صداع_x000D_وحمى", "صداع\nوحمى"),
        ("صداع_x000d__x000A_وحمى", "صداع\nوحمى"),
        ("a_x0009_b", "a\tb"),
        ("_xD83D__xDE00_", "😀"),
        ("_x00_ _xyz_ a_x", "_x00_ _xyz_ a_x"),
    ],
)
def test_escaped_characters_become_themselves(write, cell, text, inline):
    assert rows(holding(write(["q"], ["CELL"]), f"<t>{cell}</t>", inline), "q") == [(2, [text])]


def holding(path, text, inline=True):
    """The workbook, in which the cell CELL has a text of its own or is one of the shared strings."""
    if inline:
        return rewrite(path, SHEET, r"<t[^>]*>CELL</t>", text)
    rewrite(path, SHEET, r't="inlineStr"><is><t[^>]*>CELL</t></is>', 't="s"><v>0</v>')
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    part = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
    rewrite(path, "[Content_Types].xml", "</Types>", part)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{name}"><si>{text}</si></sst>')
    return path


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1"),
        (37.4, "37.4"),
        (0.1 + 0.2, "0.3"),
        (966501234567.0, "966501234567"),
        (1e-7, "1e-07"),
        (-2, "-2"),
    ],
)
def test_numbers_are_read_as_programs_show_them(write, number, text):
    assert rows(write(["q"], [number]), "q") == [(2, [text])]


def test_a_merged_cell_counts_in_each_of_its_rows(write):
    path = write(["q", "label"], ["صداع", "حرج"], ["حمى"], ["سعال"], ["زكام", "بسيط"])
    rewrite(path, SHEET, "</sheetData>", '</sheetData><mergeCells><mergeCell ref="B2:B4"/></mergeCells>')
    found = [tuple(cells) for _, cells in rows(path, "q", "label")]
    assert found == [("صداع", "حرج"), ("حمى", "حرج"), ("سعال", "حرج"), ("زكام", "بسيط")]


@pytest.mark.parametrize("inline", [True, False])
def test_text_in_several_fonts_is_one_text(write, inline):
    runs = '<r><rPr><b/></rPr><t xml:space="preserve">ألم </t></r><r><t>شديد</t></r>'
    path = holding(write(["q"], ["CELL"]), f'{runs}<rPh sb="0" eb="1"><t>x</t></rPh>', inline)
    assert rows(path, "q") == [(2, ["ألم شديد"])]


def test_rows_out_of_order_are_not_lost_in_silence(write):
    path = write(["q"], ["صداع"], ["حمى"], ["سعال"])
    rewrite(path, SHEET, 'row r="4"', 'row r="2"')
    assert "it has 3 records, but 2 rows were read" in refused(path, "q")


@pytest.mark.slow
@pytest.mark.parametrize("number", ["1048577", "99999999999"])
def test_more_rows_than_a_sheet_can_have_are_refused(write, number):
    path = rewrite(write(["q"], ["صداع"]), SHEET, 'row r="2"', f'row r="{number}"')
    assert "not readable as XLSX" in refused(path, "q")


@pytest.mark.slow
def test_the_last_row_of_a_sheet_is_read(write):
    path = rewrite(write(["q"], ["صداع"]), SHEET, 'row r="2"', 'row r="1048576"')
    assert rows(path, "q") == [(1048576, ["صداع"])]


def test_a_date_that_is_none_is_not_quoted_on_the_way(write, recwarn):
    path = write(["q", "a"], [datetime.datetime(2020, 1, 31), "x"])
    rewrite(path, SHEET, "<v>43861</v>", "<v>501234567</v>")
    assert rows(path, "q", "a") == [(2, ["", "x"])]
    assert not recwarn.list


def test_a_cell_that_is_repeated_is_counted_each_time(write):
    path = holding(write(["q"], *[["CELL"]] * 90), f"<t>{'ص' * 30_000}</t>", inline=False)
    assert path.stat().st_size < 10_000
    [table] = open_tables(path, "t", max_mb=2)
    with pytest.raises(WaznError, match="t: expands to more than 2 MB"):
        list(table.batches(["q"]))


def test_a_formula_has_the_value_that_was_computed(write):
    path = write(["q", "a"], [SECRET, "=1+1"])
    rewrite(path, SHEET, r"(<f>1\+1</f>)<v\s*/>|(<f>1\+1</f>)<v></v>", "<f>1+1</f><v>2</v>")
    assert rows(path, "a") == [(2, ["2"])]


def test_a_formula_whose_value_is_empty_text_is_read(write):
    path = write(["q", "a"], [SECRET, "=1+1"])
    rewrite(path, SHEET, r'<c r="B2"[^>]*>', '<c r="B2" t="str">')
    assert rows(path, "a") == [(2, [""])]


def test_a_formula_without_its_value_is_refused_with_its_row(write):
    path = write([None], ["q", "a"], [SECRET, "راحة"], [SECRET, '=CONCAT("a","b")'])
    assert "row 4: a formula without its value" in refused(path, "a")
    assert rows(path, "q") == [(2, [SECRET]), (3, [SECRET])], (
        "in a column that is not needed it does no harm"
    )


@pytest.mark.parametrize("part", ["xl/workbook.xml", SHEET, "[Content_Types].xml"])
def test_a_broken_part_is_refused(write, part):
    path = write(["q"], [SECRET])
    rewrite(path, part, "(?s).*", f"<{SECRET}")
    with pytest.raises(WaznError, match="not readable as XLSX") as caught:
        list(open_table(path, "t").batches(["q"]))
    assert SECRET not in str(caught.value)


def test_an_empty_workbook_has_no_columns(write):
    with pytest.raises(WaznError, match="no names of columns"):
        open_table(write(), "t")
