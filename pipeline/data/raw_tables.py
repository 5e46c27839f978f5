"""The raw tables: rows of all sources one after the other, with wazn's columns, as they came."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.tables.columns import Asked
from pipeline.data.tables.labels import Labels
from pipeline.data.tables.names import folded
from pipeline.data.tables.sources import Limits, Source, open_source
from pipeline.errors import WaznError
from pipeline.severities import PROBABILITIES, SEVERITIES

if TYPE_CHECKING:
    from pipeline.config.data import LabelledSource, PairSource

_ROW = [pa.field("source", pa.string(), nullable=False), pa.field("line", pa.int64(), nullable=False)]
PAIRS_SCHEMA = pa.schema(
    [
        *_ROW,
        *(pa.field(name, pa.string(), nullable=False) for name in ("question", "answer", "specialty")),
        *(pa.field(name, pa.string()) for name in ("label", "severity", *PROBABILITIES)),
    ]
)
LABELLED_SCHEMA = pa.schema(
    [
        *_ROW,
        *(
            pa.field(name, pa.string(), nullable=False)
            for name in ("text", "label", "severity", "specialty")
        ),
    ]
)


def open_pairs(key: str, entry: "PairSource", limits: Limits) -> AbstractContextManager[Source]:
    """Open a source of pairs; see `open_source`."""
    asked: dict[str, str | Sequence[str] | None] = {
        "question": entry.question,
        "answer": entry.answer,
        "specialty": entry.specialty,
    }
    if entry.label is not None:
        asked["label"] = entry.label
    if entry.probabilities is not None:
        names = entry.probabilities.model_dump()
        asked |= {ours: names[name] for ours, name in zip(PROBABILITIES, SEVERITIES, strict=True)}
    _check_apart(asked, key)
    return open_source(key, entry, asked, ["specialty"], limits)


def open_labelled(key: str, entry: "LabelledSource", limits: Limits) -> AbstractContextManager[Source]:
    """Open a source of complaints with a severity label; see `open_source`."""
    asked: Asked = {"text": entry.text, "label": entry.label, "specialty": entry.specialty}
    _check_apart(asked, key)
    return open_source(key, entry, asked, ["specialty"], limits)


def rows_of(key: str, entry: "PairSource | LabelledSource", source: Source) -> Iterator[pd.DataFrame]:
    """The rows of a source, in batches.

    Where the source has labels, `label` is as it came, and `severity` what it means: empty for an unknown
    label.

    Args:
        key: where the source stands in params.yaml, for messages.

    Raises:
        WaznError: after the last row, see `Labels.check`.
    """
    if "label" not in source.mapped:
        yield from source.batches()
        return
    names = entry.labels.model_dump() if entry.labels is not None else None
    labels = Labels(names, source.mapped["label"], key, source.table.name)
    for batch in source.batches():
        yield batch.assign(severity=batch["label"].map(labels.severities(batch["label"].tolist())))
    labels.check()


def write_rows(writer: pq.ParquetWriter, batches: Iterable[pd.DataFrame]) -> int:
    """Write batches, and count their rows."""
    rows = 0
    for batch in batches:
        arrays = [_array(batch, field) for field in writer.schema]
        writer.write_table(pa.Table.from_arrays(arrays, schema=writer.schema))
        rows += len(batch)
    return rows


def _check_apart(asked: Asked, key: str) -> None:
    """Refuse a column that params.yaml names for two things."""
    firsts: dict[str, str] = {}
    for ours, given in asked.items():
        for column in [given] if isinstance(given, str) else given or ():
            other = firsts.setdefault(folded(column) or column, ours)
            if other != ours:
                raise WaznError(
                    f"{key}: column '{column}' is named as {other} and as {ours}; name a column for each"
                )


def _array(batch: pd.DataFrame, field: pa.Field) -> pa.Array:
    """A column of the batch; a column that the source lacks is null if it may be, else empty text."""
    if field.name in batch:
        return pa.array(batch[field.name].to_numpy(), type=field.type)
    return pa.nulls(len(batch), field.type) if field.nullable else pa.array([""] * len(batch))
