"""wazn table: the table of the paper, ours beside the published figures."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from pipeline import paths, shapes
from pipeline.commands.rated_summary import RATED_METRICS, rated_caption, rated_summary, read_review
from pipeline.errors import WaznError
from pipeline.evaluation.statistics import BASE, UNIFORM
from pipeline.inputs import read_json
from pipeline.report.summary import SUMMARY_METRICS, VALID_METRICS

if TYPE_CHECKING:
    from pipeline.config.params import Params
    from pipeline.config.training import ArmConfig

DATA_FILES = ("published.csv",)
TABLE_METRICS = (*SUMMARY_METRICS, *VALID_METRICS, *RATED_METRICS)
FORMATS = {"terminal": "simple", "markdown": "pipe", "csv": "", "latex": "latex_booktabs"}
PUBLISHED_METRIC = "bertscore_f1"
# What the published figures were measured by (bert-score 0.3.13 for Arabic).
PAPER_ENCODER, PAPER_LAYER = "google-bert/bert-base-multilingual-cased", 9
# The paper's settings: alpha, beta and gamma, without renormalisation.
PAPER_SETTINGS = {"mild": (0.75, 1.0, 1.25), "strong": (0.25, 1.0, 1.75), "balanced": (0.5, 1.0, 1.5)}

SELECTED = "the arm with the least validation NLL; the test rows took no part in the choice."
Summary = Mapping[str, Mapping[str, Mapping[str, float]]]
Published = Mapping[str, Mapping[str, float]]


def run(params: "Params", *, form: str, metric: str) -> None:
    """Print a metric by model and arm: base, CE, then the other arms that run.

    It is one of metrics/summary.json, or a figure of physicians' ratings in metrics/review.json, which has
    its interval, and a column for the physicians' own answer where it is rated.

    A cell without a result is blank, and placebos have no column. Models that the paper has too get its
    figures in further rows: an arm with the values of one of `PAPER_SETTINGS` is that setting, whatever its
    name. The arm with the least validation NLL is marked, which says nothing of the metric that is shown.

    Args:
        form: of `FORMATS`.
        metric: of `TABLE_METRICS`; BERTScore F1 is in percent, as in the paper.

    Raises:
        WaznError: no such format or metric, or the summary cannot be read.
    """
    for option, value, allowed in (("--format", form, FORMATS), ("--metric", metric, TABLE_METRICS)):
        if value not in allowed:
            raise WaznError(f"{option} is one of {', '.join(allowed)}, found '{value}'")
    summary: Summary = {}
    if paths.SUMMARY.is_file():
        summary = read_json(paths.SUMMARY, shapes.Summary)
    else:
        print(f"{paths.SUMMARY}: not there yet; run `dvc repro`", file=sys.stderr)
    published = _published() if metric == PUBLISHED_METRIC else {}
    if metric in RATED_METRICS:
        review = read_review()
        rated = rated_summary(review, metric)
        rows = table_rows(params, _merged(summary, rated), published, metric)
        titles = {model: params.registry[model].title for model in params.models}
        note = rated_caption(review, metric, titles)
    else:
        rows = table_rows(params, summary, published, metric)
        note = caption(params, metric, any(row.figure == "published" for row in rows))
        note += _test_rows(params, summary)
    print(render(rows, _heads(params, metric), form), end="")
    if any(row.selected for row in rows):
        note += f" {'selected:' if form == 'csv' else '*'} {SELECTED}"
    if form == "csv":
        print(note, file=sys.stderr)
    else:
        print(f"% {note}" if form == "latex" else f"\n{note}")


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        title: of the model; figure: kind of figure.
        cells: one for each column.
        selected: the arm that is marked; empty where none is.
    """

    title: str
    figure: str
    cells: list[str]
    selected: str = ""


def table_rows(params: "Params", summary: Summary, published: Published, metric: str) -> list[Row]:
    """The rows of the table.

    The figures are `ours`, `sd over seeds` where there are several seeds, `95 % interval` of ratings, and,
    for a model of the paper, `published` and `difference` (ours less published).
    """
    scale, shape = (100, ".2f") if metric == PUBLISHED_METRIC else (1, ".2f" if metric == "chrf" else ".4f")
    columns = _columns(params, metric)
    rows = []
    for model in params.models:
        title = params.registry[model].title
        results = {arm: summary.get(model, {}).get(arm, {}) for arm in columns}
        ours = [_scaled(result.get(metric), scale) for result in results.values()]
        rows.append(Row(title, "ours", [_cell(value, shape) for value in ours], _selected(results)))
        spread = [_scaled(result.get(f"{metric}_sd"), scale) for result in results.values()]
        if any(value is not None for value in spread):
            rows.append(Row(title, "sd over seeds", [_cell(value, shape) for value in spread]))
        ends = [[result.get(f"{metric}_{end}") for end in ("low", "high")] for result in results.values()]
        if any(None not in each for each in ends):
            cells = ["" if None in each else "–".join(format(end, shape) for end in each) for each in ends]
            rows.append(Row(title, "95 % interval", cells))
        if title in published:
            theirs = [published[title].get(setting or "") for setting in columns.values()]
            differences = [
                None if one is None or other is None else one - other
                for one, other in zip(ours, theirs, strict=True)
            ]
            rows.append(Row(title, "published", [_cell(value, ".2f") for value in theirs]))
            rows.append(Row(title, "difference", [_cell(value, "+.2f") for value in differences]))
    return rows


