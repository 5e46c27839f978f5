"""The language that the page speaks.

Sentences stand in English where they are used: `_("…")` and `ngettext("…", "…", n)` in Python,
`{% trans %}…{% endtrans %}` or `{{ _("…") }}` in templates. languages/<language>.po has their translations
in gettext's format, plural forms included. A message is HTML; `%(name)s` marks what is filled in, `%%` is a
per cent sign. What has no translation stays English; a test names it.
"""

import gettext
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import polib
from markupsafe import Markup, escape

from pipeline.report.controls import visible

DATA_FILES = ("languages/*.po",)
ENGLISH = "en"
RIGHT_TO_LEFT = ("ar",)

_current: ContextVar[str] = ContextVar("language", default=ENGLISH)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Within it, messages are of `language`."""
    token = _current.set(language)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> str:
    """The language of messages now."""
    return _current.get()


def direction() -> str:
    """`rtl` or `ltr`: where the text of the current language starts."""
    return "rtl" if current() in RIGHT_TO_LEFT else "ltr"


def _(message: str, **values: Any) -> Markup:
    """A message in the current language.

    Args:
        message: in English.
        values: what is filled in: text is escaped, and characters that turn it are shown by name.
    """
    return _filled(_translations(current()).gettext(message), values)


def ngettext(singular: str, plural: str, num: int, **values: Any) -> Markup:
    """As `_`, in the form that the language has for `num`, which is filled in as `%(num)s`."""
    text = _translations(current()).ngettext(singular, plural, num)
    return _filled(text, {"num": num, **values})


def marked(message: str) -> str:
    """A message that is translated later, by `_`, where it is shown."""
    return message


def listed(names: Sequence[Any]) -> Markup:
    """Names as a sentence has them: `a, b and c`."""
    *first, last = names
    if not first:
        return escape(visible(last))
    several = escape(visible(first[0]))
    for name in first[1:]:
        several = _("%(first)s, %(next)s", first=several, next=name)
    return _("%(first)s and %(last)s", first=several, last=last)


def left_to_right(figure: str) -> str:
    """A figure whose sign stands before it also in a right-to-left text, where it would stand behind."""
    return figure if direction() == "ltr" else Markup('<bdi dir="ltr">{}</bdi>').format(figure)


def isolated(name: str) -> str:
    """A name, most often in Latin letters, whose direction does not touch that of the text around it."""
    return name if direction() == "ltr" else Markup("<bdi>{}</bdi>").format(visible(name))


def in_a_drawing(text: str) -> str:
    """Text of an SVG, whose own direction is left to right, so that it reads as the language does."""
    return str(text) if direction() == "ltr" else f"\u2067{text}\u2069"


def _filled(text: str, values: dict[str, Any]) -> Markup:
    return Markup(text) % {name: visible(value) for name, value in values.items()}


@cache
def _translations(language: str) -> gettext.NullTranslations:
    if language == ENGLISH:
        return gettext.NullTranslations()
    catalogue = polib.pofile(str(Path(__file__).with_name("languages") / f"{language}.po"))
    return gettext.GNUTranslations(io.BytesIO(catalogue.to_binary()))
