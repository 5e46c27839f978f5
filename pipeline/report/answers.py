"""The answers that the page carries: which complaints, how much of each text, and as what JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from pipeline.evaluation.statistics import BASE, UNIFORM
from pipeline.report.summary import Gathered
from pipeline.severities import SEVERITIES

# Longer texts are cut, so that one of them does not take the room of a hundred complaints.
MAX_CHARACTERS = 1_500

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


def choose_answers(rows: Sequence[Mapping[str, Any]], count: int, max_bytes: int) -> list[Row]:
    """The first `count` rows, but of each severity at least a tenth of `count`, or all that there are.

    Args:
        rows: all test rows, in the order of `answer_rows`.
        count: how many rows at most.
        max_bytes: what they may take as `script_json` writes them.

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
    order = sorted(range(len(rows)), key=lambda index: (index not in ranks, ranks.get(index, 0), index))
    chosen, left = {}, max_bytes
    for index in order[:count]:
        row = _cut(rows[index])
        left -= len(script_json(row).encode()) + 1
        if left < 0:
            break
        chosen[index] = row
    return [chosen[index] for index in sorted(chosen)]


def script_json(value: Any) -> Markup:
    """JSON that can stand in a `<script>`: it has no `<`, `>` or `&`, so no element ends or opens in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _cut(value: Any) -> Any:
    """A row, or a part of it, with long texts cut and figures rounded."""
    if isinstance(value, str):
        return value if len(value) <= MAX_CHARACTERS else value[:MAX_CHARACTERS] + " […]"
    if isinstance(value, Mapping):
        return {key: _cut(part) for key, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value
