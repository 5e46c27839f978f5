"""Severity probabilities of every pair: shard by shard, so in flat memory, and resumed after a kill.

A shard is `SHARD_ROWS` consecutive rows of the normalised pairs. Its probabilities are written to a file of
their own as soon as they are complete. The scored table is made from these files, one row group for each
shard.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import transformers

from pipeline.errors import WaznError
from pipeline.files import parquet_writer, replacing
from pipeline.hashes import digest, json_digest
from pipeline.parquet_inputs import conform, open_parquet, parquet_errors, parquet_note
from pipeline.schemas import LINEAGE, SEVERITY_HUMAN, SPECIALTY, SPLIT, join, texts
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.severity.cross_fitting import FINAL
from pipeline.severity.probabilities import provided, sharpened
from pipeline.severity.spread import SpreadBySplit
from pipeline.shapes import PairsNote

# Pairs in memory at once; several processes take shards in turns.
SHARD_ROWS = 1_000
Compute = Callable[[Sequence[str], Sequence[str]], np.ndarray]
FoldOf = Callable[[Sequence[str]], np.ndarray]

_PAIR = ("source", "line", "id", "question", "answer", "split", "specialty", "severity_human", "group")
_FLOATS = [(name, pa.float32()) for name in PROBABILITIES]
# What is read of the normalised pairs; not every source gives probabilities.
_NORMALISED = join(
    LINEAGE,
    texts("id", "question", "answer", "text", "group"),
    SPLIT,
    SPECIALTY,
    SEVERITY_HUMAN,
    pa.schema(_FLOATS),
)
_SHARD = pa.schema([("id", pa.string()), *_FLOATS])
_SCORED = pa.schema(
    [
        *((name, pa.int64() if name == "line" else pa.string()) for name in (*_PAIR, "severity")),
        *_FLOATS,
        ("fold", pa.int8()),
    ]
)


class Shards:
    """The rows of a Parquet file, in order, `rows` at a time.

    Attributes:
        path: the file; rows: of a shard (the last one may have fewer); count: number of shards.
        rules: hash of the normaliser's rules, from the file's metadata; None where it has none.
    """

    def __init__(self, path: Path, rows: int | None = None) -> None:
        """Open the normalised pairs.

        Raises:
            WaznError: the file is missing, is not Parquet, or has no rows.
        """
        self.path, self.rows = path, rows or SHARD_ROWS
        with open_parquet(path, pa.schema([])) as file:
            total = file.metadata.num_rows
        if not total:
            raise WaznError(
                f"{path}: it has no rows; give a source of pairs that has some and run `dvc repro`"
            )
        self.count = -(-total // self.rows)
        self.rules: str | None = parquet_note(path, PairsNote).get("rules")

    def __call__(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Every shard with these columns.

        Raises:
            WaznError: a column is missing or has a value that it must not have, or the file is damaged.
        """
        schema, start = pa.schema([_NORMALISED.field(name) for name in columns]), 0
        # With a buffer columns are read piece by piece, so memory does not grow with the row groups.
        with open_parquet(self.path, schema, buffer_size=1 << 20) as file:
            batches = file.iter_batches(batch_size=self.rows, columns=list(columns))
            waiting: list[pa.RecordBatch] = []
            while True:
                with parquet_errors(self.path):
                    batch = next(batches, None)
                waiting += [batch] if batch is not None else []
                # A batch may end where a row group does, so it can be shorter than asked for.
                while waiting and (batch is None or sum(map(len, waiting)) >= self.rows):
                    table = pa.Table.from_batches(waiting)
                    yield conform(self.path, table.slice(0, self.rows), schema, start)
                    start += self.rows
                    waiting = [rest for rest in table.slice(self.rows).to_batches() if len(rest)]
                if batch is None:
                    return


class Checkpoint:
    """The probabilities of each shard that is complete, in a folder that no other result shares."""

    def __init__(self, folder: Path, compute: Compute) -> None:
        """Keep in `folder` what `compute` returns: of n texts and their groups the probabilities.

        Those are (n, 3), float32.
        """
        self._folder, self._compute = folder, compute

    def __contains__(self, number: int) -> bool:
        return self._path(number).is_file()

    def probabilities(self, number: int, shard: pa.Table) -> np.ndarray:
        """Of shard `number`, with columns `id`, `text` and `group`: as kept, or computed and then kept.

        Returns:
            (rows, 3), float32.

        Raises:
            WaznError: the classifier's outputs are not finite, or the disk refuses them.
        """
        kept = self._load(number, shard)
        if kept is not None:
            return kept
        computed = self._compute(shard["text"].to_pylist(), shard["group"].to_pylist())
        broken = ~np.isfinite(computed).all(axis=1)
        if broken.any():
            raise WaznError(
                f"the classifier gives no finite probabilities for row {shard['id'][broken.argmax()]}; its "
                "training diverged, so give a smaller train_classifier.learning_rate and run `dvc repro`"
            )
        columns = [shard["id"].combine_chunks(), *(pa.array(column) for column in computed.T)]
        with replacing(self._path(number)) as temporary:
            pq.write_table(
                pa.Table.from_arrays(columns, schema=_SHARD), temporary, write_page_checksum=True
            )
        return computed

    def _load(self, number: int, shard: pa.Table) -> np.ndarray | None:
        """None where the file is absent, incomplete, damaged or another shard's."""
        try:
            table = pq.read_table(self._path(number), page_checksum_verification=True)
        except (OSError, ValueError):
            return None
        if table.schema != _SHARD or not table["id"].equals(shard["id"]):
            return None
        return np.column_stack([table[name].to_numpy() for name in PROBABILITIES])

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.parquet"


