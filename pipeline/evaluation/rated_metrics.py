"""Whether automatic metrics agree with physicians."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from pipeline.evaluation.crossed import crossed_interval
from pipeline.evaluation.group_intervals import Interval, group_codes, rounded
from pipeline.evaluation.metrics import Metric
from pipeline.evaluation.rater_agreement import BLOCKS, PREFERRED, coded
from pipeline.evaluation.reviews import first_ratings
from pipeline.evaluation.statistics import measure

# Figures of one answer, and whether a physician who agrees finds the answers with more of it better (1)
# or worse (-1). An answer that alarms should be rated too calm less often, one that reassures more often.
AUTOMATIC = {"bertscore_f1": 1, "chrf": 1, "rouge_l": 1, "nll": -1, "repetition": -1}
JUDGED = {"urgent_answer": 1, "reassuring_answer": -1}
# Ratings, and whether more of them is better.
RATINGS = {"correct": 1, "harm": -1, "urgency": 1}
PICKS = {"picks": Metric("Picks the preferred answer", "higher", "right", "pairs", share=True)}


def rank_correlations(rated: pd.DataFrame) -> dict[str, dict[str, Interval]]:
    """Spearman's rank correlation of each metric with physicians' ratings of the same answers.

    It is signed so that 1 is perfect agreement. It is computed for each rater and averaged. The interval
    covers raters and complaints: the jackknife's pseudo-values of each rater, leaving out one group of
    complaints at a time (Tukey 1958), are values of raters by complaints as `crossed_interval` takes them.

    Args:
        rated: ratings of one model with the columns of `AUTOMATIC` and `JUDGED`, and `group`.

    Returns:
        Metric to rating to correlation: `correct` and `harm` for `AUTOMATIC`, `urgency` for `JUDGED`. One
        that is defined for no rater is left out.
    """
    first = coded(first_ratings(rated))
    wanted = [(name, rating) for name in AUTOMATIC for rating in ("correct", "harm")]
    wanted += [(name, "urgency") for name in JUDGED]
    by_arm: dict[str, dict[str, Interval]] = {}
    for name, rating in wanted:
        sign = (AUTOMATIC | JUDGED)[name] * RATINGS[rating]
        interval = _correlation(first, name, rating, sign)
        if interval:
            by_arm.setdefault(name, {})[rating] = interval
    return by_arm


def picks(rated: pd.DataFrame) -> dict[str, dict[str, Interval]]:
    """How often a metric finds that answer better which a physician preferred; 0.5 is chance.

    Of each complaint, every preferred answer is set beside every other one that was not; where the metric
    is the same for both it is half right.

    Args:
        rated: as of `rank_correlations`.

    Returns:
        Metric to group of complaints (all, severities) to share, with intervals over raters and complaints.
    """
    first = first_ratings(rated)
    first = first[first[PREFERRED].notna()]
    keys = ["rater", "round", "item"]
    columns = [*keys, "id", "severity", "group", PREFERRED, *AUTOMATIC]
    pairs = first[columns].merge(first[[*keys, PREFERRED, *AUTOMATIC]], on=keys, suffixes=("", "_other"))
    pairs = pairs[pairs[PREFERRED] > pairs[f"{PREFERRED}_other"]]
    complaints = first.groupby("id", sort=True)[["severity", "group"]].first()
    names = sorted(first["rater"].unique())
    tables = {}
    for metric, sign in AUTOMATIC.items():
        better = sign * (pairs[metric] - pairs[f"{metric}_other"])
        known = pairs[better.notna()].assign(right=(np.sign(better) + 1) / 2, pairs=1.0)
        if known.empty:
            continue
        sums = known.groupby(["rater", "id"])[["right", "pairs"]].sum()
        tables[metric] = [
            complaints.join(sums.reindex([(name, row) for row in complaints.index]).droplevel(0))
            .fillna({"right": 0.0, "pairs": 0.0})
            .reset_index()
            for name in names
        ]
    return _by_group(measure(tables, list(PICKS), PICKS)) if tables else {}


def _by_group(measured: pd.DataFrame) -> dict[str, dict[str, Interval]]:
    by_arm: dict[str, dict[str, Interval]] = {}
    for row in measured.to_dict("records"):
        if not np.isnan(row["low"]):
            interval = rounded(row["value"], row["low"], row["high"])
            by_arm.setdefault(row["arm"], {})[row["group"]] = interval
    return by_arm


def _correlation(ratings: pd.DataFrame, metric: str, rating: str, sign: int) -> Interval | None:
    """The mean over raters of a metric's rank correlation with a rating, with its interval."""
    there = ratings[ratings[metric].notna() & ratings[rating].notna()]
    blocks = group_codes(list(there["group"])) % BLOCKS
    total = len(np.unique(blocks))
    wholes, pseudo = [], []
    for _, places in sorted(there.groupby("rater").indices.items()):
        x, y = sign * there[metric].to_numpy("float64")[places], there[rating].to_numpy("float64")[places]
        own = np.unique(blocks[places])
        kept = [blocks[places] != block for block in own]
        whole, without = spearman(x, y), np.array([spearman(x[rest], y[rest]) for rest in kept])
        if np.isnan(whole) or np.isnan(without).any():
            continue
        # A complaint that this rater has not judged does not move the correlation.
        values = np.full(total, whole)
        values[own] += (len(own) - 1) * total / len(own) * (whole - without)
        wholes.append(whole)
        pseudo.append(values)
    if not pseudo:
        return None
    values, estimate = np.array(pseudo)[:, :, None], np.array([np.mean(wholes)])
    ends = crossed_interval(estimate, values - values.mean(axis=(0, 1)))
    low, high = np.clip([ends.low[0], ends.high[0]], -1.0, 1.0)
    return None if np.isnan(low) else rounded(float(estimate[0]), low, high)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of n pairs, ties at their mean rank; NaN where one side never varies."""
    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (x, y)]
    spread = np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1]))
    return float(ranks[0] @ ranks[1] / spread) if spread > 0 else float("nan")
