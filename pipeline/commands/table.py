"""wazn table: the paper's table, ours beside the published figures."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from pipeline.errors import WaznError
from pipeline.files import read_json
from pipeline.report.provenance import git
from pipeline.report.summary import SUMMARY

FORMATS = {"terminal": "simple", "markdown": "pipe", "csv": "", "latex": "latex_booktabs"}
PUBLISHED_METRIC = "bertscore_f1"
# What the published figures were measured by (bert-score 0.3.13 for Arabic).
PAPER_ENCODER, PAPER_LAYER = "google-bert/bert-base-multilingual-cased", 9
# Sections that change no figure of a model that is there, or that the table itself tells apart.
_FREE = frozenset({"weighting", "models", "encoders", "presets", "report", "registry"})
_SUMMARY = "metrics/summary.json"

# Of a model and column: the value, and its standard deviation over seeds if there are several.
Cells = dict[tuple[str, str], tuple[float, float | None]]


@dataclass(frozen=True)
class Result:
    """A metrics/summary.json and the parameters it came of.

    Attributes:
        name: what messages call it.
        note: what a reader should know if it is used; empty for nothing.
        params: as YAML has them.
        summary: model to run to metric to value.
    """

    name: str
    note: str
    params: Mapping[str, Any]
    summary: Mapping[str, Mapping[str, Mapping[str, float]]]


def run(params: Mapping[str, Any], *, form: str, metric: str) -> None:
    """Print Model x (base, CE, each preset) of the workspace and of DVC's experiments; notes on stderr.

    A cell that was not run is blank. A run's column is that of the preset with its weights, whatever it is
    called. Results of parameters other than the workspace's in what can change a figure are left out.

    Args:
        params: the parameter file, as it stands.
        form: of `FORMATS`.
        metric: of `SUMMARY`; BERTScore is in percent, as the paper has it.

    Raises:
        WaznError: no such format or metric.
    """
    for option, value, allowed in (("--format", form, FORMATS), ("--metric", metric, SUMMARY)):
        if value not in allowed:
            raise WaznError(f"{option} is one of {', '.join(allowed)}, found '{value}'")
    found = cells(params, [*_workspace(params), *_experiments()], metric)
    published = _published() if metric == PUBLISHED_METRIC else {}
    columns = ["base", "uniform", *sorted(params["presets"], key=_paper_order)]
    rows = lay_out(params, columns, found, published, metric)
    print(render(rows, columns, form), end="")
    note = caption(params, metric, any(figure == "published" for _, figure, *_ in rows))
    if form == "csv":
        print(note, file=sys.stderr)
    else:
        print(f"% {note}" if form == "latex" else f"\n{note}")


def cells(params: Mapping[str, Any], results: Sequence[Result], metric: str) -> Cells:
    """The value of a metric by model and column; of several results of one cell the first.

    Says on stderr which result, or which model of one, is left out, and why.
    """
    found: Cells = {}
    for result in results:
        key = _difference(_decisive(params), _decisive(result.params))
        if key:
            _say(f"{result.name}: left out, since it was run with another {key}")
            continue
        preset = next(
            (name for name, values in params["presets"].items() if values == result.params["weighting"]),
            None,
        )
        if preset is None:
            _say(f"{result.name}: no column for its weighting, which is none of the presets")
        columns = {"base": "base", "uniform": "uniform", "weighting": preset}
        if result.note:
            _say(f"{result.name}: {result.note}")
        for model, runs in result.summary.items():
            if params["registry"].get(model) != result.params["registry"].get(model):
                _say(f"{result.name}: {model} left out, since it was run with another registry.{model}")
                continue
            for run_name, values in runs.items():
                column = columns.get(run_name)
                if column is not None and metric in values:
                    found.setdefault((model, column), (values[metric], values.get(f"{metric}_sd")))
    return found


def lay_out(
    params: Mapping[str, Any],
    columns: Sequence[str],
    found: Cells,
    published: Mapping[str, Mapping[str, float]],
    metric: str,
) -> list[list[str]]:
    """Rows of `model`, `figure` (ours, sd over seeds, published or difference) and a cell for each column.

    The models that run come first, then others that were found. One that the paper lacks has one row.
    """
    found_models = {model for model, _ in found}
    others = [name for name in params["registry"] if name in found_models and name not in params["models"]]
    percent = metric == PUBLISHED_METRIC
    rows = []
    for model in [*params["models"], *others]:
        title = params["registry"][model]["title"]
        both = [found.get((model, column), (None, None)) for column in columns]
        scale, form = 100 if percent else 1, ".2f" if percent or metric == "chrf" else ".4f"
        ours, spread = (
            [None if value is None else scale * value for value in part] for part in zip(*both, strict=True)
        )
        rows.append([title, "ours", *(_figure(value, form) for value in ours)])
        if any(value is not None for value in spread):
            rows.append([title, "sd over seeds", *(_figure(value, form) for value in spread)])
        if title in published:
            theirs = [published[title].get(column) for column in columns]
            differences = [
                None if one is None or other is None else one - other
                for one, other in zip(ours, theirs, strict=True)
            ]
            rows.append([title, "published", *(_figure(value, ".2f") for value in theirs)])
            rows.append([title, "difference", *(_figure(value, "+.2f") for value in differences)])
    return rows


def render(rows: Sequence[Sequence[str]], columns: Sequence[str], form: str) -> str:
    """The table as text, with a line break at its end."""
    heads = ["Model", "", *({"base": "Base", "uniform": "CE"}.get(name, name) for name in columns)]
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([["model", "figure", *heads[2:]], *rows])
        return text.getvalue()
    # A model is named once.
    shown = [
        ["" if place and row[0] == rows[place - 1][0] else row[0], *row[1:]]
        for place, row in enumerate(rows)
    ]
    alignment = ["left", "left", *("right" for _ in columns)]
    table = tabulate(shown, heads, FORMATS[form], disable_numparse=True, colalign=alignment)
    return f"{table}\n"


def caption(params: Mapping[str, Any], metric: str, published: bool) -> str:
    """What the figures are, and whether the published ones may be compared with them."""
    embed, seeds = params["embed_references"], params["seeds"]
    over = "" if len(seeds) == 1 else f", mean over {len(seeds)} seeds"
    if metric != PUBLISHED_METRIC:
        return f"{metric}{over}; decoding: {params['evaluate']['decoding']}."
    entry = params["registry"][embed["encoder"]]
    said = (
        f"BERTScore F1 (%) by {entry['title']}, layer {embed['layer']}{over}; "
        f"decoding: {params['evaluate']['decoding']}."
    )
    same = (entry["source"].partition("@")[0], embed["layer"]) == (f"hub:{PAPER_ENCODER}", PAPER_LAYER)
    if published and not same:
        said += (
            f" The published figures are not comparable: they are by {PAPER_ENCODER}, layer {PAPER_LAYER}."
        )
    return said


def _workspace(params: Mapping[str, Any]) -> Iterator[Result]:
    """What the working folder holds, if anything."""
    summary = Path(_SUMMARY)
    if not summary.is_file():
        return
    lock = Path("dvc.lock")
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {})["stages"] if lock.is_file() else {}
    # They may have been edited since; DVC knows those that the summary came of.
    recorded = stages.get("report", {}).get("params", {}).get("params.yaml", params)
    yield Result("workspace", "", recorded, read_json(summary))


def _experiments() -> Iterator[Result]:
    """DVC's experiments in this repository, the newest first."""
    listed = git("for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/exps") or ""
    head = (git("rev-parse", "HEAD") or "").strip()
    for reference in listed.splitlines():
        # DVC has other references there, for its queue.
        parts = re.fullmatch(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+)", reference)
        if parts is None:
            continue
        commit, name = parts[1] + parts[2], f"experiment {parts[3]}"
        summary, params = (git("show", f"{reference}:./{file}") for file in (_SUMMARY, "params.yaml"))
        if summary is None or params is None:
            _say(f"{name}: left out, since it has no {_SUMMARY if summary is None else 'params.yaml'}")
            continue
        note = "" if commit == head else f"run on commit {commit[:7]}, whose code may not be that of HEAD"
        yield Result(name, note, yaml.safe_load(params), json.loads(summary))


def _decisive(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that can change a figure of any model."""
    registry = params.get("registry", {})
    encoders = {params.get(key, {}).get("encoder") for key in ("train_classifier", "embed_references")}
    return {
        **{key: value for key, value in params.items() if key not in _FREE},
        "registry": {name: registry.get(name) for name in encoders if name},
    }


def _difference(ours: Any, theirs: Any) -> str:
    """The first key, with dots, in which two trees differ; empty where they are equal."""
    for key in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(key), theirs.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            below = _difference(one, other)
            if below:
                return f"{key}.{below}"
        elif one != other:
            return str(key)
    return ""


def _published() -> dict[str, dict[str, float]]:
    """The paper's Table 2, BERTScore F1 in percent: title to column to figure."""
    text = Path(__file__).with_name("published.csv").read_text(encoding="utf-8")
    names = {"cross_entropy": "uniform"}
    return {
        row.pop("model"): {
            names.get(key, key.removeprefix("sa_")): float(value) for key, value in row.items()
        }
        for row in csv.DictReader(io.StringIO(text))
    }


def _paper_order(preset: str) -> int:
    order = ("mild", "strong", "balanced")
    return order.index(preset) if preset in order else len(order)


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