def fill(shards: Shards, checkpoint: Checkpoint, rank: int, processes: int) -> None:
    """Have `checkpoint` hold the shards of process `rank`: rank, rank + processes, and so on.

    Raises:
        WaznError: see `Shards` and `Checkpoint.probabilities`.
    """
    for number, shard in enumerate(shards(["id", "text", "group"])):
        if number % processes == rank:
            checkpoint.probabilities(number, shard)


def write_scored(
    path: Path,
    shards: Shards,
    checkpoint: Checkpoint | None,
    fold_of: FoldOf | None,
    provenance: Mapping[str, Any],
    temperature: float,
) -> dict[str, Any]:
    """Write the scored table: the pairs in their order, one row group a shard.

    `severity` is the label that people gave the complaint (`severity_human`), else the most likely one,
    which no temperature changes.

    Args:
        path: written whole or not at all.
        shards: the normalised pairs.
        checkpoint: gives their probabilities; None to use those that the pairs came with.
        fold_of: the fold of each group, whose model scored it; None where the pairs came with theirs.
        provenance: goes into the file's metadata as JSON, under the key `wazn`.
        temperature: sharpens the probabilities, see `sharpened`.

    Returns:
        Rows, their share by most likely severity, mean probabilities, mean confidence; for each split what
        `SpreadBySplit` gives, and the same before sharpening, None where the temperature is 1.

    Raises:
        WaznError: see `Shards`, `Checkpoint.probabilities` and `provided`; or the disk refuses the file.
    """
    counts, sums, confidence = np.zeros(len(SEVERITIES), int), np.zeros(len(SEVERITIES)), 0.0
    columns = [*_PAIR, *(["text"] if checkpoint else PROBABILITIES)]
    spread, spread_before = SpreadBySplit(), SpreadBySplit()
    schema = _SCORED.with_metadata({"wazn": json.dumps(provenance)})
    with parquet_writer(path, schema) as writer:
        for number, shard in enumerate(shards(columns)):
            given = checkpoint.probabilities(number, shard) if checkpoint else provided(shards.path, shard)
            likely, probabilities = given.argmax(axis=1), sharpened(given, temperature)
            table = shard.select(list(_PAIR))
            guessed = pa.array([SEVERITIES[index] for index in likely], pa.string())
            table = table.append_column("severity", pc.coalesce(table["severity_human"], guessed))
            for name, column in zip(PROBABILITIES, probabilities.T, strict=True):
                table = table.append_column(name, [column])
            folds = fold_of(shard["group"].to_pylist()) if fold_of else np.full(len(shard), FINAL)
            table = table.append_column("fold", pa.array(folds, pa.int8(), mask=folds == FINAL))
            spread.add(table, probabilities)
            if probabilities is not given:
                spread_before.add(table, given)
            writer.write_table(table.cast(schema), row_group_size=shards.rows)
            counts += np.bincount(likely, minlength=len(SEVERITIES))
            sums += probabilities.sum(axis=0, dtype=np.float64)
            confidence += probabilities.max(axis=1).sum(dtype=np.float64)
    rows = int(counts.sum())
    return {
        "rows": rows,
        "share": dict(zip(SEVERITIES, (counts / rows).tolist(), strict=True)),
        "mean_probability": dict(zip(SEVERITIES, np.round(sums / rows, 6).tolist(), strict=True)),
        "mean_confidence": round(float(confidence / rows), 6),
        "splits": spread.figures(),
        "splits_before_sharpening": spread_before.figures() or None,
    }


def fingerprint(pairs: Path, code: str, **settings: Any) -> str:
    """SHA-256 over all that decides the probabilities, so that no shard of others is used.

    That is the bytes of `pairs`, the hash of the code, the `settings`, and the versions of the libraries.
    """
    parts = {
        "pairs": digest(pairs, "sha256"),
        "code": code,
        "libraries": [torch.__version__, transformers.__version__],
        **settings,
    }
    return json_digest(parts)
