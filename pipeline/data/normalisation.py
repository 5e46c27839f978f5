"""Normalise and check raw rows, find duplicates over both data sets, and write what is kept and what is
not.

There are two passes over the raw rows, so that memory holds some fifty bytes a row. The first normalises
and checks each row by itself, and sketches its complaint. Between them duplicates are found, over both data
sets together. The second writes the rows that are kept and those that are rejected.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import paths
from pipeline.data.duplicates import Sketches
from pipeline.data.label_conflicts import (
    UNKNOWN,
    contradicted_labels,
    labels_of,
    severity_index,
)
from pipeline.data.pairs import normalise_labelled, normalise_pairs, row_id
from pipeline.data.raw_tables import LABELLED_SCHEMA, PAIRS_SCHEMA
from pipeline.data.rejections import REJECTED_SCHEMA, rejected_rows
from pipeline.files import parquet_writer
from pipeline.parquet_inputs import read_batches
from pipeline.schemas import SPLITS
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.text import privacy

if TYPE_CHECKING:
    from pipeline.config.data import NormaliseConfig

# Rows in memory at once.
BATCH = 10_000
RAW = {"pairs": paths.RAW_PAIRS, "labelled": paths.RAW_LABELLED}
NORMALISED = {"pairs": paths.NORMALISED_PAIRS, "labelled": paths.NORMALISED_LABELLED}
_NORMALISE: Mapping[str, Callable[[pa.Table, "NormaliseConfig"], pa.Table]] = {
    "pairs": normalise_pairs,
    "labelled": normalise_labelled,
}
# Where a row came from: the name of its source, and its line there.
_ROW = [("source", pa.string()), ("line", pa.int64())]
_SCHEMAS = {
    "pairs": pa.schema(
        [
            *_ROW,
            *((name, pa.string()) for name in ("id", "question", "answer", "text", "specialty")),
            ("severity_human", pa.string()),
            *((name, pa.float32()) for name in PROBABILITIES),
        ]
    ),
    "labelled": pa.schema(
        [*_ROW, *((name, pa.string()) for name in ("id", "text", "severity", "specialty"))]
    ),
}
_RAW_SCHEMAS = {"pairs": PAIRS_SCHEMA, "labelled": LABELLED_SCHEMA}
# Columns of which personal details are counted.
_TEXTS = {"pairs": ("question", "answer"), "labelled": ("text",)}


class CheckedRows:
    """What memory holds of the n rows of a data set, m of which are usable.

    Attributes:
        reason: (n,), index of `reasons`; 0 for a row that is kept.
        usable: (n,), whether the row can be used by itself, before duplicates are looked at.
        complaint: (n,), uint64: equal where complaints are the same.
        severity: (n,), int8, index of `SEVERITIES`: the row's own label, or what the source of a pair finds
            most probable; `UNKNOWN` where it has neither.
        human: (n,), int8, index of `SEVERITIES` or `UNKNOWN`, of pairs: the label that people gave the same
            complaint in the labelled data; set by `join_labels`.
        identity: (m,), uint64, of a usable row: equal where rows are the same.
        keys: (m,), uint64: a row's split depends on it.
        group: (m,), uint64, set by `reject_duplicates`: the identity of the first row of its group, which
            may be in the other data set.
        split: (m,), index of `SPLITS`, set by `reject_duplicates`.
    """

    def __init__(self) -> None:
        self.reasons = ["", "duplicate", "near_duplicate", "conflicting_label"]
        self.reason = self.usable = self.complaint = self.severity = self.human = np.zeros(0)
        self.identity = self.keys = self.group = self.split = np.zeros(0)

    def number(self, reason: str) -> int:
        """The index of a reason."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason)


def check_rows(dataset: str, config: "NormaliseConfig", folder: Path, sketches: Sketches) -> CheckedRows:
    """The first pass over one data set; its normalised rows are written to a file in `folder`."""
    rows = CheckedRows()
    # Each starts with an empty array of its type, since a source may have no row.
    reason, severity = [np.zeros(0, dtype=np.uint8)], [np.zeros(0, dtype=np.int8)]
    identity, complaint, keys = ([np.zeros(0, dtype=np.uint64)] for _ in range(3))
    with parquet_writer(folder / f"{dataset}.parquet", _SCHEMAS[dataset]) as writer:
        for raw in read_batches(RAW[dataset], _RAW_SCHEMAS[dataset], BATCH):
            table = _NORMALISE[dataset](raw, config)
            numbers = np.array([rows.number(text) for text in table["reason"].to_pylist()], dtype=np.uint8)
            usable = table.filter(numbers == 0)
            reason.append(numbers)
            severity.append(severity_index(table))
            identity.append(_as_integers(usable["id"].to_pylist()))
            complaint.append(_as_integers(map(row_id, table["text"].to_pylist())))
            keys.append(sketches.add(usable["text"].to_pylist()))
            writer.write_table(table.drop_columns("reason"))
    rows.reason, rows.keys = np.concatenate(reason), np.concatenate(keys)
    rows.identity, rows.complaint = np.concatenate(identity), np.concatenate(complaint)
    rows.severity, rows.usable = np.concatenate(severity), rows.reason == 0
    return rows


def _as_integers(ids: Iterable[str]) -> np.ndarray:
    return np.fromiter((int(key, 16) for key in ids), dtype=np.uint64)


