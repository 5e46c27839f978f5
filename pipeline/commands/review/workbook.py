"""The workbook of a rater: what the page has, for those who would rather fill in a sheet."""

import datetime
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, PatternFill, Protection, Side
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from pipeline.commands.review.html import shown_scales
from pipeline.commands.review.sheets import CHOICES, TIE

if TYPE_CHECKING:
    from pipeline.commands.review.design import Item
    from pipeline.config.review import ScalesConfig

INSTRUCTIONS = (
    ("برنامج بحثي، وليس جهازا طبيا.", "Research software, not a medical device."),
    (
        "في الورقة التالية شكاوى كتبها مرضى، ولكل شكوى عدة أجوبة بلا أسماء، كل جواب في صف. قيّم كل جواب على "
        "حدة، ثم اختر لكل شكوى الجواب الذي تفضّله.",
        "The next sheet has complaints that patients wrote, each with several answers without names, one a "
        "row. Rate each answer by itself, then choose for each complaint the answer that you prefer.",
    ),
    (
        "يتغيّر ترتيب الأجوبة من شكوى إلى أخرى، فلا يدل الحرف على شيء. قد تعود شكوى مرة أخرى: قيّمها كأنك "
        "تراها أول مرة.",
        "The order of the answers changes from complaint to complaint: a letter means nothing. A complaint "
        "may come again: judge it as if you saw it for the first time.",
    ),
    (
        "اختر من القائمة في كل خلية صفراء. الملاحظة اختيارية، ولا تكتب فيها ما يدل على شخص. احفظ الملف "
        "وأعده.",
        "Choose from the list in each yellow cell. The remark may stay empty; write nothing in it that "
        "tells who somebody is. Save the file and return it.",
    ),
)
_HEADS = {
    "round": ("", ""),
    "rater": ("", ""),
    "item": ("الرقم", "Number"),
    "letter": ("الحرف", "Letter"),
    "complaint": ("الشكوى", "Complaint"),
    "answer": ("الجواب", "Answer"),
    "preferred": ("أي جواب تفضّل؟", "Which answer do you prefer?"),
    "remark": ("ملاحظة (اختيارية)", "Remark (if you like)"),
}
_WIDTHS = {"item": 9, "letter": 7, "complaint": 52, "answer": 62, "preferred": 22, "remark": 36}
_RATING_WIDTH = 22
_HIDDEN = ("round", "rater")
# One cell for all answers of a complaint.
_MERGED = ("complaint", "preferred", "remark")
_FREE = PatternFill("solid", start_color="FFF7DC")
_EDGE = Side("thin", color="C8C8C0")
_TOP = Side("medium", color="55606A")
# A row may be this high, in points.
_MAX_HEIGHT = 409.0
_LINE_HEIGHT = 17.0
_TIME = datetime.datetime(2000, 1, 1)
_NO_XML = {0xFFFE: "[U+FFFE]", 0xFFFF: "[U+FFFF]"}


@dataclass(frozen=True)
class _Column:
    """A column of ratings with the choices it offers: the value that is saved, and what the cell shows."""

    name: str
    question: str
    choices: list[tuple[Any, str]]


def workbook(round_name: str, rater: str, items: Sequence["Item"], scales: "ScalesConfig") -> bytes:
    """The XLSX file; the same arguments give the same bytes.

    Everything is locked but the ratings, which are chosen from lists, and the remark. The lists are on a
    hidden sheet of their own, by which `sheets.read_ratings` knows what a choice means.

    Args:
        round_name, rater, items, scales: as `html.page`.
    """
    book = Workbook()
    about, ratings = book.active, book.create_sheet("ratings")
    about.title = "تعليمات - Read me"
    _write_instructions(about)
    columns = _columns(scales, list(items[0].letters))
    ranges = _write_choices(book.create_sheet(CHOICES), columns)
    _write_ratings(ratings, round_name, rater, items, columns)
    last = ratings.max_row
    names = [cell.value for cell in ratings[2]]
    for column in columns:
        allowed = DataValidation("list", formula1=ranges[column.name], allow_blank=True)
        allowed.showErrorMessage = True
        allowed.errorTitle = "اختر من القائمة"
        allowed.error = "اختر من القائمة. Choose from the list."
        letter = ratings.cell(2, names.index(column.name) + 1).column_letter
        allowed.add(f"{letter}3:{letter}{last}")
        ratings.add_data_validation(allowed)
    for sheet in book.worksheets:
        sheet.sheet_view.rightToLeft = True
        sheet.protection.sheet = True
        # What is locked are cells; widths and heights may change.
        sheet.protection.formatColumns = sheet.protection.formatRows = False
    book.security.lockStructure = True
    book.active = 1
    about.sheet_view.tabSelected = False
    book.properties.creator = "wazn"
    return _same_bytes(book)


def _columns(scales: "ScalesConfig", letters: Sequence[str]) -> list[_Column]:
    columns = []
    for scale in shown_scales(scales):
        choices = [
            # With its number no two steps are the same.
            (step["value"], f"{number} · {step['label']['ar']} · {step['label']['en']}")
            for number, step in enumerate(scale["steps"], start=1)
        ]
        columns.append(_Column(scale["name"], "\n".join(scale["question"].values()), choices))
    preferred = [*((letter, letter) for letter in letters), (TIE, "لا فرق · No difference")]
    return [*columns, _Column("preferred", "\n".join(_HEADS["preferred"]), preferred)]


