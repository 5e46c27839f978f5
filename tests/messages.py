"""The messages of the page, as the code and the templates of pipeline/report have them."""

import ast
from itertools import product

from jinja2.ext import extract_from_ast
from root import ROOT

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.reviews import RATED
from pipeline.report.template import environment
from pipeline.severities import SEVERITIES

REPORT = ROOT / "pipeline/report"
FUNCTIONS = ("_", "_word", "gettext", "marked", "ngettext")
# What `normalise` rejects a row for; see `why_rejected`, `normalise_pairs` and `Rows.reasons`.
WHY = ("empty", "mojibake", "arabizi", "not arabic", "other language", "too long")
REASONS = (
    *WHY,
    *(f"{side} {why}" for side, why in product(("question", "answer"), WHY)),
    *("bad probabilities", "unknown label", "duplicate", "near duplicate", "conflicting label"),
)
# Messages that are the name of a thing in the data, so that no code has them as a text.
NAMES = (
    *(severity.replace("_", "-") for severity in (*SEVERITIES, "unknown")),
    *("train", "valid", "test", "pairs", "labelled"),
    *(metric.title for metric in (*METRICS.values(), *RATED.values())),
    *REASONS,
)


def messages():
    """Every message; one with a plural is the pair of singular and plural."""
    return {*NAMES, *_of_templates(), *_of_code()}


def _of_templates():
    for path in REPORT.glob("*.html"):
        tree = environment().parse(path.read_text(encoding="utf-8"))
        for _, _, texts in extract_from_ast(tree, FUNCTIONS, babel_style=False):
            plain = tuple(text for text in texts if text is not None)
            yield plain[0] if len(plain) == 1 else plain[:2]


def _of_code():
    for path in REPORT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in FUNCTIONS:
                texts = [part.value for part in node.args if isinstance(part, ast.Constant)]
                texts = [text for text in texts if isinstance(text, str)]
                if texts:
                    yield texts[0] if node.func.id != "ngettext" else tuple(texts[:2])
