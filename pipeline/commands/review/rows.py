"""A rater's file and the key of its round, put together as rows of data/reviews/ratings.parquet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import schemas
from pipeline.commands.review.sheets import SCALES, TIE
from pipeline.errors import WaznError

# The dtypes in which null is told from 0.
DTYPES = {
    "seed": "Int64",
    "correct": "Int8",
    "correct_steps": "int8",
    "language": "Int8",
    "language_steps": "int8",
    "preferred": "float32",
}
Json = Mapping[str, Any]


@dataclass
class Counts:
    """What a file has: complaints and repeats shown and rated in full, and the rest.

    Attributes:
        half_done: rated in part, so that no rating of them counts.
        chosen_only: of these, those whose preferred answer counts all the same.
        not_rated: without any rating.
        no_choice: rated in full, without a preferred answer.
    """

    complaints: int = 0
    rated: int = 0
    repeats: int = 0
    repeats_rated: int = 0
    half_done: int = 0
    chosen_only: int = 0
    not_rated: int = 0
    no_choice: int = 0

    def sentence(self) -> str:
        """The counts in words; those of 0 are left out, but for what is rated."""
        text = f"{self.rated} of {self.complaints} complaints rated"
        if self.repeats:
            text += f", {self.repeats_rated} of {self.repeats} repeats"
        if self.half_done:
            text += f"; {self.half_done} half-done, left out"
            if self.chosen_only:
                text += f" but for the preferred answer of {self.chosen_only}"
        if self.not_rated:
            text += f"; {self.not_rated} not rated"
        if self.no_choice:
            text += f"; {self.no_choice} without a preferred answer"
        return text


def rows_of(path: Path, content: Json, key: Json) -> tuple[pd.DataFrame, Counts]:
    """The rows of one rater's file, in the order of items and arms.

    A complaint counts as rated if every rating of all its answers is given. A preferred answer counts by
    itself, and so does a remark.

    Args:
        path: of the file, for messages.
        content: see `review_shapes.RaterFile`.
        key: of its round, see `review_shapes.Key`.

    Raises:
        WaznError: rater, item or letter are not those of the key, an item comes twice, or a value is none
            of its scale. The message has no text of the file.
    """
    rater, items = content["rater"], key["raters"].get(content["rater"])
    if items is None:
        known = ", ".join(key["raters"])
        raise WaznError(f"{path}: its rater is none of round {key['round']}, whose raters are {known}")
    shown = {item["item"]: item for item in items}
    scales = {name: key["scales"][name] for name in SCALES}
    given: dict[str, Json] = {}
    for number, rated in enumerate(content["ratings"], 1):
        item = shown.get(rated["item"])
        if item is None:
            raise WaznError(
                f"{path}: complaint {number} of the file is none that {rater} of round {key['round']} was "
                "shown; is it another file's?"
            )
        if rated["item"] in given:
            raise WaznError(f"{path}: item {rated['item']} comes twice; keep the one that counts")
        _check(f"{path}: item {rated['item']}", rated, item, scales)
        given[rated["item"]] = rated
    counts, rows = Counts(), []
    for name, item in shown.items():
        rated = given.get(name, {"answers": {}})
        complete = _count(counts, rated, item)
        preferred, remark = rated.get("preferred") or None, (rated.get("remark") or "").strip() or None
        if not (complete or preferred or remark):
            continue
        for letter, answer in item["letters"].items():
            rows.append(
                {
                    "round": key["round"],
                    "rater": rater,
                    "item": name,
                    **{column: item[column] for column in ("id", "severity", "by_people")},
                    "model": key["model"],
                    "repeat": item["repeat_of"] is not None,
                    **{column: answer[column] for column in ("arm", "seed", "answer")},
                    **dict.fromkeys(SCALES),
                    **(rated["answers"][letter] if complete else {}),
                    "correct_steps": len(scales["correct"]),
                    "language_steps": len(scales["language"]),
                    "preferred": _share(preferred, letter, len(item["letters"])),
                    "remark": remark,
                }
            )
    table = pd.DataFrame(rows, columns=schemas.RATINGS.names).astype(DTYPES)
    return in_order(table), counts


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Ratings in the one order in which they are kept."""
    return table.sort_values(["round", "rater", "item", "arm", "seed"], ignore_index=True)


def _check(where: str, rated: Json, item: Json, scales: Mapping[str, Sequence[Any]]) -> None:
    """Refuse letters that the item has not, and values that are none of their scale."""
    letters = list(item["letters"])
    if not set(rated["answers"]) <= set(letters):
        raise WaznError(f"{where}: it has a letter that is none of its answers, {', '.join(letters)}")
    if rated.get("preferred") not in (None, "", TIE, *letters):
        raise WaznError(f"{where}: the preferred answer is one of {', '.join(letters)} or {TIE}")
    for letter, answer in rated["answers"].items():
        for scale, steps in scales.items():
            if answer.get(scale) not in (None, *steps):
                raise WaznError(
                    f"{where}, answer {letter}: {scale} is one of {', '.join(map(str, steps))}, or left out"
                )


def _count(counts: Counts, rated: Json, item: Json) -> bool:
    """Add a complaint to the counts, and say whether it is rated in full."""
    answers = [rated["answers"].get(letter, {}) for letter in item["letters"]]
    values = [answer.get(scale) for answer in answers for scale in SCALES]
    complete = None not in values
    repeat, chosen = item["repeat_of"] is not None, bool(rated.get("preferred"))
    counts.complaints += not repeat
    counts.repeats += repeat
    counts.rated += complete and not repeat
    counts.repeats_rated += complete and repeat
    counts.no_choice += complete and not chosen
    begun = any(value is not None for value in values) or chosen
    counts.half_done += begun and not complete
    counts.chosen_only += chosen and not complete
    counts.not_rated += not begun
    return complete


def _share(preferred: str | None, letter: str, letters: int) -> float | None:
    """1 for the preferred answer, 0 for another, 1 / k for a tie among k; None if none was named."""
    if preferred is None:
        return None
    return 1 / letters if preferred == TIE else float(preferred == letter)
