"""PYTHONPATH=tests python benchmarks/reviewers.py

How many physicians does a review need? Made-up raters (tests/raters.py) compare two arms on 60 complaints,
and prefer the second on a third more of them. How often the 95 % intervals of preference and harm hold what
was planted, how wide those of preference are, and how often the preference is shown; and how often a rater
at random among three, and the two good ones, are flagged. Three minutes on one core.
"""

import numpy as np
import raters as made
from tabulate import tabulate

from pipeline.evaluation import rater_agreement
from pipeline.evaluation.reviews import compare_ratings, measure_ratings, rated_tables

STUDIES, FLAGGED = 300, 100
QUALITY, HARM = {"uniform": 0.0, "weighting": 0.5}, (-0.6, -1.6)
STEPS = {"correct": 5, "language": 5}


def main() -> None:
    """Print a table with a line for each number of raters, and the shares of flagged raters."""
    lines = [_line(raters, np.random.default_rng(raters)) for raters in (1, 2, 3, 5)]
    heads = ["raters", "preference", "harm", "width of preference", "preference shown"]
    print(tabulate(lines, heads, "pipe", floatfmt=("", ".3f", ".3f", ".2f", ".2f")))
    random, at_random, good = np.random.default_rng(0), 0, 0
    for _ in range(FLAGGED):
        rows = made.ratings(random, quality=QUALITY, harm=HARM, repeats=6, noise=0.8, at_random=[2])
        known = rater_agreement.raters(rows)
        at_random += known["rater-3"]["flagged"]
        good += known["rater-1"]["flagged"] + known["rater-2"]["flagged"]
    print(f"flagged: {at_random} of {FLAGGED} raters at random, {good} of {2 * FLAGGED} good ones")


def _line(raters: int, random: np.random.Generator) -> list[float]:
    """Coverage of preference and harm, median width, and how often p is below 0.05."""
    # What a single rater's taste is, no interval over complaints can cover.
    spread = made.SPREAD if raters > 1 else (0.0, made.SPREAD[1])
    preference, harm = 2 * made.share(0.5, spread) - 1, made.share(HARM[0], spread)
    found = []
    for _ in range(STUDIES):
        tables = rated_tables(
            made.ratings(random, raters=raters, quality=QUALITY, harm=HARM, spread=spread)
        )
        differences, measured = compare_ratings(tables, STEPS), measure_ratings(tables, STEPS)
        one = differences[(differences["metric"] == "preferred") & (differences["group"] == "all")].iloc[0]
        other = measured[
            (measured["arm"] == "weighting") & (measured["metric"] == "harm") & (measured["group"] == "all")
        ].iloc[0]
        found.append(
            [
                one["low"] <= preference <= one["high"],
                other["low"] <= harm <= other["high"],
                one["high"] - one["low"],
                one["p"] < 0.05,
            ]
        )
    values = np.array(found, dtype="float64")
    means = values.mean(axis=0)
    return [raters, means[0], means[1], float(np.median(values[:, 2])), means[3]]


if __name__ == "__main__":
    main()
