"""python -m pipeline review

Turn the ratings of physicians, where there are any, into metrics/review.json.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import paths, schemas
from pipeline.evaluation.metrics import MEASURED
from pipeline.evaluation.rated_metrics import AUTOMATIC, JUDGED
from pipeline.evaluation.reassurance import reassuring
from pipeline.evaluation.review_figures import NONE, review_figures
from pipeline.evaluation.reviews import answer_digest
from pipeline.evaluation.urgency import urgent
from pipeline.files import write_json
from pipeline.parquet_inputs import read_parquet

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config.evaluation import PrimaryConfig

_JUDGES = {"urgent_answer": urgent, "reassuring_answer": reassuring}


def run(*, primary: "PrimaryConfig") -> None:
    """Write metrics/review.json, see `review_figures`; without ratings it says that there are none.

    Args:
        primary: see `review_figures`.

    Raises:
        WaznError: the ratings, the scored pairs or an evaluation are damaged.
    """
    if not paths.RATINGS.is_file():
        write_json(paths.REVIEW_METRICS, NONE)
        return
    ratings = read_parquet(paths.RATINGS, schemas.RATINGS)
    pairs = read_parquet(paths.SCORED, schemas.REFERENCES).drop_duplicates("id").set_index("id")
    # A complaint that the data no longer have is a group of its own.
    ratings["group"] = ratings["id"].map(pairs["group"]).fillna(ratings["id"])
    write_json(paths.REVIEW_METRICS, review_figures(_with_answers(ratings, pairs["answer"]), primary))


def _with_answers(ratings: pd.DataFrame, references: pd.Series) -> pd.DataFrame:
    """The ratings with what was measured of the rated answers, and whether they are `outdated`.

    An answer is outdated when the model, trained anew or no longer listed, does not give it any more. Its
    ratings stay; no metric of it is known.

    Args:
        references: the physicians' answers by id.
    """
    parts = []
    for _, rows in ratings.groupby(["model", "arm", "seed"], sort=True, dropna=False):
        run = rows.iloc[0]
        if run["arm"] == paths.REFERENCE:
            now = pd.DataFrame({"generated": references})
        else:
            seed = None if pd.isna(run["seed"]) else int(run["seed"])
            path = paths.generated(run["arm"], run["model"], seed)
            now = _evaluation(path) if path.is_file() else pd.DataFrame()
        parts.append(_beside(rows, now))
    return pd.concat(parts).sort_index()


def _evaluation(path: "Path") -> pd.DataFrame:
    """Answers and their figures of one evaluation, by id."""
    rows = read_parquet(path, schemas.generated(MEASURED), ["specialty"])
    answers = list(rows["generated"])
    tokens = rows["answer_tokens"].where(rows["answer_tokens"] > 0)
    judged = {name: np.array(judge(answers), dtype="float64") for name, judge in _JUDGES.items()}
    return rows.assign(nll=rows["nll_sum"] / tokens, **judged).drop_duplicates("id").set_index("id")


def _beside(ratings: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Ratings of one run with its figures; those of an answer that it does not give now are NaN.

    Args:
        now: by id, with `generated`; or with no columns, where the run is gone.
    """
    columns = ["generated", *AUTOMATIC, *JUDGED]
    there = now.reindex(index=ratings["id"], columns=columns).set_index(ratings.index)
    given = there.pop("generated")
    same = given.map(answer_digest, na_action="ignore") == ratings["answer"]
    return ratings.assign(outdated=~same, **there.where(same).astype("float64"))
