"""wazn table: the table of the paper, ours beside the published figures."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from pipeline import paths, shapes
from pipeline.errors import WaznError
from pipeline.evaluation.statistics import BASE, UNIFORM
from pipeline.inputs import read_json
from pipeline.report.summary import SUMMARY_METRICS

if TYPE_CHECKING:
    from pipeline.config.params import Params
    from pipeline.config.training import ArmConfig

DATA_FILES = ("published.csv",)
FORMATS = {"terminal": "simple", "markdown": "pipe", "csv": "", "latex": "latex_booktabs"}
PUBLISHED_METRIC = "bertscore_f1"
# What the published figures were measured by (bert-score 0.3.13 for Arabic).
PAPER_ENCODER, PAPER_LAYER = "google-bert/bert-base-multilingual-cased", 9
# The paper's settings: alpha, beta and gamma, without renormalisation.
PAPER_SETTINGS = {"mild": (0.75, 1.0, 1.25), "strong": (0.25, 1.0, 1.75), "balanced": (0.5, 1.0, 1.5)}

Summary = Mapping[str, Mapping[str, Mapping[str, float]]]
Published = Mapping[str, Mapping[str, float]]


def run(params: "Params", *, form: str, metric: str) -> None:
    """Print a metric of metrics/summary.json by model and arm: base, CE, then the other arms that run.

    A cell without a result is blank. Models that the paper has too get its figures in further rows: an arm
    with the values of one of `PAPER_SETTINGS` is that setting, whatever its name.

    Args:
        form: of `FORMATS`.
        metric: of `SUMMARY_METRICS`; BERTScore F1 is in percent, as in the paper.

    Raises:
        WaznError: no such format or metric, or the summary cannot be read.
    """
    for option, value, allowed in (("--format", form, FORMATS), ("--metric", metric, SUMMARY_METRICS)):
        if value not in allowed:
            raise WaznError(f"{option} is one of {', '.join(allowed)}, found '{value}'")
    summary: Summary = {}
    if paths.SUMMARY.is_file():
        summary = read_json(paths.SUMMARY, shapes.Summary)
    else:
        print(f"{paths.SUMMARY}: not there yet; run `dvc repro`", file=sys.stderr)
    published = _published() if metric == PUBLISHED_METRIC else {}
    rows = table_rows(params, summary, published, metric)
    print(render(rows, _heads(params), form), end="")
    note = caption(params, metric, any(row[1] == "published" for row in rows))
    if form == "csv":
        print(note, file=sys.stderr)
    else:
        print(f"% {note}" if form == "latex" else f"\n{note}")


def table_rows(params: "Params", summary: Summary, published: Published, metric: str) -> list[list[str]]:
    """The rows of the table: title of a model, kind of figure, and a cell for each column.

    The kinds are `ours`, `sd over seeds` where there are several seeds, and, for a model of the paper,
    `published` and `difference` (ours less published).
    """
    scale, shape = (100, ".2f") if metric == PUBLISHED_METRIC else (1, ".2f" if metric == "chrf" else ".4f")
    columns = _columns(params)
    rows = []
    for model in params.models:
        title = params.registry[model].title
        results = [summary.get(model, {}).get(arm, {}) for arm in columns]
        ours = [_scaled(result.get(metric), scale) for result in results]
        rows.append([title, "ours", *(_cell(value, shape) for value in ours)])
        spread = [_scaled(result.get(f"{metric}_sd"), scale) for result in results]
        if any(value is not None for value in spread):
            rows.append([title, "sd over seeds", *(_cell(value, shape) for value in spread)])
        if title in published:
            theirs = [published[title].get(setting or "") for setting in columns.values()]
            differences = [
                None if one is None or other is None else one - other
                for one, other in zip(ours, theirs, strict=True)
            ]
            rows.append([title, "published", *(_cell(value, ".2f") for value in theirs)])
            rows.append([title, "difference", *(_cell(value, "+.2f") for value in differences)])
    return rows


def render(rows: Sequence[Sequence[str]], heads: Sequence[str], form: str) -> str:
    """The table as text that ends with a line break.

    Args:
        rows: of `table_rows`.
        heads: of the columns after the first two.
        form: of `FORMATS`.
    """
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([["model", "figure", *heads], *rows])
        return text.getvalue()
    # Only the first row of a model names it.
    shown = [
        ["" if index and row[0] == rows[index - 1][0] else row[0], *row[1:]]
        for index, row in enumerate(rows)
    ]
    alignment = ["left", "left", *("right" for _ in heads)]
    table = tabulate(shown, ["Model", "", *heads], FORMATS[form], disable_numparse=True, colalign=alignment)
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


def _columns(params: "Params") -> dict[str, str | None]:
    """Arm to the column of the published table; None where the paper has no arm with these values."""
    others = [arm for arm in params.arms if arm != UNIFORM]
    return {
        BASE: BASE,
        UNIFORM: UNIFORM,
        **{arm: _paper_setting(params.arm_settings[arm]) for arm in others},
    }


def _heads(params: "Params") -> list[str]:
    """The heads of the columns; an arm that is a setting of the paper's under another name shows both."""
    heads = {BASE: "Base", UNIFORM: "CE"}
    return [
        heads.get(arm) or (arm if setting in (None, arm) else f"{arm} ({setting})")
        for arm, setting in _columns(params).items()
    ]


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
