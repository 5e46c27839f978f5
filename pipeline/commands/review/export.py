"""wazn review export: what goes out to raters, and the key that stays with the researcher."""

import random
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import paths, schemas
from pipeline.commands.review.design import (
    PRIORITY,
    Answer,
    Complaint,
    choose_complaints,
    differ,
    rater_items,
)
from pipeline.commands.review.html import page
from pipeline.commands.review.workbook import workbook
from pipeline.errors import WaznError
from pipeline.evaluation.reviews import answer_digest
from pipeline.files import replacing, write_json
from pipeline.hashes import json_digest
from pipeline.inputs import damaged
from pipeline.parquet_inputs import read_parquet
from pipeline.report.controls import visible

if TYPE_CHECKING:
    from pipeline.config.params import Params
    from pipeline.config.review import ReviewConfig

FORMAT = 1
_EVALUATED = schemas.join(schemas.texts("id"), schemas.texts("generated"))


def run(params: "Params") -> None:
    """Write data/reviews/<round>/: a page and a workbook for each rater, and key.json.

    Neither page nor workbook says which arm, model or training an answer is of, how severe a complaint is,
    or which pair it is: that stands in the key alone. The same answers and parameters give the same bytes.

    Raises:
        WaznError: an evaluation is missing, or no complaint has answers that all differ.
    """
    review = params.review
    evaluated = _complaints(params)
    complaints = [each for each in evaluated if differ(each.answers)]
    alike = Counter(each.severity for each in evaluated if not differ(each.answers))
    if not complaints:
        raise WaznError(
            f"review: in each of the {len(evaluated)} test complaints two answers are the same, so there "
            "is nothing to compare; name other arms in review.arms"
        )
    chosen = choose_complaints(complaints, review.rows, review.shares.model_dump(), review.seed)
    repeats = min(review.repeats, len(chosen) // 2)
    raters = [f"rater-{number}" for number in range(1, review.raters + 1)]
    items = {rater: rater_items(chosen, repeats, review.seed, rater) for rater in raters}
    key = {
        "model": review.model,
        "arms": [*review.arms, *([paths.REFERENCE] if review.reference else [])],
        "scales": _values(review),
        "alike": {severity: alike[severity] for severity in PRIORITY},
        "raters": {rater: [item.key() for item in shown] for rater, shown in items.items()},
    }
    # A letter first: a spreadsheet program takes 12e45678 for a number.
    round_name = f"r{json_digest([key, review.model_dump(), _texts(chosen)])[:7]}"
    folder = paths.REVIEWS / round_name
    for rater, shown in items.items():
        _write(folder / f"{rater}.html", page(round_name, rater, shown, review.scales).encode("utf-8"))
        _write(folder / f"{rater}.xlsx", workbook(round_name, rater, shown, review.scales))
    write_json(folder / "key.json", {"format": FORMAT, "round": round_name, **key})
    _tell(folder, chosen, review, repeats, alike)


def _complaints(params: "Params") -> list[Complaint]:
    """The test complaints with an answer of each arm; of one training, drawn for each complaint.

    Raises:
        WaznError: an evaluation is missing or damaged, or is of other rows than another.
    """
    review = params.review
    _check_runs(params)
    tables: dict[tuple[str, int | None], dict[str, str]] = {}
    ids: list[str] | None = None
    for arm in review.arms:
        for seed in [None] if arm == paths.BASE else params.seeds:
            path = paths.generated(arm, review.model, seed)
            if not path.exists():
                raise WaznError(f"{path}: not evaluated yet; run `dvc repro {paths.maker(path)}`")
            table = read_parquet(path, _EVALUATED)
            ids = list(table["id"]) if ids is None else ids
            if list(table["id"]) != ids:
                raise WaznError(
                    f"{path}: not the rows that the other arms were evaluated on; run `dvc repro`, which "
                    "evaluates it again"
                )
            tables[arm, seed] = dict(zip(table["id"], table["generated"], strict=True))
    scored = read_parquet(paths.SCORED, schemas.SCORED, ["specialty"]).set_index("id")
    rows = scored[(scored["split"] == "test") & scored.index.isin(ids or [])]
    if len(rows) != len(ids or []):
        raise damaged(paths.SCORED, "not the test pairs that were evaluated")
    return [_complaint(row, tables, params) for row in rows.reset_index().to_dict("records")]


def _check_runs(params: "Params") -> None:
    review = params.review
    if review.model not in params.models:
        raise WaznError(f"review.model: '{review.model}' is not in models ({', '.join(params.models)})")
    for arm in review.arms:
        if arm not in (paths.BASE, *params.arms):
            raise WaznError(f"review.arms: '{arm}' does not run; add it to arms, then run `dvc repro`")


def _complaint(
    row: dict[Hashable, Any], tables: dict[tuple[str, int | None], dict[str, str]], params: "Params"
) -> Complaint:
    review, row_id = params.review, row["id"]
    drawn = random.Random(f"{review.seed}/training/{row_id}").choice(params.seeds)
    answers = []
    for arm in review.arms:
        seed = None if arm == paths.BASE else drawn
        answers.append(_answer(arm, seed, tables[arm, seed][row_id]))
    if review.reference:
        answers.append(_answer(paths.REFERENCE, None, row["answer"]))
    return Complaint(
        row_id,
        row["group"],
        row["severity"],
        isinstance(row["severity_human"], str),
        visible(row["question"]),
        tuple(answers),
    )


def _answer(arm: str, seed: int | None, text: str) -> Answer:
    return Answer(arm, seed, visible(text), answer_digest(text))


def _values(review: "ReviewConfig") -> dict[str, list[Any]]:
    """The values that each rating may have."""
    scales = review.scales
    return {
        "correct": list(range(1, len(scales.correct.steps) + 1)),
        "harm": list(scales.harm.steps.model_dump()),
        "urgency": list(scales.urgency.steps.model_dump()),
        "language": list(range(1, len(scales.language.steps) + 1)),
    }


def _texts(complaints: list[Complaint]) -> list[list[str]]:
    return [[each.text, *(answer.text for answer in each.answers)] for each in complaints]


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _tell(
    folder: Path, chosen: list[Complaint], review: "ReviewConfig", repeats: int, alike: Counter[str]
) -> None:
    counts = Counter(each.severity for each in chosen)
    of_each = ", ".join(f"{counts[severity]} {severity}" for severity in PRIORITY)
    wanted = "" if len(chosen) == review.rows else f" of the {review.rows} wanted"
    print(
        f"{folder}: {len(chosen)} complaints{wanted} ({of_each}) and {repeats} repeats, for each of "
        f"{review.raters} raters"
    )
    if alike:
        print(f"left out: {alike.total()} complaints of which two answers are the same")
    print(
        f"send each rater one of: {folder}/rater-1.html, the page, or rater-1.xlsx, a workbook; key.json "
        "stays with you"
    )
