"""Which column is which, and which label means which severity, by their usual names.

docs/data.md lists the names; a test compares.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from pipeline.data.tables.choice import listed
from pipeline.data.tables.readers import shown
from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES

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

USUAL_LABELS: Mapping[str, tuple[str, ...]] = {
    "non_critical": (
        *("non critical", "noncritical", "not critical", "low", "mild", "non urgent", "routine"),
        *("غير حرج", "غير حرجة", "غير خطير", "غير خطيرة", "بسيط", "بسيطة", "خفيف", "خفيفة", "منخفض"),
    ),
    "neutral": ("neutral", "medium", "moderate", "mid", "متوسط", "متوسطة", "محايد", "معتدل", "معتدلة"),
    "critical": (
        *("critical", "high", "severe", "urgent", "emergency"),
        *("حرج", "حرجة", "خطير", "خطيرة", "شديد", "شديدة", "عاجل", "عاجلة", "طارئ", "طارئة", "مرتفع"),
    ),
}
"""Names by which a label is recognised."""

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


def severity_by_usual_name(label: str) -> str:
    """The severity that a label usually means; empty where it is none of the usual ones."""
    return _BY_LABEL.get(_folded(label), "")


def check_labels_apart(labels: Sequence[str], key: str, name: str) -> None:
    """Refuse labels of which two different ones would be taken for the same severity.

    A table with "high" and "critical" has four severities or more, and which are wazn's three is not
    for wazn to guess.

    Raises:
        WaznError: there are such labels.
    """
    meanings: dict[str, str] = {}
    for label in labels:
        severity = severity_by_usual_name(label)
        other = meanings.setdefault(severity, label)
        if severity and _stem(other) != _stem(label):
            raise WaznError(
                f"{name}: the labels '{other.strip()}' and '{label.strip()}' both usually mean {severity}; "
                f"name the three to use in {key}.labels"
            )


def _usual(columns: Sequence[str], names: Sequence[str]) -> str | None:
    by_folded = {_folded(column): column for column in reversed(columns)}
    return next((by_folded[_folded(usual)] for usual in names if _folded(usual) in by_folded), None)


def _folded(name: str) -> str:
    """The name without what differs between spellings: case, hamza, marks, and what joins words."""
    text = unicodedata.normalize("NFKC", name).casefold().translate(_ALIKE)
    letters = "".join(character for character in text if unicodedata.category(character) != "Mn")
    return " ".join(re.findall(r"[^\W_]+", letters.replace("\u0640", "")))


def _stem(label: str) -> str:
    """The label without the feminine ending, and without a space in "non critical"."""
    return _folded(label).removesuffix("ه").replace(" ", "").replace("not", "non")


_BY_LABEL = {_folded(name): severity for severity in SEVERITIES for name in USUAL_LABELS[severity]}
