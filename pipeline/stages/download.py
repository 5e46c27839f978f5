"""python -m pipeline download

Fetch the pairs and the labelled complaints from their sources into data/raw/.
"""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import paths
from pipeline.data.raw_tables import (
    LABELLED_SCHEMA,
    PAIRS_SCHEMA,
    open_labelled,
    open_pairs,
    rows_of,
    write_rows,
)
from pipeline.data.tables.fetching import Patience
from pipeline.data.tables.sources import Limits
from pipeline.errors import WaznError
from pipeline.files import replacing, write_json
from pipeline.hashes import digest
from pipeline.parquet_inputs import read_batches
from pipeline.severity import lexicon

if TYPE_CHECKING:
    from pipeline.config.data import DownloadConfig

# What the lexicon's rows have of a pair.
LEXICON_COLUMNS = pa.schema(
    [PAIRS_SCHEMA.field(name) for name in ("source", "line", "question", "specialty")]
)


def run(download: "DownloadConfig") -> None:
    """Write `pairs.parquet`, `labelled.parquet` and `sources.json` into data/raw/.

    Rows are read and written a batch at a time, so memory does not grow with them. Every cell is kept as it
    came; a probability is null where the source has no column for it.

    Raises:
        WaznError: a source is missing, unreadable, or lacks a column or all of its labels.
    """
    limits = Limits(
        folder=Path(download.folder),
        max_mb=download.max_unpacked_mb,
        patience=Patience(download.timeout_s, download.retries),
    )
    try:
        described = _write_tables(download, limits)
        write_json(paths.SOURCES, described)
    except WaznError:
        with suppress(OSError):
            # Only an empty folder is removed: then it was made for files that did not come.
            paths.SOURCES.parent.rmdir()
        raise
    for dataset, sources in described.items():
        for source in sources:
            print(f"{dataset}: {source['rows']} rows from {source['source']}")


def _write_tables(download: "DownloadConfig", limits: Limits) -> dict[str, list[dict[str, Any]]]:
    """Write both tables; describe the sources of each."""
    with ExitStack() as stack:
        # All sources are opened before anything is written, so most mistakes show at once.
        pairs = [
            stack.enter_context(open_pairs(f"download.pairs.{number}", entry, limits))
            for number, entry in enumerate(download.pairs)
        ]
        labelled = [
            None
            if entry.source == "lexicon"
            else stack.enter_context(open_labelled(f"download.labelled.{number}", entry, limits))
            for number, entry in enumerate(download.labelled)
        ]
        described: dict[str, list[dict[str, Any]]] = {"pairs": [], "labelled": []}
        pairs_path = stack.enter_context(replacing(paths.RAW_PAIRS))
        with pq.ParquetWriter(pairs_path, PAIRS_SCHEMA) as writer:
            for number, (of_pairs, source) in enumerate(zip(download.pairs, pairs, strict=True)):
                rows = write_rows(writer, rows_of(f"download.pairs.{number}", of_pairs, source))
                described["pairs"].append(source.provenance(rows))
        labelled_path = stack.enter_context(replacing(paths.RAW_LABELLED))
        with pq.ParquetWriter(labelled_path, LABELLED_SCHEMA) as writer:
            for number, (entry, opened) in enumerate(zip(download.labelled, labelled, strict=True)):
                if opened is None:
                    rows = write_rows(writer, _labelled_by_lexicon(pairs_path))
                    described["labelled"].append(_describe_lexicon(rows))
                else:
                    key = f"download.labelled.{number}"
                    rows = write_rows(writer, rows_of(key, entry, opened))
                    described["labelled"].append({**opened.provenance(rows), "labels": "human"})
    return described


def _labelled_by_lexicon(pairs: Path) -> Iterator[pd.DataFrame]:
    """The questions of the pairs, labelled by the words in them."""
    for batch in read_batches(pairs, LEXICON_COLUMNS):
        rows = batch.to_pandas().rename(columns={"question": "text"})
        rows["source"] = "lexicon:" + rows["source"]
        severity = lexicon.label(rows["text"].tolist())
        yield rows.assign(label=severity, severity=severity)


def _describe_lexicon(rows: int) -> dict[str, Any]:
    terms = Path(lexicon.__file__).with_name("lexicon.yaml")
    return {
        "source": "lexicon",
        "file": terms.name,
        "sha256": digest(terms, "sha256"),
        "rows": rows,
        "columns": ["question"],
        "mapped": {"text": "question"},
        "labels": "lexicon",
    }