def reject_duplicates(
    checked: Mapping[str, CheckedRows],
    groups: np.ndarray,
    splits: np.ndarray,
    weak: np.ndarray,
    conflicting: Literal["reject", "soft"],
) -> None:
    """Set group and split of every usable row, and reject duplicates and labels that contradict each other.

    Of rows that are the same, the first stays; of labelled rows, the first that people labelled. A row's
    split depends on its own text and the seed only, so that no row ever moves. Near duplicates nearly
    always have the same split; a row is rejected where an earlier one of its group is in another split.

    Args:
        checked: the data sets, in the order in which their texts were sketched.
        groups: for every usable row of all of them, the number of the first row of its group.
        splits: the split of each.
        weak: (rows of `labelled`,) bool, whether the lexicon labelled them.
        conflicting: what becomes of a text that people labelled differently: `reject` all of its rows, or
            keep all of them, so that their shares are its `soft` label.
    """
    other_split = splits != splits[groups]
    group_identity = np.concatenate([rows.identity for rows in checked.values()])[groups]
    start = 0
    for dataset, rows in checked.items():
        end = start + len(rows.keys)
        rows.group, rows.split = group_identity[start:end], splits[start:end]
        usable = np.flatnonzero(rows.usable)
        last = weak[usable] if dataset == "labelled" else np.zeros(len(usable), dtype=bool)
        # All but the first of each identity, people's labels first.
        order = np.argsort(last, kind="stable")
        repeated = np.ones(len(order), dtype=bool)
        repeated[order[np.unique(rows.identity[order], return_index=True)[1]]] = False
        rows.reason[usable[other_split[start:end]]] = rows.number("near_duplicate")
        if dataset == "labelled":
            contradicted = contradicted_labels(rows.identity, rows.severity[usable], last)
            repeated[contradicted] = False
            if conflicting == "reject":
                rows.reason[usable[contradicted]] = rows.number("conflicting_label")
        rows.reason[usable[repeated]] = rows.number("duplicate")
        start = end


def join_labels(checked: Mapping[str, CheckedRows], weak: np.ndarray) -> None:
    """Give every pair the label that people gave the same complaint in the labelled data, if they did.

    Args:
        checked: as `reject_duplicates` left them.
        weak: as of `reject_duplicates`.
    """
    pairs, labelled = checked["pairs"], checked["labelled"]
    by_people = (labelled.reason == 0) & ~weak
    pairs.human = labels_of(pairs.complaint, labelled.complaint[by_people], labelled.severity[by_people])


def write_rows(
    checked: Mapping[str, CheckedRows], folder: Path, notes: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """The second pass: write the rows that are kept and those that are rejected.

    Args:
        checked: as `reject_duplicates` left them.
        folder: has what `check_rows` wrote.
        notes: for each data set, what goes into the metadata of its table.

    Returns:
        Of the rows that are kept, for each data set, placeholders by kind, and people's labels by severity
        (of labelled data those of the lexicon too).
    """
    placeholders: dict[str, Counter[str]] = {dataset: Counter() for dataset in checked}
    severities: dict[str, Counter[str]] = {dataset: Counter() for dataset in checked}
    with ExitStack() as files:
        rejected = files.enter_context(parquet_writer(paths.REJECTED, REJECTED_SCHEMA))
        for dataset, rows in checked.items():
            schema = pa.schema([*_SCHEMAS[dataset], ("split", pa.string()), ("group", pa.string())])
            schema = schema.with_metadata({b"wazn": json.dumps(notes[dataset]).encode()})
            kept = files.enter_context(parquet_writer(NORMALISED[dataset], schema))
            for raw, reason, kept_rows in _batches(dataset, rows, folder, schema):
                kept.write_table(kept_rows)
                rejected.write_table(rejected_rows(dataset, raw, reason, rows.reasons))
                for name in _TEXTS[dataset]:
                    for text in kept_rows[name].to_pylist():
                        placeholders[dataset].update(privacy.count(text))
                column = "severity" if dataset == "labelled" else "severity_human"
                severities[dataset].update(kept_rows[column].drop_null().to_pylist())
    return placeholders, severities


def _batches(
    dataset: str, rows: CheckedRows, folder: Path, schema: pa.Schema
) -> Iterator[tuple[pa.Table, np.ndarray, pa.Table]]:
    """Some rows at a time: as they came, their reasons, and those that are kept, with group and split."""
    start = used = 0
    # Both files have the same batches: the second was written from those of the first.
    for raw, normalised in zip(
        read_batches(RAW[dataset], _RAW_SCHEMAS[dataset], BATCH),
        _row_groups(folder / f"{dataset}.parquet"),
        strict=True,
    ):
        reason = rows.reason[start : start + len(raw)]
        usable = rows.usable[start : start + len(raw)]
        human = rows.human[start : start + len(raw)]
        table = _with_labels(normalised, human) if dataset == "pairs" else normalised
        part = slice(used, used + int(usable.sum()))
        start, used = start + len(raw), part.stop
        splits = [SPLITS[split] for split in rows.split[part].tolist()]
        groups = [f"{group:016x}" for group in rows.group[part].tolist()]
        # With types named, since a batch may have no usable row.
        added = [pa.array(values, pa.string()) for values in (splits, groups)]
        checked = pa.table([*table.filter(usable).columns, *added], schema=schema)
        yield raw, reason, checked.filter(reason[usable] == 0)


def _with_labels(table: pa.Table, human: np.ndarray) -> pa.Table:
    """Pairs with the label that people gave the complaint elsewhere, where they have none of their own."""
    elsewhere = [None if label == UNKNOWN else SEVERITIES[label] for label in human.tolist()]
    place = table.column_names.index("severity_human")
    labels = pc.coalesce(table["severity_human"], pa.array(elsewhere, pa.string()))
    return table.set_column(place, "severity_human", labels)


def _row_groups(path: Path) -> Iterator[pa.Table]:
    """The row groups of a Parquet file, one by one."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)
