"""Tables in Parquet, and the values of Arrow arrays."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data.tables.expansion import Expansion
from pipeline.data.tables.table import BATCH

_AT_ONCE = 64 << 20
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)


class Parquet:
    """A Parquet file, whose columns that are asked for may expand to `max_mb` MiB.

    A text that is repeated is stored once in a dictionary, so a small file can hold a very large table.
    Such columns are read as dictionaries, and what they stand for is counted before it is made.
    """

    def __init__(self, path: Path, name: str, max_mb: int) -> None:
        self._path, self._name, self._max_mb = path, name, max_mb
        with pq.ParquetFile(path) as file:
            self.columns: list[str] = file.schema_arrow.names
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
        expansion = Expansion(self._name, self._max_mb)
        number = 0
        with pq.ParquetFile(self._path, pre_buffer=False, read_dictionary=self._texts) as file:
            size = _size(file.metadata, names)
            Expansion(self._name, self._max_mb).add(size)
            at_once = min(BATCH, _AT_ONCE * file.metadata.num_rows // (size + 1) + 1)
            for batch in file.iter_batches(at_once, columns=list(dict.fromkeys(names))):
                expansion.add(sum(map(_expanded, batch.columns)))
                for cells in zip(*(values(batch.column(name)) for name in names), strict=True):
                    number += 1
                    yield number, cells


def values(array: Any) -> list[Any]:
    """The values of an Arrow array; those that a dictionary repeats are the same objects."""
    if pa.types.is_dictionary(array.type):
        words = array.dictionary.to_pylist()
        return [None if index is None else words[index] for index in array.indices.to_pylist()]
    return list(array.to_pylist())


def _size(metadata: Any, columns: Sequence[str]) -> int:
    """The bytes of some columns in a file when they are decompressed, with dictionaries."""
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if any(f"{chunk.path_in_schema}.".startswith(f"{column}.") for column in columns)
    )


def _expanded(array: Any) -> int:
    """The bytes that the values of an array have without a dictionary; at least one each."""
    if pa.types.is_dictionary(array.type):
        if not any(is_kind(array.type.value_type) for is_kind in _TEXTS):
            return len(array) + int(array.nbytes)
        lengths = pc.binary_length(array.dictionary)
        return len(array) + int(pc.sum(pc.take(lengths, array.indices)).as_py() or 0)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return len(array) + _expanded(array.flatten())
    if pa.types.is_struct(array.type):
        return len(array) + sum(map(_expanded, array.flatten()))
    return len(array) + int(array.nbytes)
