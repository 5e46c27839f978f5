"""What templates of the page can use: filters, messages, escaping."""

import re
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined

from pipeline.report import findings, language
from pipeline.report.controls import visible
from pipeline.report.embedded import script_json
from pipeline.report.language import _


def environment() -> Environment:
    """Where page.html and the files that it includes are filled in, in the current language."""
    made = Environment(
        loader=FunctionLoader(beside),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
        extensions=["jinja2.ext.i18n"],
    )
    # Messages of {% trans %} are filled in by `language`, and their lines are one.
    made.newstyle_gettext = True  # type: ignore[attr-defined]  # The extension adds it.
    made.policies["ext.i18n.trimmed"] = True
    made.globals |= {
        "_": _,
        "gettext": _,
        "ngettext": language.ngettext,
        "listed": language.listed,
        "language": language.current(),
        "direction": language.direction(),
        "amount": findings.amount,
        "interval_of": findings.interval,
        "severity_title": findings.severity_title,
        "upper": findings.upper,
    }
    made.tests["arabic"] = re.compile("[\u0600-\u06ff]").search
    made.filters |= {
        "signed": findings.signed,
        "probability": findings.probability,
        "figure": figure,
        "isolated": language.isolated,
        "percent": percent,
        "json": script_json,
    }
    return made


def figure(value: float) -> str:
    """A measured value with a number of digits that suits its size."""
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.2f}" if size < 1000 else f"{value:,.0f}"


def percent(share: float) -> str:
    """A share, 0 to 1, in per cent."""
    return _("%(number)s %%", number=f"{100 * share:.1f}")


def beside(name: str) -> str:
    """The text of a file in this folder."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
