"""How an exported model did, from the tables that the report has left."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import paths
from pipeline.commands.exporting.exported import Exported
from pipeline.evaluation.groups import ALL
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.statistics import UNIFORM
from pipeline.inputs import read_csv
from pipeline.severities import SEVERITIES

_GROUPS = (ALL, SEVERITIES[-1])
_SHOWN = (
    "nll",
    "bits_per_byte",
    "bertscore_f1",
    "chrf",
    "rouge_l",
    "urgency_recall",
    "needless_alarms",
    "dangerous_reassurance",
    "cut_off",
)
# An end of an interval is empty where one row cannot tell, so figures are read as text.
_FIGURES: dict[str, type] = dict.fromkeys(("model", "metric", "group", "value", "low", "high"), str)
_FIGURES |= dict.fromkeys(("rows", "seeds"), int)


def evaluation(exported: Exported, decoding: str) -> Iterator[str]:
    """Lines with the figures on all test rows and on the critical ones, and the primary endpoint.

    Args:
        decoding: how the answers were written that were measured.

    Raises:
        WaznError: a table is damaged. Without a report there is a line that says so.
    """
    path = paths.PLOTS / "metrics.csv"
    of_all = _rows(path, {"arm": str}, model=exported.model, arm=exported.arm)
    cells = {(row["metric"], row["group"]): row for row in of_all}
    groups = [group for group in _GROUPS if ("nll", group) in cells]
    if not groups:
        yield "This model has not been evaluated yet."
        return
    seeds = cells["nll", groups[0]]["seeds"]
    over = f"means over {seeds} trainings, of which this is one" if seeds > 1 else "of one training"
    yield f"With 95 % intervals; {over}."
    yield ""
    heads = [f"{group}, {cells['nll', group]['rows']} test rows" for group in groups]
    yield f"| | {' | '.join(heads)} |"
    yield f"|---|{'---|' * len(groups)}"
    for name in _SHOWN:
        figures = " | ".join(_figure(cells.get((name, group))) for group in groups)
        yield f"| {METRICS[name].title} | {figures} |"
    if decoding != "greedy":
        yield ""
        yield f"Answers were drawn for these figures (`decoding: {decoding}`); below they are greedy."
    yield from _primary(exported)


def _primary(exported: Exported) -> Iterator[str]:
    comparison = f"{exported.arm}-{UNIFORM}"
    columns = {"comparison": str, "role": str}
    for row in _rows(
        paths.PLOTS / "differences.csv",
        columns,
        model=exported.model,
        comparison=comparison,
        role="primary",
    ):
        yield ""
        title = METRICS[row["metric"]].title
        yield f"The primary endpoint, {title} on {row['group']} rows less that of the arm `{UNIFORM}`:"
        yield f"{_figure(row)}."
        if row["seeds"] == 1:
            yield "One training of each arm cannot tell a difference from chance."


def _rows(path: Path, columns: Mapping[str, type], **chosen: str) -> list[dict[str, Any]]:
    """The rows with these values; none where there is no such file."""
    if not path.is_file():
        return []
    table = read_csv(path, {**_FIGURES, **columns})
    for name, value in chosen.items():
        table = table[table[name] == value]
    return [{str(name): cell for name, cell in row.items()} for row in table.to_dict("records")]


def _figure(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    value, low, high = (f"{float(row[key]):.4g}" if row[key] else "" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})" if low and high else value
