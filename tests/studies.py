"""Made-up studies: arms of a model whose rows and trainings vary as given, with or without an effect."""

import numpy as np
import pandas as pd

from pipeline.evaluation.metrics import MEASURED, with_terms

SEVERITIES = ("critical", "neutral", "non_critical")


def rows(count, nll=None, *, tokens=20, groups=None, **columns):
    """Evaluated rows with this NLL per token, ready for the statistics; one in four is critical."""
    table = pd.DataFrame(
        {
            "id": [f"row-{number}" for number in range(count)],
            "severity": np.resize(["critical", "neutral", "non_critical", "neutral"], count),
            "severity_human": None,
            "group": [f"g{number}" for number in range(count)] if groups is None else groups,
            "generated": "الراحة",
            **dict.fromkeys(MEASURED, 0.0),
            "answer_tokens": tokens,
            "answer_bytes": 100,
            "urgent_reference": np.resize([1, 0, 0], count),
            "urgent_answer": 0,
            "reassuring_answer": 0,
        }
    ).assign(**columns)
    nll = 6.0 if nll is None else nll
    return with_terms(table.assign(nll_sum=table["answer_tokens"] * nll))


def study(random, *, count=108, seeds=3, effect=0.0, spread=(0.003, 0.01, 0.008), draw=None):
    """Tables of base, uniform and weighting.

    Args:
        effect: on the NLL of critical rows, weighting less uniform.
        spread: standard deviations of what differs between the two arms: by seed, by row, and by both.
        draw: of the row effects, (n,), with mean 0 and standard deviation 1; normal if not given.
    """
    by_seed, by_row, by_both = spread
    level = 6 + random.normal(0, 0.8, count)
    tokens = random.integers(5, 60, count)
    uniform, weighting = [], []
    row_effect = (random.standard_normal(count) if draw is None else draw(count)) * by_row
    critical = np.resize([1.0, 0.0, 0.0, 0.0], count)
    for _ in range(seeds):
        # What a seed does to both arms alike, which the pairing takes out.
        shared = random.normal(0, 0.02) + random.normal(0, 0.05, count)
        uniform.append(rows(count, level + shared, tokens=tokens))
        apart = random.normal(0, by_seed) + row_effect + random.normal(0, by_both, count)
        weighting.append(rows(count, level + shared + apart + effect * critical, tokens=tokens))
    return {"base": [rows(count, level + 0.1, tokens=tokens)], "uniform": uniform, "weighting": weighting}
