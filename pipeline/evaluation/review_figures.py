"""metrics/review.json: all that physicians' ratings say."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.evaluation import rated_metrics
from pipeline.evaluation.bradley_terry import strengths
from pipeline.evaluation.corrections import adjusted, is_primary
from pipeline.evaluation.groups import groups
from pipeline.evaluation.rater_agreement import between_raters, raters, within_raters
from pipeline.evaluation.reviews import (
    ENDPOINT,
    compare_ratings,
    first_ratings,
    measure_ratings,
    rated_arms,
    rated_tables,
)

if TYPE_CHECKING:
    from pipeline.config.evaluation import PrimaryConfig

Figures = dict[str, Any]
NONE: Figures = {"ratings": 0, "models": {}}


def review_figures(ratings: pd.DataFrame, primary: "PrimaryConfig") -> Figures:
    """The figures of every model that was rated.

    Args:
        ratings: rows of data/reviews/ratings.parquet with `group` (of near duplicates), `outdated` (whether
            the model gives another answer by now) and the columns of `rated_metrics` (NaN where unknown).
        primary: its arm and group of complaints are those of the primary endpoint, which is how often the
            arm's answer is preferred, less how often that of `uniform` is.

    Returns:
        `ratings`, the number of answers that were judged, repeats included; and `models`: by model its
        `complaints`, `rounds`, `severities`, `outdated` (answers), `raters` (see `rater_agreement.raters`),
        `arms` (arm, group, figure of `RATED`), `differences` (comparison, group, figure; `role` is primary
        or exploratory, and p is adjusted as docs/statistics.md says), `strengths` (group, arm; where there
        are more than two arms), `between` and `within` (Krippendorff's alpha by scale), `correlations`
        (metric, rating) and `picks` (metric, group).
    """
    # A remark is no figure.
    ratings = ratings[ratings[["correct", "preferred"]].notna().any(axis=1)]
    if ratings.empty:
        return NONE
    by_model = {str(model): rows for model, rows in ratings.groupby("model", sort=True)}
    tables = {model: rated_tables(rows) for model, rows in by_model.items()}
    steps = {
        model: {name: int(rows[f"{name}_steps"].iloc[0]) for name in ("correct", "language")}
        for model, rows in by_model.items()
    }
    compared = {model: compare_ratings(of, steps[model]) for model, of in tables.items()}
    differences = _with_roles(compared, primary)
    return {
        "ratings": len(ratings),
        "models": {
            model: {
                **_counts(rows),
                "raters": raters(rows),
                "arms": _nested(
                    measure_ratings(tables[model], steps[model]), "arm", ("rows", "value", "low", "high")
                ),
                "differences": _nested(
                    differences[model],
                    "comparison",
                    ("role", "rows", "value", "low", "high", "p", "p_adjusted"),
                ),
                "strengths": _strengths(rows),
                "between": between_raters(rows),
                "within": within_raters(rows),
                "correlations": rated_metrics.rank_correlations(rows),
                "picks": rated_metrics.picks(rows),
            }
            for model, rows in by_model.items()
        },
    }


def _counts(ratings: pd.DataFrame) -> Figures:
    complaints = ratings.groupby("id").first()
    answers = ratings.groupby(["id", "arm"])["outdated"].any()
    return {
        "complaints": len(complaints),
        "rounds": int(ratings["round"].nunique()),
        "severities": complaints["severity"].value_counts().sort_index().to_dict(),
        "labelled_by_people": int(complaints["by_people"].sum()),
        "answers": len(answers),
        "outdated": int(answers.sum()),
    }


def _with_roles(compared: Mapping[str, pd.DataFrame], primary: "PrimaryConfig") -> dict[str, pd.DataFrame]:
    """The differences of each model with `role` and `p_adjusted`, as `summary.differences_table` does."""
    table = pd.concat([one.assign(model=model) for model, one in compared.items()], ignore_index=True)
    if "p" not in table:
        return dict(compared)
    endpoint = is_primary(table, primary.arm, ENDPOINT, primary.group).to_numpy()
    corrected = adjusted(table["p"].to_numpy(), endpoint, ~endpoint)
    table = table.assign(role=np.where(endpoint, "primary", "exploratory"), p_adjusted=corrected)
    return {model: table[table["model"] == model] for model in compared}


def _nested(table: pd.DataFrame, key: str, columns: tuple[str, ...]) -> Figures:
    """A table as dictionaries: `key`, group, figure, and the columns; what is not known is None."""
    nested: Figures = {}
    for row in table.to_dict("records"):
        values = {name: _json(row[name]) for name in columns}
        nested.setdefault(row[key], {}).setdefault(row["group"], {})[row["metric"]] = values
    return nested


def _json(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return None if np.isnan(value) else round(value, 6)


def _strengths(ratings: pd.DataFrame) -> Figures:
    first = first_ratings(ratings)
    if len(rated_arms(first)) < 3:
        return {}
    by_group = {group: strengths(first[mask]) for group, mask in groups(first[["severity"]])}
    return {group: of_group for group, of_group in by_group.items() if of_group}
