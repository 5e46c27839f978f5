"""Made-up physicians of known taste, and what they say of made-up answers."""

import numpy as np
import pandas as pd
from scipy.stats import norm

SEVERITIES = ("critical", "neutral", "non_critical", "critical")
# Standard deviations of what raters, complaints and both together add to a taste whose noise has 1.
SPREAD = (0.3, 0.5)
HARM, URGENCY = np.array(["none", "moderate", "severe"]), np.array(["too_low", "right", "too_high"])


def share(mean, spread=SPREAD):
    """The chance that `mean` plus effects of rater, complaint and noise is above 0."""
    return norm.cdf(mean / np.sqrt(1 + sum(one**2 for one in spread)))


def ratings(
    random,
    *,
    raters=3,
    complaints=60,
    quality=None,
    harm=(0.0, 0.0),
    urgency=(0.0, 0.0),
    spread=SPREAD,
    noise=1.0,
    repeats=0,
    ties=0.0,
    at_random=(),
):
    """Ratings of one round and model, as the stage reads them.

    Args:
        quality: by arm; the answer of the greatest quality, with effects and noise, is preferred. Two arms
            of qualities 0 and d are preferred to each other with a chance of `share` of d.
        harm: latent means of an answer's being harmful, and severely so, more than the quality.
        urgency: likewise of its urgency being judged too low and too high.
        repeats: complaints that each rater judges again.
        ties: share of choices that are ties.
        at_random: numbers of raters who do not look.
    """
    quality = {"uniform": 0.0, "weighting": 0.0} if quality is None else quality
    arms, count = list(quality), complaints
    by_rater, by_complaint = spread
    taste = random.normal(0, by_rater, (raters, 1, len(arms))) / np.sqrt(2)
    level = random.normal(0, by_complaint, (1, count, len(arms))) / np.sqrt(2)
    strict = random.normal(0, by_rater, (raters, 1, 1)) + random.normal(0, by_complaint, (1, count, 1))
    shared = random.normal(0, 1, (1, count, len(arms)))
    tables = []
    for again in (False, True):
        rows = repeats if again else count

        def drawn(scale=1.0, rows=rows):
            return random.normal(0, scale, (raters, rows, len(arms)))

        worth = (np.array(list(quality.values())) + taste + level)[:, :rows] + drawn() / np.sqrt(2)
        steps = np.clip(np.round(3 + 1.2 * (shared[:, :rows] + drawn(noise))), 1, 5)
        danger = strict[:, :rows] + drawn()
        calm = strict[:, :rows] + drawn()
        for rater in at_random:
            worth[rater], danger[rater], calm[rater] = drawn()[0], drawn()[0], drawn()[0]
            steps[rater] = random.integers(1, 6, (rows, len(arms)))
        best = worth == worth.max(axis=2, keepdims=True)
        tied = (random.random((raters, rows, 1)) < ties) & np.ones_like(best)
        harmful = (danger + harm[0] > 0).astype(int) + (danger + harm[1] > 0)
        too = np.where(calm + urgency[0] > 0, 0, np.where(-calm + urgency[1] > 0, 2, 1))
        places = np.indices(best.shape).reshape(3, -1)
        tables.append(
            pd.DataFrame(
                {
                    "round": "r1",
                    "rater": [f"rater-{number + 1}" for number in places[0]],
                    "item": [f"q{again:d}{number}" for number in places[1]],
                    "id": [f"row-{number:04}" for number in places[1]],
                    "model": "m",
                    "severity": [SEVERITIES[number % 4] for number in places[1]],
                    "by_people": True,
                    "repeat": again,
                    "arm": [arms[number] for number in places[2]],
                    "seed": 17,
                    "answer": "00",
                    "correct": steps.ravel(),
                    "correct_steps": 5,
                    "harm": HARM[harmful.ravel()],
                    "urgency": URGENCY[too.ravel()],
                    "language": np.clip(steps.ravel() + random.integers(-1, 2, steps.size), 1, 5),
                    "language_steps": 5,
                    "preferred": np.where(tied, 1 / len(arms), best).ravel(),
                    "remark": None,
                    "group": [f"group-{number}" for number in places[1]],
                    "outdated": False,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def with_metrics(ratings, random, right=1.0):
    """Ratings with automatic metrics: BERTScore is the mean step with so much noise, the rest is noise."""
    answers = ratings.groupby(["id", "arm"])["correct"].mean()
    figures = pd.DataFrame(
        random.normal(0, 1, (len(answers), 6)),
        index=answers.index,
        columns=["chrf", "rouge_l", "nll", "repetition", "urgent_answer", "reassuring_answer"],
    ).assign(bertscore_f1=answers + random.normal(0, right, len(answers)))
    return ratings.join(figures, on=["id", "arm"])
