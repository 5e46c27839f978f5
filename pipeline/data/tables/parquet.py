"""Tables in Parquet, and the values of Arrow arrays."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data.tables.expansion import Expansion
from pipeline.data.tables.table import BATCH

_AT_ONCE = 64 << 20
_MOST_AT_ONCE = 1 << 30
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)


class Parquet:
    """A Parquet file, whose columns that are asked for may expand to `max_mb` MiB.

    A text that is repeated is stored once, in a dictionary, so a small file can hold a very large table.
    So what a row can hold at most is found from the dictionaries, by that it is decided how many rows are
    read at once, and what comes is counted.
    """

    def __init__(self, path: Path, name: str, max_mb: int) -> None:
        self._path, self._name, self._max_mb = path, name, max_mb
        with pq.ParquetFile(path) as file:
            self.columns: list[str] = file.schema_arrow.names
            self._classes = class_names(file.schema_arrow)
            self._texts = [
                column.path
                for column in map(file.schema.column, range(len(file.schema)))
                if column.physical_type == "BYTE_ARRAY"
            ]

    def records(self) -> int:
        """The number of rows that the end of the file states."""
        return int(pq.read_metadata(self._path).num_rows)

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, tuple[object, ...]]]:
        """Each row's number from 1, and its values in the columns at `indices`.

        Raises:
            WaznError: the values are larger than they may be.
        """
        names = [self.columns[index] for index in indices]
        number = 0
        for batch in self._batches(list(dict.fromkeys(names))):
            columns = (named(values(batch.column(name)), self._classes.get(name)) for name in names)
            for cells in zip(*columns, strict=True):
                number += 1
                yield number, cells

    def _batches(self, names: list[str]) -> Iterator[Any]:
        stated, expansion = Expansion(self._name, self._max_mb), Expansion(self._name, self._max_mb)
        with (
            pq.ParquetFile(self._path, pre_buffer=False) as file,
            pq.ParquetFile(self._path, pre_buffer=False, read_dictionary=self._texts) as words,
        ):
            for group in range(file.num_row_groups):
                chunks = _chunks(file.metadata.row_group(group), names)
                stated.add(sum(chunk.total_uncompressed_size + 8 * chunk.num_values for chunk in chunks))
                rows = file.metadata.row_group(group).num_rows
                first = next(words.iter_batches(1, row_groups=[group], columns=names), None)
                longest = max(map(_longest, first.columns), default=0) if first is not None else 0
                most = longest * sum(chunk.num_values for chunk in chunks)
                most += sum(chunk.total_uncompressed_size for chunk in chunks)
                # Rows of lists differ in length, and one may hold nearly all values.
                nested = any(chunk.path_in_schema not in names for chunk in chunks)
                reader = words if nested and most > _MOST_AT_ONCE else file
                at_once = min(BATCH, _AT_ONCE * rows // (most + 1) + 1)
                for batch in reader.iter_batches(at_once, row_groups=[group], columns=names):
                    expansion.add(sum(map(_expanded, batch.columns)))
                    yield batch


def values(array: Any) -> list[Any]:
    """The values of an Arrow array; those that a dictionary repeats are the same objects."""
    if pa.types.is_dictionary(array.type):
        words = array.dictionary.to_pylist()
        return [None if index is None else words[index] for index in array.indices.to_pylist()]
    return list(array.to_pylist())


def class_names(schema: Any) -> dict[str, list[str]]:
    """The names of the classes of each column that `datasets` stores as numbers (`ClassLabel`).

    Args:
        schema: of an Arrow table or a Parquet file, in whose metadata they stand.
    """
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: list(map(str, feature["names"]))
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        # None, or of another version of the library: the numbers stay.
        return {}


def named(cells: list[Any], names: Sequence[str] | None) -> list[Any]:
    """Cells with the name of the class in place of its number; None for -1, which means no class."""
    if names is None:
        return cells
    by_number = dict(enumerate(names)) | {-1: None}
    return [by_number.get(cell, cell) for cell in cells]


def _chunks(group: Any, names: Sequence[str]) -> list[Any]:
    """The parts of a row group that hold some columns; a column of lists or objects has several."""
    return [
        chunk
        for chunk in map(group.column, range(group.num_columns))
        if any(f"{chunk.path_in_schema}.".startswith(f"{name}.") for name in names)
    ]


def _parts(array: Any) -> list[Any]:
    """The arrays that an array of lists or objects is made of; none for another."""
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [array.flatten()]
    if pa.types.is_map(kind):
        return [array.keys, array.items]
    return list(array.flatten()) if pa.types.is_struct(kind) else []


def _is_text(kind: Any) -> bool:
    return any(is_kind(kind) for is_kind in _TEXTS)


def _longest(array: Any) -> int:
    """The bytes of the longest text in the dictionaries of an array."""
    if pa.types.is_dictionary(array.type) and _is_text(array.type.value_type):
        return int(pc.max(pc.binary_length(array.dictionary)).as_py() or 0)
    return max(map(_longest, _parts(array)), default=0)


def _expanded(array: Any) -> int:
    """The bytes that the values of an array have without a dictionary; at least one each."""
    if pa.types.is_dictionary(array.type) and _is_text(array.type.value_type):
        lengths = pc.binary_length(array.dictionary)
        return len(array) + int(pc.sum(pc.take(lengths, array.indices)).as_py() or 0)
    parts = _parts(array)
    return len(array) + (sum(map(_expanded, parts)) if parts else int(array.nbytes))
