"""The answers that the page carries: which rows, how long, and as what text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from pipeline.severities import SEVERITIES

# Longer texts are cut: one novel must not push out a hundred complaints.
CHARACTERS = 1_500


def chosen(answers: Sequence[Mapping[str, Any]], most: int, size: int) -> list[dict[str, Any]]:
    """The rows on which the runs differ most, of each severity at least a tenth of `most`, or all.

    Args:
        answers: all test rows, those that differ most first.
        most: how many rows at most.
        size: bytes that they may take as `data` writes them.

    Returns:
        Rows in the order of `answers`, with long texts cut.
    """
    reserve = -(-most // 10)
    # The reserved rows, by turns of the severities, so that none is missing where there is little room.
    ranks = {
        place: rank
        for severity in SEVERITIES
        for rank, place in enumerate(
            [at for at, row in enumerate(answers) if row["severity"] == severity][:reserve]
        )
    }
    order = sorted(range(len(answers)), key=lambda place: (place not in ranks, ranks.get(place, 0), place))[
        :most
    ]
    kept, left = [], size
    for place in order:
        row = _cut(answers[place])
        left -= len(data(row).encode()) + 1
        if left < 0:
            break
        kept.append((place, row))
    return [row for _, row in sorted(kept, key=lambda item: item[0])]


def data(value: Any) -> Markup:
    """JSON that may stand in a `<script>`: no `<`, `>` or `&` in it can end or open anything."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _cut(part: Any) -> Any:
    if isinstance(part, str):
        return part if len(part) <= CHARACTERS else part[:CHARACTERS] + " […]"
    if isinstance(part, Mapping):
        return {key: _cut(value) for key, value in part.items()}
    return round(part, 4) if isinstance(part, float) else part