def _selected(results: Mapping[str, Mapping[str, float]]) -> str:
    """The arm with the least validation NLL, whatever the metric of the table; empty if an arm has none.

    Args:
        results: of the summary, by arm; `base` is no arm.
    """
    valid = {
        arm: result.get("valid_nll")
        for arm, result in results.items()
        if arm not in (BASE, paths.REFERENCE)
    }
    known = {arm: value for arm, value in valid.items() if value is not None}
    return min(known, key=lambda arm: known[arm]) if known and len(known) == len(valid) else ""


def render(rows: Sequence[Row], heads: Mapping[str, str], form: str) -> str:
    """The table as text that ends with a line break.

    The arm that is selected has a `*`; in CSV, whose numbers stay plain, a column has its name.

    Args:
        rows: of `table_rows`.
        heads: arm to the head of its column.
        form: of `FORMATS`.
    """
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["model", "figure", *heads.values(), "selected"])
        writer.writerows([row.title, row.figure, *row.cells, row.selected] for row in rows)
        return text.getvalue()
    shown = []
    for index, row in enumerate(rows):
        cells = [
            f"{cell}*" if cell and arm == row.selected else cell
            for arm, cell in zip(heads, row.cells, strict=True)
        ]
        # Only the first row of a model names it.
        repeated = index > 0 and row.title == rows[index - 1].title
        shown.append(["" if repeated else row.title, row.figure, *cells])
    alignment = ["left", "left", *("right" for _ in heads)]
    names = ["Model", "", *heads.values()]
    table = tabulate(shown, names, FORMATS[form], disable_numparse=True, colalign=alignment)
    return f"{table}\n"


def caption(params: "Params", metric: str, has_published: bool) -> str:
    """What the figures are, and whether the published ones can be compared with them."""
    decoding = f"decoding: {params.evaluate.decoding}."
    over = "" if len(params.seeds) == 1 else f", mean over {len(params.seeds)} seeds"
    if metric != PUBLISHED_METRIC:
        return f"{metric}{over}; {decoding}"
    encoder, layer = params.registry[params.embed_references.encoder], params.embed_references.layer
    text = f"BERTScore F1 (%) by {encoder.title}, layer {layer}{over}; {decoding}"
    same = (encoder.source.partition("@")[0], layer) == (f"hub:{PAPER_ENCODER}", PAPER_LAYER)
    if has_published and not same:
        text += (
            f" The published figures are not comparable: they are by {PAPER_ENCODER}, layer {PAPER_LAYER}."
        )
    return text


def _test_rows(params: "Params", summary: Summary) -> str:
    """A sentence, after a space, on the test rows and who gave their severity; empty if it is not known."""
    measured = summary.get(params.models[0], {}).get(BASE, {})
    counts = [measured.get(name) for name in ("rows", "rows_critical", "rows_labelled_by_people")]
    if None in counts:
        return ""
    rows, critical, labelled = (int(count or 0) for count in counts)
    others = "the classifier" if params.severity.source == "classifier" else "the source of the pairs"
    by = {rows: "severity by people", 0: f"severity by {others}"}.get(
        labelled, f"severity of {labelled} by people, of {rows - labelled} by {others}"
    )
    return f" {rows} test rows, {critical} critical; {by}."


def _merged(summary: Summary, rated: Summary) -> Summary:
    """The figures of both by model and arm."""
    return {
        model: {
            arm: {**summary.get(model, {}).get(arm, {}), **rated.get(model, {}).get(arm, {})}
            for arm in {**summary.get(model, {}), **rated.get(model, {})}
        }
        for model in {**summary, **rated}
    }


def _columns(params: "Params", metric: str) -> dict[str, str | None]:
    """Arm to the column of the published table; None where the paper has no arm with these values."""
    others = [arm for arm in params.arms if arm != UNIFORM and params.arm_settings[arm].permute is None]
    return {
        BASE: BASE,
        UNIFORM: UNIFORM,
        **{arm: _paper_setting(params.arm_settings[arm]) for arm in others},
        **({paths.REFERENCE: None} if metric in RATED_METRICS and params.review.reference else {}),
    }


def _heads(params: "Params", metric: str) -> dict[str, str]:
    """Arm to the head of its column; a setting of the paper's under another name shows both."""
    heads = {BASE: "Base", UNIFORM: "CE", paths.REFERENCE: "Physician"}
    return {
        arm: heads.get(arm) or (arm if setting in (None, arm) else f"{arm} ({setting})")
        for arm, setting in _columns(params, metric).items()
    }


def _paper_setting(arm: "ArmConfig") -> str | None:
    if arm.renormalise:
        return None
    values = (arm.alpha, arm.beta, arm.gamma)
    return next((setting for setting, each in PAPER_SETTINGS.items() if each == values), None)


def _published() -> Published:
    """The paper's Table 2, BERTScore F1 in percent: title of a model to column to figure."""
    text = Path(__file__).with_name("published.csv").read_text(encoding="utf-8")
    columns = {"cross_entropy": UNIFORM}
    return {
        row.pop("model"): {
            columns.get(key, key.removeprefix("sa_")): float(value) for key, value in row.items()
        }
        for row in csv.DictReader(io.StringIO(text))
    }


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value


def _cell(value: float | None, shape: str) -> str:
    return "" if value is None else format(value, shape)
