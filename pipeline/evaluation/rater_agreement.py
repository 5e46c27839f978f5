"""How well raters agree with each other and with themselves, and who might be answering at random."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

import krippendorff
import numpy as np
import pandas as pd

from pipeline.evaluation.group_intervals import Interval, group_codes, influence_interval, rounded
from pipeline.evaluation.reviews import first_ratings

# Scales of an answer, and the codes of their steps in order; steps by number are their own.
ORDERS: dict[str, Mapping[str, int]] = {
    "correct": {},
    "harm": {"none": 0, "moderate": 1, "severe": 2},
    "urgency": {"too_low": -1, "right": 0, "too_high": 1},
    "language": {},
}
PREFERRED = "preferred"
# A rater is flagged whom neither of two tests shows not to answer at random: 5 % over both (Bonferroni).
LEVEL = 0.025
PERMUTATIONS = 1999
# Parts of the complaints that a jackknife leaves out in turn, at most, so that its time stays bounded.
BLOCKS = 200
_SEED = 17
_TIE = "tie"


class Rater(TypedDict):
    """What is known of a rater.

    Attributes:
        complaints, repeats: that were judged, and judged a second time.
        same_repeats, same_others: share of ratings that are the same the second time, and the same as
            another rater's; None without any.
        p_repeats, p_others: see `permutation_p`; None where nothing can be compared.
        flagged: whether neither p is at most `LEVEL`, though there is one.
    """

    complaints: int
    repeats: int
    same_repeats: float | None
    same_others: float | None
    p_repeats: float | None
    p_others: float | None
    flagged: bool


def coded(ratings: pd.DataFrame) -> pd.DataFrame:
    """The ratings with each scale as numbers in its order, float64; NaN where there is none."""
    numbers = {
        scale: (ratings[scale].map(order) if order else ratings[scale]).astype("float64")
        for scale, order in ORDERS.items()
    }
    return ratings.assign(**numbers, **{PREFERRED: ratings[PREFERRED].astype("float64")})


def between_raters(ratings: pd.DataFrame) -> dict[str, Interval]:
    """Krippendorff's alpha (2004) between the raters of one model, by scale, with 95 % intervals.

    Harm, urgency, correctness and language are ordinal; the preferred arm, or a tie, of a complaint is
    nominal. An interval covers the choice of complaints, not of raters.

    Returns:
        Without scales that fewer than two raters used on the same answer, or that have one value only.
    """
    first = coded(first_ratings(ratings))
    alphas = {
        scale: _alpha(first.pivot_table(scale, ["group", "id", "arm"], "rater", "last"), "ordinal")
        for scale in ORDERS
    }
    alphas[PREFERRED] = _alpha(_preferences(first, ["group", "id"], "rater"), "nominal")
    return {scale: interval for scale, interval in alphas.items() if interval}


def within_raters(ratings: pd.DataFrame) -> dict[str, Interval]:
    """Krippendorff's alpha between raters' first and second ratings of a complaint, as `between_raters`."""
    numbers = coded(ratings)
    keys = ["rater", "round", "id"]
    again = numbers[numbers["repeat"]].set_index(keys).index
    both = numbers[pd.MultiIndex.from_frame(numbers[keys]).isin(again)]
    alphas = {
        scale: _alpha(both.pivot_table(scale, ["group", *keys, "arm"], "repeat", "last"), "ordinal")
        for scale in ORDERS
    }
    alphas[PREFERRED] = _alpha(_preferences(both, ["group", *keys], "repeat"), "nominal")
    return {scale: interval for scale, interval in alphas.items() if interval}


def raters(ratings: pd.DataFrame) -> dict[str, Rater]:
    """What is known of each rater of one model, by name. A flagged one stays in all figures."""
    numbers = coded(ratings)
    first, again = numbers[~numbers["repeat"]], numbers[numbers["repeat"]]
    known = {}
    for name in sorted(numbers["rater"].unique()):
        own, others = first[first["rater"] == name], first[first["rater"] != name]
        second = again[again["rater"] == name]
        p_repeats, same_repeats = _compared(own, second)
        p_others, same_others = _compared(own, others)
        tests = [p for p in (p_repeats, p_others) if p is not None]
        known[name] = Rater(
            complaints=len(own[["round", "item"]].drop_duplicates()),
            repeats=len(second[["round", "item"]].drop_duplicates()),
            same_repeats=same_repeats,
            same_others=same_others,
            p_repeats=p_repeats,
            p_others=p_others,
            flagged=bool(tests) and min(tests) > LEVEL,
        )
    return known


def permutation_p(own: np.ndarray, other: np.ndarray) -> float:
    """The p-value of ratings that are no closer to other ratings of the same answers than by chance.

    The distance is the mean absolute difference over answers and scales. A rater who does not look at the
    answers would give any complaint's ratings to any other complaint, and any letter's to any other letter;
    so whole complaints are permuted, and letters within each (Phipson & Smyth 2010 for the count of one).

    Args:
        own, other: ratings of n complaints' k answers by q scales, each scale from 0 to 1, (n, k, q); NaN
            where there is none.
    """
    random = np.random.default_rng(_SEED)
    observed = _distance(own, other)
    count, letters, _ = own.shape
    as_close = 1
    for _ in range(PERMUTATIONS):
        shuffled = own[random.permutation(count)]
        order = random.random((count, letters)).argsort(axis=1)
        # A distance that is equal but for the order of summing is as close.
        as_close += (
            _distance(np.take_along_axis(shuffled, order[:, :, None], axis=1), other) <= observed + 1e-12
        )
    return as_close / (PERMUTATIONS + 1)


def _compared(own: pd.DataFrame, other: pd.DataFrame) -> tuple[float | None, float | None]:
    """The p-value of one rater's ratings beside other ratings, and the share that are the same.

    Args:
        own: coded ratings of one rater, each answer once.
        other: of the same answers, some of them, perhaps by several raters.
    """
    scales = [*ORDERS, PREFERRED]
    keys = ["id", "arm"]
    pairs = own.merge(other, on=keys, suffixes=("", "_other"))
    values, theirs = (pairs[[f"{scale}{end}" for scale in scales]].to_numpy() for end in ("", "_other"))
    there = ~np.isnan(values) & ~np.isnan(theirs)
    if not there.any():
        return None, None
    same = float((values == theirs)[there].mean())
    ours = own.groupby(keys)[scales].last()
    mean = other.groupby(keys)[scales].mean().reindex(ours.index)
    ours, mean = ours[mean.notna().any(axis=1)], mean[mean.notna().any(axis=1)]
    both = pd.concat([ours, mean])
    low, width = both.min(), both.max() - both.min()
    width = width.where(width > 0, 1.0)
    codes = group_codes([str(name) for name in ours.index.get_level_values("id")])
    places = ours.groupby(codes).cumcount().to_numpy()
    cubes = []
    for table in (ours, mean):
        cube = np.full((codes.max() + 1, places.max() + 1, len(scales)), np.nan)
        cube[codes, places] = (table - low) / width
        cubes.append(cube)
    if len(cubes[0]) < 2:
        return None, round(same, 6)
    return round(permutation_p(*cubes), 6), round(same, 6)


def _distance(own: np.ndarray, other: np.ndarray) -> float:
    return float(np.nanmean(np.abs(own - other)))


def _preferences(ratings: pd.DataFrame, units: Sequence[str], coder: str) -> pd.DataFrame:
    """The number of the preferred arm, or of a tie, by complaint and rater."""
    made = ratings[ratings[PREFERRED].notna()]
    choice = made["arm"].where(made[PREFERRED] == 1, _TIE)
    chosen = made[made[PREFERRED] > 0].assign(
        choice=pd.factorize(choice, sort=True)[0][made[PREFERRED] > 0]
    )
    return chosen.pivot_table("choice", list(units), coder, "last")


def _alpha(values: pd.DataFrame, level: Literal["nominal", "ordinal"]) -> Interval | None:
    """Krippendorff's alpha of units by coders, with an interval by the jackknife over complaints.

    Near duplicates are left out together, and so are others where there are more than `BLOCKS` groups.

    Args:
        values: units by coders, NaN where a coder has not coded a unit; its index names the units' group.
        level: of Stevens.

    Returns:
        None where it is not defined: no unit was coded twice, or all have one value.
    """
    numbers = values.to_numpy(dtype="float64", na_value=np.nan)
    twice = (~np.isnan(numbers)).sum(axis=1) > 1
    numbers = numbers[twice]
    domain = np.unique(numbers[~np.isnan(numbers)])
    if len(domain) < 2:
        return None
    counts = (numbers[:, :, None] == domain).sum(axis=1)
    blocks = group_codes(list(values.index.get_level_values("group")[twice])) % BLOCKS

    def of(units: np.ndarray) -> float:
        used = units.sum(axis=0) > 0
        if used.sum() < 2:
            return float("nan")
        return float(
            krippendorff.alpha(
                value_counts=units[:, used], value_domain=domain[used], level_of_measurement=level
            )
        )

    alpha, number = of(counts), blocks.max() + 1
    without = np.array([of(counts[blocks != block]) for block in range(number)])
    if np.isnan(without).any():
        return rounded(alpha, -1.0, 1.0)
    return influence_interval(alpha, (number - 1) * (without.mean() - without), (-1.0, 1.0))
