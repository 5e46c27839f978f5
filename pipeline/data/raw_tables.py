"""The raw tables: rows of all sources one after the other, with wazn's columns, as they came."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.tables.columns import check_labels_apart, severity_by_usual_name
from pipeline.data.tables.sources import Limits, Source, open_source
from pipeline.errors import WaznError
from pipeline.severities import PROBABILITIES, SEVERITIES, severity_of

if TYPE_CHECKING:
    from pipeline.config.data import LabelledSource, PairSource

# More different values than these are no labels.
MAX_LABELS = 10

_ROW = [pa.field("source", pa.string(), nullable=False), pa.field("line", pa.int64(), nullable=False)]
PAIRS_SCHEMA = pa.schema(
    [
        *_ROW,
        *(pa.field(name, pa.string(), nullable=False) for name in ("question", "answer", "specialty")),
        *(pa.field(name, pa.float32()) for name in PROBABILITIES),
    ]
)
LABELLED_SCHEMA = pa.schema(
    [*_ROW, *(pa.field(name, pa.string(), nullable=False) for name in ("text", "severity", "specialty"))]
)


def open_pairs(key: str, entry: "PairSource", limits: Limits) -> AbstractContextManager[Source]:
    """Open a source of pairs; see `open_source`."""
    asked = {"question": entry.question, "answer": entry.answer, "specialty": entry.specialty}
    if entry.probabilities is not None:
        names = entry.probabilities.model_dump()
        asked |= {ours: names[name] for ours, name in zip(PROBABILITIES, SEVERITIES, strict=True)}
    return open_source(key, entry, asked, ["specialty"], limits)


def open_labelled(key: str, entry: "LabelledSource", limits: Limits) -> AbstractContextManager[Source]:
    """Open a source of complaints with a severity label; see `open_source`."""
    asked = {"text": entry.text, "label": entry.label, "specialty": entry.specialty}
    return open_source(key, entry, asked, ["specialty"], limits)


def pair_rows(source: Source) -> Iterator[pd.DataFrame]:
    """The rows of a source of pairs, in batches; a probability is NaN where it is no number."""
    for batch in source.batches():
        texts = {name: batch[name] for name in PROBABILITIES if name in batch}
        numbers = {name: pd.to_numeric(column, errors="coerce") for name, column in texts.items()}
        yield batch.assign(**{name: column.astype(np.float32) for name, column in numbers.items()})


def labelled_rows(key: str, entry: "LabelledSource", source: Source) -> Iterator[pd.DataFrame]:
    """The rows of a source of labelled complaints, in batches; `severity` is empty for an unknown label.

    Args:
        key: where the source stands in params.yaml, for messages.

    Raises:
        WaznError: after the last row, if no label is known, or two labels would mean one severity.
    """
    names = entry.labels.model_dump() if entry.labels is not None else None
    labels: Counter[str] = Counter()
    any_known = False
    for batch in source.batches():
        column = batch["label"]
        meaning = {
            label: severity_of(label, names) if names else severity_by_usual_name(label)
            for label in column.unique()
        }
        any_known = any_known or any(meaning.values())
        if len(labels) <= MAX_LABELS:
            labels.update(meaning)
        yield batch.assign(severity=column.map(meaning))
    if not any_known:
        # A column of many values is no label: it may be the complaints, which no message shows.
        few = len(labels) <= MAX_LABELS
        has = f"it has {', '.join(sorted(labels))}" if few else "it looks like no label"
        wanted = f"none of the labels {', '.join(names.values())}" if names else "no label that is known"
        raise WaznError(
            f"{source.table.name}: column '{source.mapped['label']}' has {wanted} ({key}.labels); {has}"
        )
    if names is None:
        check_labels_apart(list(labels), key, source.table.name)


def write_rows(writer: pq.ParquetWriter, batches: Iterable[pd.DataFrame]) -> int:
    """Write batches, and count their rows."""
    rows = 0
    for batch in batches:
        arrays = [_array(batch, field) for field in writer.schema]
        writer.write_table(pa.Table.from_arrays(arrays, schema=writer.schema))
        rows += len(batch)
    return rows


def _array(batch: pd.DataFrame, field: pa.Field) -> pa.Array:
    """A column of the batch; a column that the source lacks is null if it may be, else empty text."""
    if field.name in batch:
        # from_pandas=False: NaN stays NaN, apart from null.
        return pa.array(batch[field.name].to_numpy(), type=field.type, from_pandas=False)
    return pa.nulls(len(batch), field.type) if field.nullable else pa.array([""] * len(batch))
