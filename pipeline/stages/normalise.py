"""python -m pipeline normalise

Normalise the Arabic, keep the usable rows once each, split them, and say why the rest is not kept.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import paths
from pipeline.code_hashes import module_hash
from pipeline.data.duplicates import Sketches
from pipeline.data.label_conflicts import contradictions
from pipeline.data.metrics import (
    complaint_severity,
    duplicate_counts,
    rejections_by_severity,
    row_counts,
)
from pipeline.data.normalisation import RAW, check_rows, join_labels, reject_duplicates, write_rows
from pipeline.data.splits import assign_splits, check_splits
from pipeline.files import write_json
from pipeline.inputs import damaged, read_json
from pipeline.severities import SEVERITIES
from pipeline.shapes import Sources
from pipeline.text import normalise as normaliser
from pipeline.text.privacy import KINDS

if TYPE_CHECKING:
    from pipeline.config.data import NormaliseConfig


def run(normalise: "NormaliseConfig") -> None:
    """Write `pairs.parquet`, `labelled.parquet` and `rejected.parquet`, and metrics/data.json.

    Raises:
        WaznError: the raw data is missing or damaged, or nothing is left of a split.
    """
    fractions = normalise.split.model_dump()
    sources = read_json(paths.SOURCES, Sources)
    with _scratch() as folder:
        sketches = Sketches(folder)
        checked = {dataset: check_rows(dataset, normalise, folder, sketches) for dataset in RAW}
        for dataset, rows in checked.items():
            counted = sum(source["rows"] for source in sources[dataset])
            if counted != len(rows.reason):
                raise damaged(
                    paths.SOURCES, f"it counts {counted} rows, but {RAW[dataset]} has {len(rows.reason)}"
                )
        keys = np.concatenate([rows.keys for rows in checked.values()])
        splits = assign_splits(keys, fractions, normalise.seed)
        weak = np.repeat(
            [source["labels"] == "lexicon" for source in sources["labelled"]],
            [source["rows"] for source in sources["labelled"]],
        )
        reject_duplicates(checked, sketches.groups(), splits, weak, normalise.conflicting_labels)
        join_labels(checked, weak)
        metrics: dict[str, Any] = {
            dataset: row_counts(rows, sources[dataset]) for dataset, rows in checked.items()
        }
        for dataset in checked:
            check_splits(dataset, metrics[dataset], fractions)
        labels = "lexicon" if weak[checked["labelled"].reason == 0].any() else "human"
        rules = _rules_fingerprints(normalise)
        notes = {dataset: {"rules": rules[dataset], "labels": labels} for dataset in checked}
        placeholders, severities = write_rows(checked, folder, notes)
    for dataset in checked:
        metrics[dataset]["placeholders"] = {kind: placeholders[dataset][kind] for kind in KINDS}
    metrics["labelled"]["labels"] = labels
    metrics["pairs"]["severity_human"] = {name: severities["pairs"][name] for name in SEVERITIES}
    metrics["labelled"]["severity"] = {name: severities["labelled"][name] for name in SEVERITIES}
    by_people = checked["labelled"].usable & ~weak
    metrics["labelled"]["contradictions"] = contradictions(
        checked["labelled"].complaint[by_people], checked["labelled"].severity[by_people]
    )
    severity = {
        "pairs": complaint_severity(checked["pairs"], checked["labelled"]),
        "labelled": checked["labelled"].severity,
    }
    for dataset, rows in checked.items():
        metrics[dataset]["rejected_by_severity"] = rejections_by_severity(rows, severity[dataset])
    metrics["duplicates"] = duplicate_counts(checked["pairs"], fractions, normalise.seed)
    write_json(paths.DATA_METRICS, metrics)
    for dataset in checked:
        counts = metrics[dataset]
        print(f"{dataset}: {counts['rows']} rows, {counts['kept']} kept, rejected {counts['rejected']}")


@contextmanager
def _scratch() -> Iterator[Path]:
    """An empty folder, removed when the block ends; what a killed run left there is removed first."""
    folder = paths.CHECKPOINTS / "normalise" / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rules_fingerprints(normalise: "NormaliseConfig") -> dict[str, str]:
    """For each data set the SHA-256 of the rules that made it and of the code behind them, for provenance.

    Labelled complaints have the classifier's rules only, so that other rules leave the classifier as it is.
    """
    rules = normalise.rules_off
    rules_off = {"pairs": rules.model_dump_json(), "labelled": ",".join(sorted(rules.classifier))}
    code = module_hash(Path(normaliser.__file__))
    return {
        dataset: hashlib.sha256(f"{off}\0{code}".encode()).hexdigest() for dataset, off in rules_off.items()
    }
