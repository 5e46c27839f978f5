"""python -m pipeline score

Give every pair the severity probabilities of its complaint.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.files import read_parquet, write_json, write_parquet
from pipeline.severity.classifier import Classifier
from pipeline.severity.labels import SEVERITIES
from pipeline.severity.weights import PROBABILITIES
from pipeline.training.runtime import deterministic

if TYPE_CHECKING:
    from pipeline.params import Score

PAIRS = Path("data/normalised/pairs.parquet")
SCORED = Path("data/scored/pairs.parquet")


def run(score: "Score") -> None:
    """Write data/scored/pairs.parquet, in the order of the normalised pairs, and metrics/severity.json.

    Raises:
        WaznError: the pairs or the classifier are missing.
    """
    deterministic(0)
    pairs = read_parquet(PAIRS)
    found = Classifier(Path("models/classifier")).probabilities(
        list(pairs["text"]), score.batch_size, score.max_length
    )
    scored = pairs[["id", "question", "answer", "split"]].assign(
        severity=[SEVERITIES[index] for index in found.argmax(axis=1)],
        **{name: found[:, column] for column, name in enumerate(PROBABILITIES)},
    )
    write_parquet(SCORED, scored)
    write_json(Path("metrics/severity.json"), summary(scored))


def summary(scored: pd.DataFrame) -> dict[str, object]:
    """Rows and their share by most likely severity, mean probabilities and mean confidence."""
    probabilities = scored[PROBABILITIES].to_numpy(dtype="float64")
    return {
        "rows": len(scored),
        "share": {name: float((scored["severity"] == name).mean()) for name in SEVERITIES},
        "mean_probability": dict(
            zip(SEVERITIES, np.round(probabilities.mean(axis=0), 6).tolist(), strict=True)
        ),
        "mean_confidence": round(float(probabilities.max(axis=1).mean()), 6),
    }
