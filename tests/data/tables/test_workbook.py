import datetime
import io
import re
import zipfile

import openpyxl
import pytest

from pipeline.data.tables.readers import open_table
from pipeline.data.tables.workbook import Workbook
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


def rewrite(path, part, pattern, replacement):
    """Change a part of the workbook's XML, as another program might have written it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    changed = re.sub(pattern, replacement, members[part].decode())
    assert changed != members[part].decode()
    members[part] = changed.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    path.write_bytes(buffer.getvalue())


def rows(path, *columns, sheet=None):
    book = Workbook(path, "t", sheet)
    return list(book.rows([book.columns.index(column) for column in columns]))


def refused(path, *columns, sheet=None):
    with pytest.raises(WaznError) as caught:
        rows(path, *columns, sheet=sheet)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


SHEET = "xl/worksheets/sheet1.xml"


def test_blank_rows_count_those_at_the_end_are_no_rows(write):
    path = write(["q"], ["صداع"], [None], ["حمى"], [None], [None])
    rewrite(path, SHEET, "</sheetData>", '<row r="9"><c r="A9"/></row></sheetData>')
    assert rows(path, "q") == [(2, ["صداع"]), (3, [""]), (4, ["حمى"])]


def test_the_first_row_that_is_not_blank_is_the_header(write):
    assert rows(write([None], [None, " q "], [1, "صداع"]), "q") == [(2, ["صداع"])]


def test_cells_become_text_and_errors_nothing(write):
    day = datetime.datetime(2020, 1, 31)
    path = write(["a", "b", "c", "d", "e"], [1.0, 0.25, True, day, "#N/A"])
    [(_, cells)] = rows(path, *"abcde")
    assert cells == ["1", "0.25", "True", "2020-01-31 00:00:00", ""]


def test_a_wrong_extent_loses_no_rows(write):
    path = write(["q", "a"], ["صداع", "راحة"])
    rewrite(path, SHEET, '<dimension ref="A1:B2"', '<dimension ref="A1"')
    assert rows(path, "q", "a") == [(2, ["صداع", "راحة"])]


def test_a_sheet_is_chosen_by_its_title_and_else_the_first(write):
    path = write(["q"], ["صداع"], بيانات=[["q"], ["حمى"]])
    assert rows(path, "q") == [(2, ["صداع"])]
    assert rows(path, "q", sheet="بيانات") == [(2, ["حمى"])]
    assert "set `table` to one of its sheets: Sheet, بيانات" in refused(path, "q", sheet="none")


def test_a_formula_has_the_value_that_was_computed(write):
    path = write(["q", "a"], [SECRET, "=1+1"])
    rewrite(path, SHEET, r"(<f>1\+1</f>)<v\s*/>|(<f>1\+1</f>)<v></v>", "<f>1+1</f><v>2</v>")
    assert rows(path, "a") == [(2, ["2"])]


def test_a_formula_whose_value_is_empty_text_is_read(write):
    path = write(["q", "a"], [SECRET, "=1+1"])
    rewrite(path, SHEET, r'<c r="B2"[^>]*>', '<c r="B2" t="str">')
    assert rows(path, "a") == [(2, [""])]


def test_a_formula_without_its_value_is_refused_with_sheet_and_row(write):
    path = write([None], ["q", "a"], [SECRET, "راحة"], [SECRET, '=CONCAT("a","b")'])
    assert "sheet Sheet, row 4: a formula without its value" in refused(path, "a")
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
