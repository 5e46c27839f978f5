"""Names that other people gave, of columns, sheets and files: which are alike, and which may be shown.

A table without a header has a patient's row in the place of the names of its columns. So a column's name
is shown only if it is one that everybody uses, or one that params.yaml has.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

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
    "messages": (
        *("messages", "conversations", "conversation", "dialogue", "dialog", "chat", "turns"),
        *("المحادثة", "محادثة", "الحوار", "حوار"),
    ),
}
"""Names by which a column is recognised; where a table has several of them, the first here counts."""

_OTHER_COLUMNS = (
    *(
        "id",
        "index",
        "no",
        "number",
        "date",
        "time",
        "age",
        "gender",
        "sex",
        "title",
        "name",
        "url",
        "source",
    ),
    *("split", "note", "notes", "comment", "comments", "language", "status", "country", "city", "system"),
    *("رقم", "الرقم", "التاريخ", "العمر", "الجنس", "العنوان", "الاسم", "ملاحظات", "المصدر", "المدينة"),
)
_ALIKE = str.maketrans("أإآٱىةیک٠١٢٣٤٥٦٧٨٩", "اااايهيك0123456789")
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{,29}", re.IGNORECASE | re.ASCII)
_DATE = re.compile(r"(?<!\d)(?:19|20)\d{6}(?!\d)")
_MOST_SHOWN = 30
_LONGEST, _MOST_WORDS, _MOST_DIGITS = 60, 4, 8


def folded(name: str) -> str:
    """The name without what differs between spellings: case, hamza, marks, and what joins words."""
    text = unicodedata.normalize("NFKC", _visible(name)).casefold().translate(_ALIKE)
    letters = "".join(each for each in text if unicodedata.category(each) != "Mn")
    return " ".join(re.findall(r"[^\W_]+", letters.replace("\N{ARABIC TATWEEL}", "")))


def alike(names: Sequence[str], wanted: str) -> list[str]:
    """Those of the names that `wanted` can mean: exactly that name, or else the spellings of it."""
    key = folded(wanted)
    exact = [name for name in names if name == wanted]
    return exact or [name for name in names if key and folded(name) == key]


def shown_columns(columns: Sequence[str], given: Iterable[str] = ()) -> list[str]:
    """What messages and provenance call each column: its name or, where it may be a text, `column 3`.

    Args:
        columns: the names in a table's header, which may be missing.
        given: names that params.yaml has.
    """
    known = _KNOWN | {folded(name) for name in given}
    return [
        _visible(column) if folded(column) in known else f"column {number}"
        for number, column in enumerate(columns, start=1)
    ]


def shown_names(names: Sequence[str], kind: str) -> list[str]:
    """What messages call each sheet, table or file: its name or, where it may be a text, `sheet 3`.

    Args:
        names: of all of them, in their order.
        kind: what they are, such as "sheet"; a "key" of JSON, which may be a person, is shown only if it
            is an identifier in Latin letters.
    """
    shows = _IDENTIFIER.fullmatch if kind == "key" else looks_like_a_name
    return [name if shows(name) else f"{kind} {number}" for number, name in enumerate(names, start=1)]


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return (", ".join(names[:_MOST_SHOWN]) or "none") + more


def _visible(name: str) -> str:
    """The name in one line, without direction marks and whatever else is not seen."""
    seen = (each for each in name if each.isspace() or unicodedata.category(each)[0] != "C")
    return " ".join("".join(seen).split())


def looks_like_a_name(name: str) -> bool:
    """Whether it looks like a name: a few words in one line, no e-mail address, no number of a person."""
    return (
        0 < len(name) <= _LONGEST
        and name.isprintable()
        and len(re.findall(r"[^\W_]+", name)) <= _MOST_WORDS + name.count("/") + name.count(".")
        and "@" not in name
        and sum(map(str.isdigit, _DATE.sub("", name))) <= _MOST_DIGITS
    )


_KNOWN = frozenset(folded(name) for names in (*USUAL_COLUMNS.values(), _OTHER_COLUMNS) for name in names)
