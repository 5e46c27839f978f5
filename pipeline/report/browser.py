"""The words that page.js shows, in the language of the page."""

from typing import Any

from pipeline.report.findings import severity_title
from pipeline.report.language import _, marked
from pipeline.severities import SEVERITIES

# Of page.js, whose name for each is the key. What is filled in stays, since page.js does that.
WORDS = {
    "shown": marked("%(shown)s of %(total)s complaints are shown"),
    "none": marked("No complaint matches"),
    "line": marked("line %(line)s"),
    "of_model": marked("%(comparison)s: %(difference)s nats per token"),
    "over_models": marked("%(comparison)s, mean over models: %(difference)s nats per token"),
    "question": marked("Question"),
    "reference": marked("Reference"),
    "by_people": marked("as people labelled it"),
    "by_source": marked("as its source says"),
    "by_classifier": marked("by the classifier"),
}
# What a tooltip calls the columns that plots are made of.
FIELDS = {
    "accuracy": marked("accuracy"),
    "arm": marked("arm"),
    "confidence": marked("confidence"),
    "group": marked("group"),
    "high": marked("upper end"),
    "low": marked("lower end"),
    "metric": marked("metric"),
    "model": marked("model"),
    "rows": marked("rows"),
    "seed": marked("seed"),
    "severity": marked("severity"),
    "smooth": marked("loss, exponential mean"),
    "step": marked("step"),
    "value": marked("value"),
    "weight": marked("weight"),
}


def browser_words(*, by_source: bool) -> dict[str, Any]:
    """`words`, `fields` and `severities`, each a mapping; and `guesser`, the key of the word for it.

    Args:
        by_source: whether the source of the pairs judged the severity where no person did.
    """
    return {
        "words": {name: _unfilled(message) for name, message in WORDS.items()},
        "fields": {name: _(message) for name, message in FIELDS.items()},
        "severities": {severity: severity_title(severity) for severity in SEVERITIES},
        "guesser": "by_source" if by_source else "by_classifier",
    }


def _unfilled(message: str) -> str:
    names = ("shown", "total", "line", "comparison", "difference")
    return _(message, **{name: f"%({name})s" for name in names})
