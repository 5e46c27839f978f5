"""Which column is which, by their usual names.

docs/data.md lists the names; a test compares.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from pipeline.data.tables.choice import listed
from pipeline.data.tables.readers import shown
from pipeline.errors import WaznError

_COMPLAINT = (
    *("question", "q_body", "complaint", "post", "query", "patient", "patient question", "user"),
    *("input", "prompt", "instruction", "text"),
    *("السؤال", "سؤال", "الشكوى", "شكوى", "الاستشارة", "استشارة", "المنشور", "منشور", "النص", "نص"),
)
USUAL_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "question": _COMPLAINT,
    "answer": (
        *("answer", "a_body", "response", "reply", "doctor", "doctor answer", "assistant", "plan"),
        *("output", "completion"),
        *("الإجابة", "إجابة", "الجواب", "جواب", "الرد", "رد", "رد الطبيب", "إجابة الطبيب", "الخطة"),
    ),
    "text": _COMPLAINT,
    "label": (
        *("severity", "label", "class", "urgency", "triage"),
        *("الخطورة", "خطورة", "الشدة", "شدة", "درجة الخطورة", "الحالة", "التصنيف", "تصنيف"),
    ),
    "specialty": (
        *("specialty", "speciality", "category", "type", "department", "topic"),
        *("التخصص", "تخصص", "القسم", "قسم", "الفئة", "فئة", "النوع"),
    ),
}
"""Names by which a column is recognised; where a table has several of them, the first here counts."""

_ALIKE = str.maketrans("أإآٱىة", "اااايه")


def find_columns(
    columns: Sequence[str],
    asked: Mapping[str, str | None],
    optional: Sequence[str],
    key: str,
    name: str,
) -> dict[str, str]:
    """Which column of a table holds what.

    Args:
        columns: those of the table.
        asked: what is looked for, and the column's name if params.yaml gives it.
        optional: which of these may be absent where params.yaml does not name them.
        key: where the source stands in params.yaml, for messages.
        name: what messages call the table.

    Returns:
        What is looked for, in the order of `asked`, to the table's column.

    Raises:
        WaznError: a column is not there, or nothing with a usual name is; the columns are listed.
    """
    mapped: dict[str, str] = {}
    for ours, given in asked.items():
        column = given if given in columns else None
        if given is None:
            column = _usual(columns, USUAL_COLUMNS[ours])
        if column is not None:
            mapped[ours] = column
        elif given is not None or ours not in optional:
            named = f"{key}.{ours.replace('p_', 'probabilities.', 1) if ours.startswith('p_') else ours}"
            missing = f"no column '{given}' ({named})" if given else f"no column known as {ours}"
            advice = "" if given else f"; name it in {named}"
            there = listed([shown(column) for column in columns])
            raise WaznError(f"{name}: {missing}{advice}; the columns are: {there}")
    return mapped


def _usual(columns: Sequence[str], names: Sequence[str]) -> str | None:
    by_folded = {folded(column): column for column in reversed(columns)}
    return next((by_folded[folded(usual)] for usual in names if folded(usual) in by_folded), None)


def folded(name: str) -> str:
    """The name without what differs between spellings: case, hamza, marks, and what joins words."""
    text = unicodedata.normalize("NFKC", name).casefold().translate(_ALIKE)
    letters = "".join(character for character in text if unicodedata.category(character) != "Mn")
    return " ".join(re.findall(r"[^\W_]+", letters.replace("\u0640", "")))
