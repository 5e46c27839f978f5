"""Data sets of the Hugging Face Hub, by the `datasets` library."""

import importlib
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.config.source_uri import HubDataset
from pipeline.data.tables.names import listed, shown_names
from pipeline.data.tables.parquet import class_names, named, values
from pipeline.data.tables.table import BATCH, Table
from pipeline.errors import WaznError


def open_dataset(source: str, wanted: HubDataset, configuration: str | None) -> tuple[Table, str]:
    """Fetch a data set into the library's cache, and open it.

    Code of a data set is never run: `datasets` 4 and later cannot.

    Args:
        source: as it stands in params.yaml, for messages.
        wanted: name, revision and split; without a split all splits follow each other.
        configuration: which of its configurations; None for the only one, or its own default.

    Returns:
        The table, and the commit that the revision stands for.

    Raises:
        WaznError: the data set, its revision, configuration or split does not exist or cannot be fetched;
            or it has several configurations, none of them the default, and none is named.
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
        place = f"hf://datasets/{wanted.name}"
        there = datasets.get_dataset_config_names(place, revision=commit)
        default = datasets.get_dataset_default_config_name(place, revision=commit)
        if (configuration or default) not in there:
            wrong = f"no configuration '{configuration}'" if configuration else "several configurations"
            one_of = listed(shown_names(there, "configuration"))
            raise WaznError(f"{source}: {wrong}; set `configuration` to one of: {one_of}")
        loaded = datasets.load_dataset(place, configuration, revision=commit)
    except WaznError:
        raise
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
            classes = class_names(split.data.table.schema)
            for batch in split.with_format("arrow").iter(BATCH):
                columns = (
                    named(values(batch.column(name).combine_chunks()), classes.get(name)) for name in names
                )
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, cells
