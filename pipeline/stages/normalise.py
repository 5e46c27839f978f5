"""python -m pipeline normalise

Normalise the Arabic, keep the usable rows once each, split them, and say why the rest is not kept.
"""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.data.pairs import SPLITS, normalise_labelled, normalise_pairs
from pipeline.errors import WaznError
from pipeline.files import read_json, read_parquet, write_json, write_parquet
from pipeline.severity.labels import SEVERITIES

if TYPE_CHECKING:
    from pipeline.params import Normalise

RAW = Path("data/raw")
NORMALISED = Path("data/normalised")
METRICS = Path("metrics/data.json")


def run(normalise: "Normalise") -> None:
    """Write `pairs.parquet`, `labelled.parquet` and `rejected.parquet`, and metrics/data.json.

    Raises:
        WaznError: the raw data is missing, or nothing is left of a split.
    """
    settings: dict[str, Any] = {
        "rules": normalise.rules.model_dump(),
        "min_arabic": normalise.min_arabic,
        "max_chars": normalise.max_chars,
        "split": normalise.split.model_dump(),
        "seed": normalise.seed,
    }
    metrics: dict[str, dict[str, Any]] = {}
    rejected, kept = [], {}
    provenance = read_json(RAW / "sources.json")
    for dataset, decide in (("pairs", normalise_pairs), ("labelled", normalise_labelled)):
        raw = read_parquet(RAW / f"{dataset}.parquet")
        kept[dataset], reasons = decide(raw, **settings)
        metrics[dataset] = funnel(provenance[dataset], raw, kept[dataset], reasons)
        rejected.append(rejection(dataset, raw, reasons))
        for split in SPLITS:
            if normalise.split.model_dump()[split] and split not in set(kept[dataset]["split"]):
                raise WaznError(
                    f"data/raw/{dataset}.parquet: none of its {len(kept[dataset])} usable rows falls into "
                    f"the {split} split; give more rows, or another normalise.split or normalise.seed "
                    f"(rejected: {metrics[dataset]['rejected']})"
                )
    metrics["labelled"]["severity"] = {
        severity: int((kept["labelled"]["severity"] == severity).sum()) for severity in SEVERITIES
    }
    for dataset, table in kept.items():
        write_parquet(NORMALISED / f"{dataset}.parquet", table)
    write_parquet(NORMALISED / "rejected.parquet", pd.concat(rejected, ignore_index=True))
    write_json(METRICS, metrics)
    for dataset, counts in metrics.items():
        print(f"{dataset}: {counts['rows']} rows, {counts['kept']} kept, rejected {counts['rejected']}")


def funnel(
    sources: list[dict[str, Any]], raw: pd.DataFrame, kept: pd.DataFrame, reasons: pd.Series
) -> dict[str, Any]:
    """Rows in, kept, rejected by reason; where they came from; rows of each split."""
    # The raw table has the sources' rows one source after the other.
    ends = np.cumsum([source["rows"] for source in sources])
    kept_by_source = np.diff(np.searchsorted(kept.index, [0, *ends]))
    return {
        "rows": len(raw),
        "kept": len(kept),
        "rejected": dict(sorted(Counter(reasons).items())),
        "sources": [
            {**source, "kept": int(count)} for source, count in zip(sources, kept_by_source, strict=True)
        ],
        "splits": {split: int((kept["split"] == split).sum()) for split in SPLITS},
    }


def rejection(dataset: str, raw: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """The rejected rows as they came (`row`: JSON of every raw column), with where and why."""
    rows = raw.loc[reasons.index]
    originals = rows.drop(columns=["source", "line"]).to_dict("records")
    return pd.DataFrame(
        {
            "dataset": dataset,
            "source": rows["source"],
            "line": rows["line"],
            "reason": reasons.astype(str),
            "row": [json.dumps(original, ensure_ascii=False) for original in originals],
        }
    )
