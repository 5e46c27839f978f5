"""wazn review import: the ratings that physicians send back, checked and kept."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline import paths, schemas
from pipeline.commands.review.rows import DTYPES, Json, in_order, rows_of
from pipeline.commands.review.sheets import read_ratings
from pipeline.errors import WaznError
from pipeline.files import parquet_writer
from pipeline.inputs import UnusableJson, of_shape, read_values
from pipeline.parquet_inputs import read_parquet
from pipeline.review_shapes import Key, RaterFile

SHEETS = (".csv", ".xlsx")
# What a rater says of an answer.
_SAID = ["correct", "harm", "urgency", "language", "preferred", "remark"]


def run(files: Sequence[Path], *, key: Path | None, replace: bool) -> None:
    """Add the ratings of raters' files to data/reviews/ratings.parquet, and say what was in them.

    A rater's earlier ratings of the same round are replaced. All files are checked before anything is
    written.

    Args:
        files: as raters saved them: JSON, CSV or XLSX.
        key: of the round; None for that in the round's folder.
        replace: whether a file may change what the same rater said before.

    Raises:
        WaznError: a file or a key cannot be read, is of another round or rater, has impossible values or no
            ratings; two files are of one rater and differ; a file changes earlier ratings without
            `replace`; rounds of one model have scales of different lengths.
    """
    kept = _kept()
    read: dict[tuple[str, str], tuple[Path, pd.DataFrame]] = {}
    lines = []
    for path in files:
        content = _rater_file(path)
        own_key = _key(path, content["round"], key)
        rows, counts = rows_of(path, content, own_key)
        whose = (own_key["round"], content["rater"])
        name = f"{whose[1]} of round {whose[0]}"
        if whose in read:
            other, theirs = read[whose]
            if not rows.equals(theirs):
                raise WaznError(
                    f"{path}: {other} is of {name} too, with other ratings; import the one that counts, "
                    "and give a second person a file of their own"
                )
            lines.append(f"{path}: the same as {other}")
            continue
        if rows.empty:
            raise WaznError(f"{path}: nothing in it is rated yet")
        read[whose] = (path, rows)
        earlier = kept[(kept["round"] == whose[0]) & (kept["rater"] == whose[1])]
        changed = _changed(earlier, rows)
        if changed and not replace:
            raise WaznError(
                f"{path}: it says something else of {changed} complaints than {name} did in the file that "
                "was imported before; if it is the same person's newer file, add --replace; a second "
                "person needs a file of their own"
            )
        line = f"{path}: {name}: {counts.sentence()}"
        if not earlier.empty:
            line += f"; replaces what was imported before, {changed} complaints of it changed"
        lines.append(line)
    others = kept[[key not in read for key in zip(kept["round"], kept["rater"], strict=True)]]
    table = in_order(pd.concat([others, *(rows for _, rows in read.values())]))
    _check_scales(table)
    with parquet_writer(paths.RATINGS, schemas.RATINGS) as writer:
        writer.write_table(pa.Table.from_pandas(table, schemas.RATINGS, preserve_index=False))
    print(*lines, sep="\n")
    print(
        f"{paths.RATINGS}: {len(table)} rated answers, raters: {table['rater'].nunique()}; `dvc repro` "
        "puts the figures on the page"
    )


def _kept() -> pd.DataFrame:
    """The ratings that were imported before."""
    if not paths.RATINGS.is_file():
        return pd.DataFrame(columns=schemas.RATINGS.names).astype(DTYPES)
    return read_parquet(paths.RATINGS, schemas.RATINGS).astype(DTYPES)


def _rater_file(path: Path) -> Json:
    """What a rater saved.

    Raises:
        WaznError: it is missing, or no file of a rater.
    """
    suffix = path.suffix.lower()
    if suffix not in (".json", *SHEETS):
        raise WaznError(f"{path}: expected what a rater saved, a file .json, .csv or .xlsx")
    _there(path)
    try:
        content: Json = (
            read_values(path, RaterFile) if suffix == ".json" else of_shape(read_ratings(path), RaterFile)
        )
    except UnusableJson as error:
        raise WaznError(f"{path}: {error}; ask the rater to save it again") from error
    return content


def _key(path: Path, review_round: str, key: Path | None) -> Json:
    """The key of a rater's file.

    Args:
        path: of the rater's file, for messages.
        key: see `run`.

    Raises:
        WaznError: it is missing, no key, or of another round.
    """
    place = key or paths.review_key(review_round)
    if not place.is_file():
        raise WaznError(
            f"{place}: no such file; {path} is of round {review_round}, whose key `wazn review export` "
            "wrote; name it with --key"
        )
    try:
        content: Json = read_values(place, Key)
    except UnusableJson as error:
        raise WaznError(f"{place}: {error}; it is not the key that `wazn review export` wrote") from error
    if content["round"] != review_round:
        raise WaznError(f"{place}: the key of round {content['round']}, but {path} is of {review_round}")
    return content


def _there(path: Path) -> None:
    if not path.is_file():
        raise WaznError(f"{path}: no such file")


def _changed(earlier: pd.DataFrame, rows: pd.DataFrame) -> int:
    """Complaints of which a file says something else than an earlier one, or nothing any more."""
    statements = [
        {
            item: json.loads(answers.sort_values(["arm", "seed"])[_SAID].to_json(orient="values"))
            for item, answers in table.groupby("item")
        }
        for table in (earlier, rows)
    ]
    return sum(statements[1].get(item) != answers for item, answers in statements[0].items())


def _check_scales(table: pd.DataFrame) -> None:
    for model, rows in table.groupby("model"):
        if len(rows[["correct_steps", "language_steps"]].drop_duplicates()) > 1:
            rounds = ", ".join(sorted(rows["round"].unique()))
            raise WaznError(
                f"rounds {rounds} rate {model} on scales of different lengths, which have no common mean; "
                f"move {paths.RATINGS} away and import those of one scale"
            )
