"""What physicians' ratings say of the arms of one model: preference, harm, urgency, correctness.

The same statistics as those of trainings (docs/statistics.md), with raters in the place of training seeds:
every rater judges every complaint, so raters cross complaints, and both are drawn by chance. A rating that
is missing weighs nothing.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import pandas as pd

from pipeline.evaluation.metrics import Metric
from pipeline.evaluation.statistics import BASE, UNIFORM, ArmTables, compare, comparisons, measure
from pipeline.paths import REFERENCE

RATED = {
    "preferred": Metric("Preferred", "higher", "chosen", "choices", share=True),
    "correct": Metric("Medically correct", "higher", "correct_sum", "rated"),
    "harm": Metric("Harmful", "lower", "harmful", "rated", share=True),
    "severe_harm": Metric("Severely harmful", "lower", "severe", "rated", share=True),
    "too_low": Metric("Urgency too low", "lower", "too_low", "rated", share=True),
    "too_high": Metric("Urgency too high", "lower", "too_high", "rated", share=True),
    "language": Metric("Language", "higher", "language_sum", "rated"),
}
# The primary endpoint of a review, of the arm and severity that `report.primary` names.
ENDPOINT = "preferred"
_RATINGS = ("rated", "correct_sum", "harmful", "severe", "too_low", "too_high", "language_sum")
_CHOICES = ("choices", "chosen")


def answer_digest(text: str) -> str:
    """By what the key of a review and its ratings know an answer again: 16 digits of its SHA-256."""
    return sha256(text.encode()).hexdigest()[:16]


def first_ratings(ratings: pd.DataFrame) -> pd.DataFrame:
    """The ratings without those of complaints that were shown for the second time."""
    return ratings[~ratings["repeat"]]


def rated_tables(ratings: pd.DataFrame) -> dict[str, list[pd.DataFrame]]:
    """The ratings of one model as `ArmTables`: for each arm one table a rater, all of the same complaints.

    Args:
        ratings: rows of data/reviews/ratings.parquet with `group` (of near duplicates); repeats are left
            out.

    Returns:
        `uniform` first, the other arms by name. A complaint that a rater has not judged has zeros.
    """
    first = first_ratings(ratings)
    rated = first["correct"].notna()
    terms = first.assign(
        rated=rated.astype("float64"),
        correct_sum=first["correct"].astype("float64").fillna(0.0),
        harmful=first["harm"].isin(("moderate", "severe")).astype("float64"),
        severe=(first["harm"] == "severe").astype("float64"),
        too_low=(first["urgency"] == "too_low").astype("float64"),
        too_high=(first["urgency"] == "too_high").astype("float64"),
        language_sum=first["language"].astype("float64").fillna(0.0),
        choices=first["preferred"].notna().astype("float64"),
        chosen=first["preferred"].astype("float64").fillna(0.0),
    )
    complaints = first.groupby("id", sort=True)[["severity", "group"]].first()
    sums = terms.groupby(["arm", "rater", "id"], sort=True)[[*_RATINGS, *_CHOICES]].sum()
    raters = sorted(first["rater"].unique())
    tables: dict[str, list[pd.DataFrame]] = {}
    for arm in rated_arms(first):
        tables[arm] = []
        for rater in raters:
            keys = pd.MultiIndex.from_product([[arm], [rater], complaints.index], names=sums.index.names)
            of_rater = sums.reindex(keys, fill_value=0.0).droplevel(["arm", "rater"])
            tables[arm].append(complaints.join(of_rater).reset_index())
    return tables


def rated_arms(ratings: pd.DataFrame) -> list[str]:
    """The arms of ratings: `uniform`, then the others by name, `base` and `reference` at the end."""
    last = (BASE, REFERENCE)
    return sorted(ratings["arm"].unique(), key=lambda arm: (arm in last, arm != UNIFORM, arm))


def rated_comparisons(arms: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Which arms are compared: as `comparisons` has it; without `uniform`, each with the first.

    Args:
        arms: see `rated_arms`.
    """
    if UNIFORM not in arms:
        return {f"{arm}-{arms[0]}": (arm, arms[0]) for arm in arms[1:]}
    return {name: pair for name, pair in comparisons(arms).items() if set(pair) <= set(arms)}


def measure_ratings(tables: ArmTables, steps: Mapping[str, int]) -> pd.DataFrame:
    """The figures of `RATED` of every arm, with intervals over raters and complaints.

    Args:
        tables: see `rated_tables`.
        steps: how many `correct` and `language` have; their intervals do not leave the scale.

    Returns:
        The columns of `measure`, where `seeds` and `sd_seeds` are of raters.
    """
    measured = measure(tables, tuple(RATED), RATED)
    return _clipped(measured, {name: (1, number) for name, number in steps.items()})


def compare_ratings(tables: ArmTables, steps: Mapping[str, int]) -> pd.DataFrame:
    """Differences between arms, paired by rater and complaint: those that rated or compared both count.

    Args:
        tables, steps: as of `measure_ratings`.

    Returns:
        The columns of `compare`, where `seeds` and `by_seed` are of raters. With one rater there is no p:
        one rater cannot tell how another would judge. No columns where nothing can be compared.
    """
    effects = [
        compare(_of_both(tables, *pair), {name: pair}, tuple(RATED), RATED)
        for name, pair in rated_comparisons(list(tables)).items()
    ]
    table = pd.concat([pd.DataFrame(), *effects], ignore_index=True)
    return _clipped(table, {name: (1 - number, number - 1) for name, number in steps.items()})


def _of_both(tables: ArmTables, one: str, other: str) -> Mapping[str, Sequence[pd.DataFrame]]:
    """The tables of two arms, without what a rater has judged of one of them only."""
    kept: dict[str, list[pd.DataFrame]] = {one: [], other: []}
    for first, second in zip(tables[one], tables[other], strict=True):
        masks = {
            **dict.fromkeys(_RATINGS, (first["rated"] > 0) & (second["rated"] > 0)),
            **dict.fromkeys(_CHOICES, (first["choices"] > 0) & (second["choices"] > 0)),
        }
        for arm, table in ((one, first), (other, second)):
            kept[arm].append(table.assign(**{name: table[name] * mask for name, mask in masks.items()}))
    return kept


def _clipped(table: pd.DataFrame, bounds: Mapping[str, tuple[int, int]]) -> pd.DataFrame:
    """A table of figures whose intervals keep to what a figure can be."""
    for metric, (low, high) in bounds.items():
        if len(table):
            of_metric = table["metric"] == metric
            table.loc[of_metric, ["low", "high"]] = table.loc[of_metric, ["low", "high"]].clip(low, high)
    return table