def _write_instructions(sheet: Worksheet) -> None:
    sheet.column_dimensions["A"].width = 110
    row = 0
    for language, direction in ((0, 2), (1, 1)):
        for lines in INSTRUCTIONS:
            row += 1
            cell = _put(sheet, row, 1, lines[language])
            cell.alignment = Alignment(
                wrap_text=True,
                vertical="top",
                horizontal="right" if language == 0 else "left",
                readingOrder=direction,
            )
            cell.font = Font(bold=lines is INSTRUCTIONS[0], size=12)
            sheet.row_dimensions[row].height = _LINE_HEIGHT * (1 + len(lines[language]) // 105) + 6
        row += 1


def _write_choices(sheet: Worksheet, columns: Sequence[_Column]) -> dict[str, str]:
    """The hidden sheet with the lists; where each column's list is."""
    sheet.sheet_state = "hidden"
    sheet.append(["scale", "value", "label"])
    ranges = {}
    for column in columns:
        first = sheet.max_row + 1
        for value, label in column.choices:
            row = sheet.max_row + 1
            for place, text in enumerate((column.name, str(value), label), start=1):
                _put(sheet, row, place, text)
        ranges[column.name] = f"'{CHOICES}'!$C${first}:$C${sheet.max_row}"
    return ranges


def _write_ratings(
    sheet: Worksheet, round_name: str, rater: str, items: Sequence["Item"], columns: Sequence[_Column]
) -> None:
    rated = [column.name for column in columns]
    names = ["round", "rater", "item", "letter", "complaint", "answer", *rated, "remark"]
    heads = {column.name: column.question for column in columns}
    for place, name in enumerate(names, start=1):
        head = _put(sheet, 1, place, heads.get(name) or "\n".join(_HEADS[name]))
        head.font = Font(bold=True)
        head.alignment = Alignment(wrap_text=True, vertical="center", horizontal="center")
        _put(sheet, 2, place, name).font = Font(size=8, color="6A727A")
        dimension = sheet.column_dimensions[head.column_letter]
        dimension.width = _WIDTHS.get(name, _RATING_WIDTH)
        dimension.hidden = name in _HIDDEN
    sheet.row_dimensions[1].height = 66
    sheet.freeze_panes = sheet.cell(3, names.index("complaint") + 1)
    row = 3
    for item in items:
        values = {"round": round_name, "rater": rater, "item": item.name, "complaint": item.complaint.text}
        last = row + len(item.letters) - 1
        heights = [_height(answer.text, _WIDTHS["answer"]) for answer in item.letters.values()]
        wanted = _height(item.complaint.text, _WIDTHS["complaint"])
        stretch = max(1.0, wanted / sum(heights))
        for place, (letter, answer) in enumerate(item.letters.items()):
            at = row + place
            sheet.row_dimensions[at].height = min(heights[place] * stretch, _MAX_HEIGHT)
            for column, name in enumerate(names, start=1):
                shown = place == 0 or name not in _MERGED
                cell = _put(
                    sheet,
                    at,
                    column,
                    {**values, "letter": letter, "answer": answer.text}.get(name) if shown else None,
                )
                free = name in (*rated, "remark")
                cell.protection = Protection(locked=not free)
                cell.border = Border(
                    top=_TOP if place == 0 else _EDGE, left=_EDGE, right=_EDGE, bottom=_EDGE
                )
                centred = name in ("item", "letter", *rated)
                cell.alignment = Alignment(
                    wrap_text=True,
                    vertical="center" if centred else "top",
                    horizontal="center" if centred else "right",
                    readingOrder=2,
                )
                if free:
                    cell.fill = _FREE
                if name == "letter":
                    cell.font = Font(bold=True, size=14)
        for name in _MERGED:
            column = names.index(name) + 1
            if last > row:
                sheet.merge_cells(start_row=row, end_row=last, start_column=column, end_column=column)
        row = last + 1


def _put(sheet: Worksheet, row: int, column: int, text: str | None) -> Any:
    """Write a text as a text, whatever it looks like: `=1+1` is no formula, `#N/A` no error."""
    cell = sheet.cell(row, column)
    if text is not None:
        cell.value = text.translate(_NO_XML)
        cell.data_type = "s"
        cell.quotePrefix = text[:1] in "=+-@"
    return cell


def _height(text: str, width: int) -> float:
    """The height of a wrapped text in points, a little too large rather than too small."""
    lines = sum(1 + len(line) // width for line in text.split("\n"))
    return max(lines, 3) * _LINE_HEIGHT + 4


def _same_bytes(book: Workbook) -> bytes:
    """The file without the time at which it was written."""
    book.properties.created = _TIME
    written, fixed = io.BytesIO(), io.BytesIO()
    book.save(written)
    stamp = f"{_TIME.isoformat()}Z".encode()
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            target.writestr(zipfile.ZipInfo(name, _TIME.timetuple()[:6]), content, zipfile.ZIP_DEFLATED)
    return fixed.getvalue()
