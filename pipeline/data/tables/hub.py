"""Data sets of the Hugging Face Hub, by the `datasets` library."""

import importlib
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.config.source_uri import HubDataset
from pipeline.data.tables.names import listed, shown_names
from pipeline.data.tables.parquet import values
from pipeline.data.tables.table import BATCH, Table
from pipeline.errors import WaznError


def open_dataset(source: str, wanted: HubDataset) -> tuple[Table, str]:
    """Fetch a data set into the library's cache, and open it.

    Code of a data set is never run: `datasets` 4 and later cannot.

    Args:
        source: as it stands in params.yaml, for messages.
        wanted: name, revision and split; without a split all splits follow each other.

    Returns:
        The table, and the commit that the revision stands for.

    Raises:
        WaznError: the data set, its revision or its split does not exist or cannot be fetched.
    """
    # Here, as it takes seconds and most sources do not need it.
    datasets = importlib.import_module("datasets")
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    # What it logs of a file that it cannot read quotes the file.
    datasets.logging.set_verbosity(logging.CRITICAL + 1)
    try:
        commit = wanted.revision
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            hub = importlib.import_module("huggingface_hub")
            commit = str(hub.HfApi().dataset_info(wanted.name, revision=wanted.revision).sha)
        # The prefix, as a folder of that name would be taken for the data set otherwise.
        loaded = datasets.load_dataset(f"hf://datasets/{wanted.name}", revision=commit)
    except Exception as error:
        # From a server that is down to a file that is no table; the message may quote a row.
        raise WaznError(
            f"{source}: could not be fetched ({type(error).__name__}); check that the data set and its "
            "revision exist and are open to you, or give the https:// address of one of its files"
        ) from None
    if wanted.split is not None and wanted.split not in loaded:
        raise WaznError(
            f"{source}: no split '{wanted.split}'; it has {listed(shown_names(list(loaded), 'split'))}"
        )
    splits = list(loaded.values()) if wanted.split is None else [loaded[wanted.split]]
    return Table(source, "a data set", _Splits(splits)), commit


class _Splits:
    """The rows of splits, one split after the other, numbered from 1."""

    def __init__(self, splits: Sequence[Any]) -> None:
        self._splits = splits
        self.columns: list[str] = list(splits[0].column_names)

    def records(self) -> int:
        """The rows that the splits state."""
        return sum(split.num_rows for split in self._splits)

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, tuple[object, ...]]]:
        """Each row's number, and its values in the columns at `indices`."""
        names = [self.columns[index] for index in indices]
        number = 0
        for split in self._splits:
            for batch in split.with_format("arrow").iter(BATCH):
                columns = (values(batch.column(name).combine_chunks()) for name in names)
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, cells
