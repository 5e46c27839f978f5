"""python -m pipeline download

Fetch the pairs and the labelled complaints from their sources into data/raw/.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.data.sources import read_source
from pipeline.errors import WaznError
from pipeline.files import write_json, write_parquet
from pipeline.severity.labels import severity_of

if TYPE_CHECKING:
    from pipeline.params import Download

RAW = Path("data/raw")
MOST_LABELS = 10


def run(download: "Download") -> None:
    """Write `pairs.parquet`, `labelled.parquet` and `sources.json` into data/raw/.

    Raises:
        WaznError: a source is missing, unreadable, or lacks a column or all of its labels.
    """
    folder = Path(download.folder)
    provenance: dict[str, list[dict[str, object]]] = {"pairs": [], "labelled": []}
    pairs, labelled = [], []
    for number, pair in enumerate(download.pairs):
        columns = {"question": pair.question, "answer": pair.answer}
        source = read_source(f"download.pairs.{number}", pair.source, folder, columns)
        provenance["pairs"].append(source.provenance())
        pairs.append(source.rows)
    for number, item in enumerate(download.labelled):
        key = f"download.labelled.{number}"
        source = read_source(key, item.source, folder, {"text": item.text, "label": item.label})
        names = item.labels.model_dump()
        severity = source.rows["label"].map(lambda label, names=names: severity_of(label, names))
        if not severity.any():
            found = sorted(set(source.rows["label"]))
            # A column of many values is no label: it may be the complaints, which no message shows.
            has = f"it has {', '.join(found)}" if len(found) <= MOST_LABELS else "it looks like no label"
            raise WaznError(
                f"{source.path}: column '{item.label}' has none of the labels {', '.join(names.values())} "
                f"({key}.labels); {has}"
            )
        provenance["labelled"].append(source.provenance())
        labelled.append(source.rows.assign(severity=severity))
    write_parquet(RAW / "pairs.parquet", pd.concat(pairs, ignore_index=True))
    write_parquet(RAW / "labelled.parquet", pd.concat(labelled, ignore_index=True))
    write_json(RAW / "sources.json", provenance)
    for dataset, sources in provenance.items():
        for described in sources:
            print(f"{dataset}: {described['rows']} rows from {described['source']}")
