"""The answers that the page carries: which complaints, how much of each text, and as what JSON."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.statistics import BASE, UNIFORM
from pipeline.report.embedded import script_json
from pipeline.report.summary import Gathered
from pipeline.severities import SEVERITIES

if TYPE_CHECKING:
    from pipeline.config.evaluation import PrimaryConfig

# Longer texts are cut, so that one of them does not take the room of a hundred complaints.
MAX_CHARACTERS = 1_500
# Of each of the strongest pairs, so that they fit beside each other.
EXCERPT_CHARACTERS = 320
PAIRS = 2

Row = dict[str, Any]


def answer_rows(gathered: Gathered, scored: pd.DataFrame, shown: Sequence[str], main: str) -> list[Row]:
    """The test complaints with the answers of every model and arm, of the first seed.

    Args:
        gathered: see `results.gather`.
        scored: the scored pairs.
        shown: the arms whose answers are shown; `base` is too.
        main: the arm by which the complaints are ordered.

    Returns:
        For each complaint that a model answered: `id`, `source`, `line` (in the source), `severity`,
        `by_people` (whether people gave it), `specialty` (None where it has none), `question`, `reference`;
        `answers` and `nll` (of the reference, in nats per token), model to arm to text and figure. Those
        come first whose NLL differs most between `main` and `uniform`, as the mean over models of the
        absolute difference.
    """
    texts: dict[str, dict[str, dict[str, str]]] = {}
    nll: dict[str, dict[str, dict[str, float]]] = {}
    for model, arms in gathered.items():
        for arm in (BASE, *shown):
            table = arms[arm][0]
            by_token = table["nll_sum"] / table["answer_tokens"]
            for row_id, text, value in zip(table["id"], table["generated"], by_token, strict=True):
                texts.setdefault(row_id, {}).setdefault(model, {})[arm] = text
                nll.setdefault(row_id, {}).setdefault(model, {})[arm] = float(value)

    def difference(row: Row) -> float:
        # A complaint that does not fit one model's window is missing there; the others count.
        return float(np.mean([abs(arms[main] - arms[UNIFORM]) for arms in row["nll"].values()]))

    complaints = scored[scored["id"].isin(list(texts))]
    if "specialty" in complaints:
        complaints = complaints.assign(specialty=complaints["specialty"].astype(object).fillna(""))
    rows = [
        {
            "id": complaint["id"],
            "source": complaint["source"],
            "line": complaint["line"],
            "severity": complaint["severity"],
            "by_people": isinstance(complaint["severity_human"], str),
            "specialty": complaint.get("specialty") or None,
            "question": complaint["question"],
            "reference": complaint["answer"],
            "answers": texts[complaint["id"]],
            "nll": nll[complaint["id"]],
        }
        for complaint in complaints.to_dict("records")
    ]
    return sorted(rows, key=difference, reverse=True)


def primary_values(gathered: Gathered, primary: "PrimaryConfig") -> dict[str, dict[str, dict[str, float]]]:
    """The primary metric of each answer of the first seed: model to complaint to arm, of two arms.

    A complaint on which the metric is not defined for both, such as the urgency recall without an urgent
    reference, is left out.

    Args:
        gathered: see `results.gather`.
        primary: names metric and arm; the other arm is uniform.
    """
    metric = METRICS[primary.metric]
    values: dict[str, dict[str, dict[str, float]]] = {}
    for model, arms in gathered.items():
        by_row: dict[str, dict[str, float]] = {}
        for arm in (UNIFORM, primary.arm):
            table = arms[arm][0]
            denominator = table[metric.denominator] if metric.denominator else np.ones(len(table))
            for row_id, numerator, each in zip(
                table["id"], table[metric.numerator], denominator, strict=True
            ):
                if each > 0 and np.isfinite(numerator):
                    by_row.setdefault(row_id, {})[arm] = float(numerator / each)
        values[model] = {row_id: of_arms for row_id, of_arms in by_row.items() if len(of_arms) == 2}
    return values


def strongest_pairs(
    rows: Sequence[Mapping[str, Any]],
    values: Mapping[str, Mapping[str, Mapping[str, float]]],
    primary: "PrimaryConfig",
    examples: int,
) -> dict[str, list[Row]]:
    """The answers that speak most for and against an arm, equally many: at most `PAIRS` of each.

    Critical complaints come before all others, then what differs most. A complaint stands once, with the
    model for which it differs most.

    Args:
        rows: see `answer_rows`.
        values: see `primary_values`.
        primary: names metric and arm.
        examples: how many complaints the page may show.

    Returns:
        `better` and `worse`, each a list of `row` (with long texts cut), `model`, `values` (arm to the
        primary metric) and `difference` (the arm's less uniform's).
    """
    better = METRICS[primary.metric].better
    if better == "neither":
        return {"better": [], "worse": []}

    def gain(pair: Row) -> float:
        return float(pair["difference"] if better == "higher" else -pair["difference"])

    def strongest_first(pair: Row) -> tuple[bool, float, str]:
        return pair["row"]["severity"] != "critical", -abs(gain(pair)), str(pair["row"]["id"])

    sides: dict[str, list[Row]] = {"better": [], "worse": []}
    seen = set()
    for pair in sorted(_pairs(rows, values, primary.arm), key=strongest_first):
        if gain(pair) and pair["row"]["id"] not in seen:
            seen.add(pair["row"]["id"])
            sides["better" if gain(pair) > 0 else "worse"].append(pair)
    count = min(PAIRS, examples // 2, *map(len, sides.values()))
    return {
        side: [{**pair, "row": _cut(pair["row"], EXCERPT_CHARACTERS)} for pair in pairs[:count]]
        for side, pairs in sides.items()
    }


def _pairs(
    rows: Sequence[Mapping[str, Any]],
    values: Mapping[str, Mapping[str, Mapping[str, float]]],
    arm: str,
) -> Iterator[Row]:
    """A pair of each model and complaint that has both values."""
    for row in rows:
        for model in row["answers"]:
            of_arms = values.get(model, {}).get(row["id"])
            if of_arms:
                difference = of_arms[arm] - of_arms[UNIFORM]
                yield {"row": row, "model": model, "values": of_arms, "difference": difference}


def choose_answers(
    rows: Sequence[Mapping[str, Any]], count: int, max_bytes: int, kept: Collection[str] = ()
) -> list[Row]:
    """The first `count` rows, but of each severity at least a tenth of `count`, or all that there are.

    Args:
        rows: all test rows, in the order of `answer_rows`.
        count: how many rows at most.
        max_bytes: what they may take as `script_json` writes them.
        kept: ids of rows that come before all others.

    Returns:
        Rows in the order of `rows`, with long texts cut.
    """
    reserved = -(-count // 10)
    # Rank of the reserved rows within their severity. Taking them by rank takes the severities by turns,
    # so that none is missing where there is little room.
    ranks = {
        index: rank
        for severity in SEVERITIES
        for rank, index in enumerate(
            [index for index, row in enumerate(rows) if row["severity"] == severity][:reserved]
        )
    }

    def rank(index: int) -> tuple[bool, bool, int, int]:
        return rows[index]["id"] not in kept, index not in ranks, ranks.get(index, 0), index

    order = sorted(range(len(rows)), key=rank)
    chosen, left = {}, max_bytes
    for index in order[:count]:
        row = _cut(rows[index])
        left -= len(script_json(row).encode()) + 1
        if left < 0:
            break
        chosen[index] = row
    return [chosen[index] for index in sorted(chosen)]


def _cut(value: Any, characters: int = MAX_CHARACTERS) -> Any:
    """A row, or a part of it, with long texts cut and figures rounded."""
    if isinstance(value, str):
        return value if len(value) <= characters else value[:characters] + " […]"
    if isinstance(value, Mapping):
        return {key: _cut(part, characters) for key, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value
