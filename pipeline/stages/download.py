"""python -m pipeline download

Fetch the pairs and the labelled complaints from their sources into data/raw/.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.tables.columns import check_labels_apart, severity_by_usual_name
from pipeline.data.tables.fetching import Patience
from pipeline.data.tables.sources import Limits, Source, open_source
from pipeline.errors import WaznError
from pipeline.files import read_batches, replacing, write_json
from pipeline.hashes import digest
from pipeline.severities import PROBABILITIES, SEVERITIES, severity_of
from pipeline.severity import lexicon

if TYPE_CHECKING:
    from pipeline.config.params import Download, LabelledSource, PairSource

RAW = Path("data/raw")
MOST_LABELS = 10

_ROW = [pa.field("source", pa.string(), nullable=False), pa.field("line", pa.int64(), nullable=False)]
PAIRS = pa.schema(
    [
        *_ROW,
        *(pa.field(name, pa.string(), nullable=False) for name in ("question", "answer", "specialty")),
        *(pa.field(name, pa.float32()) for name in PROBABILITIES),
    ]
)
LABELLED = pa.schema(
    [*_ROW, *(pa.field(name, pa.string(), nullable=False) for name in ("text", "severity", "specialty"))]
)


def run(download: "Download") -> None:
    """Write `pairs.parquet`, `labelled.parquet` and `sources.json` into data/raw/.

    Rows are read and written a batch at a time, so memory does not grow with them. A probability that
    a source gives is NaN where it is no number; null where the source gives none.

    Raises:
        WaznError: a source is missing, unreadable, or lacks a column or all of its labels.
    """
    limits = Limits(
        folder=Path(download.folder),
        most_mb=download.max_unpacked_mb,
        patience=Patience(download.timeout_s, download.retries),
    )
    try:
        with ExitStack() as stack:
            # All are opened before anything is written, so most mistakes come to light at once.
            pairs = [
                stack.enter_context(_open_pairs(f"download.pairs.{number}", entry, limits))
                for number, entry in enumerate(download.pairs)
            ]
            labelled = [
                None
                if entry.source == "lexicon"
                else stack.enter_context(_open_labelled(f"download.labelled.{number}", entry, limits))
                for number, entry in enumerate(download.labelled)
            ]
            provenance: dict[str, list[dict[str, Any]]] = {"pairs": [], "labelled": []}
            pairs_path = stack.enter_context(replacing(RAW / "pairs.parquet"))
            with pq.ParquetWriter(pairs_path, PAIRS) as writer:
                for source in pairs:
                    rows = _write(writer, map(_pair_columns, source.batches()))
                    provenance["pairs"].append(source.provenance(rows))
            labelled_path = stack.enter_context(replacing(RAW / "labelled.parquet"))
            with pq.ParquetWriter(labelled_path, LABELLED) as writer:
                for number, (entry, opened) in enumerate(zip(download.labelled, labelled, strict=True)):
                    if opened is None:
                        rows = _write(writer, _labelled_by_lexicon(pairs_path))
                        provenance["labelled"].append(_lexicon_provenance(rows))
                    else:
                        key = f"download.labelled.{number}"
                        rows = _write(writer, _labelled_by_people(key, entry, opened))
                        described = {**opened.provenance(rows), "labels": "human"}
                        provenance["labelled"].append(described)
        write_json(RAW / "sources.json", provenance)
    except WaznError:
        with suppress(OSError):
            RAW.rmdir()  # if it is empty: then it was made for what did not come
        raise
    for dataset, sources in provenance.items():
        for item in sources:
            print(f"{dataset}: {item['rows']} rows from {item['source']}")


def _open_pairs(key: str, entry: "PairSource", limits: Limits) -> AbstractContextManager[Source]:
    asked = {"question": entry.question, "answer": entry.answer, "specialty": entry.specialty}
    if entry.probabilities is not None:
        names = entry.probabilities.model_dump()
        asked |= {ours: names[name] for ours, name in zip(PROBABILITIES, SEVERITIES, strict=True)}
    return open_source(key, entry, asked, ["specialty"], limits)


def _open_labelled(key: str, entry: "LabelledSource", limits: Limits) -> AbstractContextManager[Source]:
    asked = {"text": entry.text, "label": entry.label, "specialty": entry.specialty}
    return open_source(key, entry, asked, ["specialty"], limits)


def _write(writer: pq.ParquetWriter, batches: Iterator[pd.DataFrame]) -> int:
    """Write batches, and count their rows."""
    rows = 0
    for batch in batches:
        arrays = [_array(batch, field) for field in writer.schema]
        writer.write_table(pa.Table.from_arrays(arrays, schema=writer.schema))
        rows += len(batch)
    return rows


def _array(batch: pd.DataFrame, field: pa.Field) -> pa.Array:
    """A column of the batch; what the source lacks is null if it may be, else empty text."""
    if field.name in batch:
        # from_pandas=False: NaN stays NaN, apart from null.
        return pa.array(batch[field.name].to_numpy(), type=field.type, from_pandas=False)
    return pa.nulls(len(batch), field.type) if field.nullable else pa.array([""] * len(batch))


def _pair_columns(batch: pd.DataFrame) -> pd.DataFrame:
    shares = {name: batch[name] for name in PROBABILITIES if name in batch}
    numbers = {name: pd.to_numeric(texts, errors="coerce") for name, texts in shares.items()}
    return batch.assign(**{name: column.astype(np.float32) for name, column in numbers.items()})


def _labelled_by_people(key: str, entry: "LabelledSource", source: Source) -> Iterator[pd.DataFrame]:
    names = entry.labels.model_dump() if entry.labels is not None else None
    found: Counter[str] = Counter()
    known = False
    for batch in source.batches():
        labels = batch["label"]
        meaning = {
            label: severity_of(label, names) if names else severity_by_usual_name(label)
            for label in labels.unique()
        }
        known = known or any(meaning.values())
        if len(found) <= MOST_LABELS:
            found.update(meaning)
        yield batch.assign(severity=labels.map(meaning))
    if not known:
        # A column of many values is no label: it may be the complaints, which no message shows.
        has = (
            f"it has {', '.join(sorted(found))}" if len(found) <= MOST_LABELS else "it looks like no label"
        )
        wanted = f"none of the labels {', '.join(names.values())}" if names else "no label that is known"
        raise WaznError(
            f"{source.table.name}: column '{source.mapped['label']}' has {wanted} ({key}.labels); {has}"
        )
    if names is None:
        check_labels_apart(list(found), key, source.table.name)


def _labelled_by_lexicon(pairs: Path) -> Iterator[pd.DataFrame]:
    """The pairs' questions, labelled by the words in them."""
    for batch in read_batches(pairs, ["source", "line", "question", "specialty"]):
        rows = batch.to_pandas().rename(columns={"question": "text"})
        rows["source"] = "lexicon:" + rows["source"]
        yield rows.assign(severity=lexicon.label(rows["text"].tolist()))


def _lexicon_provenance(rows: int) -> dict[str, Any]:
    words = Path(lexicon.__file__).with_name("lexicon.yaml")
    return {
        "source": "lexicon",
        "file": words.name,
        "sha256": digest(words, "sha256"),
        "rows": rows,
        "columns": ["question"],
        "mapped": {"text": "question"},
        "labels": "lexicon",
    }
