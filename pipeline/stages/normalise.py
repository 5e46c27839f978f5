"""python -m pipeline normalise

Normalise the Arabic, keep the usable rows once each, split them, and say why the rest is not kept.
"""

import hashlib
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.duplicates import Sketches
from pipeline.data.pairs import SPLITS, assign_splits, normalise_labelled, normalise_pairs, row_id
from pipeline.errors import WaznError
from pipeline.files import parquet_writer, read_batches, read_json, write_json
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.text import codes, privacy, privacy_forms, privacy_numbers, privacy_words
from pipeline.text import normalise as rules_module

if TYPE_CHECKING:
    from pipeline.config.params import Normalise

RAW = Path("data/raw")
NORMALISED = Path("data/normalised")
METRICS = Path("metrics/data.json")
SCRATCH = Path(".checkpoints/normalise")
# Rows in memory at once.
BATCH = 10_000
JUDGES: Mapping[str, Callable[..., pa.Table]] = {"pairs": normalise_pairs, "labelled": normalise_labelled}
SCHEMAS = {
    "pairs": pa.schema(
        [(name, pa.string()) for name in ("id", "question", "answer", "text", "specialty")]
        + [(name, pa.float32()) for name in PROBABILITIES]
    ),
    "labelled": pa.schema([(name, pa.string()) for name in ("id", "text", "severity", "specialty")]),
}
TEXTS = {"pairs": ("question", "answer"), "labelled": ("text",)}
REJECTED = pa.schema(
    [
        ("dataset", pa.string()),
        ("source", pa.string()),
        ("line", pa.int64()),
        ("reason", pa.string()),
        ("row", pa.string()),
    ]
)


def run(normalise: "Normalise") -> None:
    """Write `pairs.parquet`, `labelled.parquet` and `rejected.parquet`, and metrics/data.json.

    Two passes over the raw rows, so that memory holds some fifty bytes a row: the first normalises and
    judges each row by itself, and sketches its complaint; between them duplicates are found, over both data
    sets together; the second writes what is kept and what is not.

    Raises:
        WaznError: the raw data is missing, or nothing is left of a split.
    """
    fractions = normalise.split.model_dump()
    provenance = read_json(RAW / "sources.json")
    with scratch() as folder:
        sketches = Sketches(folder)
        judged = {dataset: judge(dataset, normalise, folder, sketches) for dataset in JUDGES}
        groups = sketches.groups()
        keys = np.concatenate([rows.keys for rows in judged.values()])
        splits = assign_splits(keys, fractions, normalise.seed)
        settle(judged, groups, splits)
        metrics: dict[str, Any] = {
            dataset: funnel(rows, provenance[dataset]) for dataset, rows in judged.items()
        }
        for dataset, rows in judged.items():
            check_splits(dataset, rows, fractions, metrics[dataset])
        weak = any(item["labels"] == "lexicon" for item in provenance["labelled"])
        metrics["labelled"]["labels"] = "lexicon" if weak else "human"
        write(judged, folder, rules_fingerprints(normalise), metrics)
    metrics["duplicates"] = duplicates(judged["pairs"], fractions, normalise.seed)
    write_json(METRICS, metrics)
    for dataset in JUDGES:
        counts = metrics[dataset]
        print(f"{dataset}: {counts['rows']} rows, {counts['kept']} kept, rejected {counts['rejected']}")


class Judged:
    """What memory holds of the n rows of a data set, m of them usable.

    Attributes:
        reason: (n,), index of `reasons`; 0 for a row that is kept.
        usable: (n,), whether the row can be used by itself, before duplicates are looked at.
        identity: (m,), uint64, of a usable row: equal where rows are the same.
        complaint: (m,), uint64: equal where complaints are the same.
        keys: (m,), uint64: what a row's split depends on.
        group: (m,), uint64, set by `settle`: the identity of the first row of its group, which may be
            in the other data set.
        split: (m,), index of `SPLITS`, set by `settle`.
    """

    def __init__(self) -> None:
        self.reasons = ["", "duplicate", "near_duplicate"]
        self.reason = self.usable = np.zeros(0)
        self.identity = self.complaint = self.keys = self.group = self.split = np.zeros(0)

    def number(self, reason: str) -> int:
        """The index of a reason."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason)


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder that goes when the block ends; what a killed run left there goes first."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    try:
        yield SCRATCH
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)


def row_groups(path: Path) -> Iterator[pa.Table]:
    """The row groups of a Parquet file, one by one."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


def judge(dataset: str, normalise: "Normalise", folder: Path, sketches: Sketches) -> Judged:
    """The first pass over one data set; its normalised rows go to a file in `folder`."""
    rules = normalise.rules.model_dump()
    rows = Judged()
    # With a type each, since a source may have no row.
    reason = [np.zeros(0, dtype=np.uint8)]
    identity, complaint, keys = ([np.zeros(0, dtype=np.uint64)] for _ in range(3))
    with parquet_writer(folder / f"{dataset}.parquet", SCHEMAS[dataset]) as writer:
        for raw in read_batches(RAW / f"{dataset}.parquet", rows=BATCH):
            table = JUDGES[dataset](raw, rules, normalise.min_arabic, normalise.max_chars)
            numbers = np.array([rows.number(text) for text in table["reason"].to_pylist()], dtype=np.uint8)
            usable = table.filter(numbers == 0)
            reason.append(numbers)
            texts = usable["text"].to_pylist()
            identity.append(np.array([int(key, 16) for key in usable["id"].to_pylist()], dtype=np.uint64))
            complaint.append(np.array([int(row_id(text), 16) for text in texts], dtype=np.uint64))
            keys.append(sketches.add(texts))
            writer.write_table(table.drop_columns("reason"))
    rows.reason, rows.keys = np.concatenate(reason), np.concatenate(keys)
    rows.identity, rows.complaint = np.concatenate(identity), np.concatenate(complaint)
    rows.usable = rows.reason == 0
    return rows


def settle(judged: Mapping[str, Judged], groups: np.ndarray, splits: np.ndarray) -> None:
    """Give every usable row its group and split, and reject duplicates.

    Of rows that are the same, the first stays. A row's split depends on its own text and the seed
    only, so that no row ever moves. Near duplicates nearly always have the same; a row that has not is
    rejected where an earlier one of its group would be in another split.

    Args:
        judged: the data sets, in the order in which their texts were sketched.
        groups: for every usable row of all of them, the number of the first one of its group.
        splits: the split of each.
    """
    astray = splits != splits[groups]
    named = np.concatenate([rows.identity for rows in judged.values()])[groups]
    start = 0
    for rows in judged.values():
        end = start + len(rows.keys)
        rows.group, rows.split = named[start:end], splits[start:end]
        again = np.ones(len(rows.keys), dtype=bool)
        again[np.unique(rows.identity, return_index=True)[1]] = False
        usable = np.flatnonzero(rows.usable)
        rows.reason[usable[astray[start:end]]] = rows.number("near_duplicate")
        rows.reason[usable[again]] = rows.number("duplicate")
        start = end


def check_splits(
    dataset: str, rows: Judged, fractions: Mapping[str, float], counts: Mapping[str, Any]
) -> None:
    """Refuse a data set of which nothing falls into a split that should have some."""
    for split in SPLITS:
        if fractions[split] and not counts["splits"][split]:
            raise WaznError(
                f"data/raw/{dataset}.parquet: none of its {counts['kept']} usable rows falls into the "
                f"{split} split; give more rows, or another normalise.split or normalise.seed "
                f"(rejected: {counts['rejected']})"
            )


def funnel(rows: Judged, sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows in, kept, rejected by reason; where they came from; rows of each split."""
    kept = rows.reason == 0
    # The raw table has the sources' rows one source after the other.
    ends = np.cumsum([0, *(source["rows"] for source in sources)])
    counts = np.bincount(rows.reason, minlength=len(rows.reasons))
    splits = np.bincount(rows.split[kept[rows.usable]], minlength=len(SPLITS))
    return {
        "rows": len(kept),
        "kept": int(kept.sum()),
        "rejected": {
            reason: int(count)
            for reason, count in sorted(zip(rows.reasons, counts, strict=True))
            if reason and count
        },
        "sources": [
            {**source, "kept": int(kept[start:end].sum())}
            for source, start, end in zip(sources, ends[:-1], ends[1:], strict=True)
        ],
        "splits": {split: int(count) for split, count in zip(SPLITS, splits, strict=True)},
    }


def duplicates(rows: Judged, fractions: Mapping[str, float], seed: int) -> dict[str, Any]:
    """Groups of pairs with the same or nearly the same complaint, and what a naive split would leak.

    A naive split is one drawn at random over rows, as the paper's was: how many of its test rows have a
    complaint of the same group in its training split.
    """
    sizes = np.bincount(np.unique(rows.group, return_inverse=True)[1])
    draw = np.random.default_rng(seed).random(len(rows.group))
    train = draw < fractions["train"]
    test = draw >= 1 - fractions["test"]
    leaked = np.isin(rows.group[test], rows.group[train])
    _, copies = np.unique(rows.complaint, return_counts=True)
    return {
        "usable_rows": len(rows.group),
        "exact": int(copies[copies > 1].sum()),
        "groups": int((sizes > 1).sum()),
        "rows_in_groups": int(sizes[sizes > 1].sum()),
        "largest": int(sizes.max(initial=0)),
        "sizes": {
            "2": int((sizes == 2).sum()),
            "3": int((sizes == 3).sum()),
            "4-9": int(((sizes >= 4) & (sizes <= 9)).sum()),
            "10+": int((sizes >= 10).sum()),
        },
        "naive_split_leaks": {"test_rows": int(test.sum()), "leaked": int(leaked.sum())},
    }


def write(
    judged: Mapping[str, Judged], folder: Path, rules: Mapping[str, str], metrics: dict[str, Any]
) -> None:
    """The second pass: write the kept rows and the rejected ones; count labels and placeholders."""
    with ExitStack() as files:
        rejected = files.enter_context(parquet_writer(NORMALISED / "rejected.parquet", REJECTED))
        for dataset, rows in judged.items():
            schema = pa.schema([*SCHEMAS[dataset], ("split", pa.string()), ("group", pa.string())])
            noted = {"rules": rules[dataset], "labels": metrics["labelled"]["labels"]}
            metadata = {b"wazn": json.dumps(noted).encode()}
            path = NORMALISED / f"{dataset}.parquet"
            kept = files.enter_context(parquet_writer(path, schema.with_metadata(metadata)))
            placeholders: Counter[str] = Counter()
            severities: Counter[str] = Counter()
            start = used = 0
            # Both files have the same batches: the second was written from those of the first.
            for raw, table in zip(
                read_batches(RAW / f"{dataset}.parquet", rows=BATCH),
                row_groups(folder / f"{dataset}.parquet"),
                strict=True,
            ):
                reason = rows.reason[start : start + len(raw)]
                usable = rows.usable[start : start + len(raw)]
                chosen = slice(used, used + int(usable.sum()))
                start, used = start + len(raw), chosen.stop
                splits = [SPLITS[split] for split in rows.split[chosen].tolist()]
                groups = [f"{group:016x}" for group in rows.group[chosen].tolist()]
                columns = [*table.filter(usable).columns, pa.array(splits, pa.string())]
                # With types named, since a batch may have no usable row.
                columns.append(pa.array(groups, pa.string()))
                chosen_rows = pa.table(columns, schema=schema).filter(reason[usable] == 0)
                kept.write_table(chosen_rows)
                for name in TEXTS[dataset]:
                    for text in chosen_rows[name].to_pylist():
                        placeholders.update(privacy.count(text))
                if dataset == "labelled":
                    severities.update(chosen_rows["severity"].to_pylist())
                rejected.write_table(rejection(dataset, raw, reason, rows.reasons))
            metrics[dataset]["placeholders"] = {kind: placeholders[kind] for kind in privacy.KINDS}
            if dataset == "labelled":
                metrics[dataset]["severity"] = {name: severities[name] for name in SEVERITIES}


def rejection(dataset: str, raw: pa.Table, reason: np.ndarray, reasons: list[str]) -> pa.Table:
    """The rejected rows as they came (`row`: JSON of every raw column), with where and why."""
    rows = raw.filter(reason > 0)
    originals = rows.drop_columns(["source", "line"]).to_pylist()
    return pa.table(
        {
            "dataset": [dataset] * len(rows),
            "source": rows["source"],
            "line": rows["line"],
            "reason": [reasons[number] for number in reason[reason > 0]],
            "row": [as_json(original) for original in originals],
        },
        schema=REJECTED,
    )


def as_json(row: Mapping[str, Any]) -> str:
    """A row as JSON; what is no number becomes text, since JSON has no form for it."""
    values = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
    return json.dumps(values, ensure_ascii=False, allow_nan=False)


def rules_fingerprints(normalise: "Normalise") -> dict[str, str]:
    """For each data set the SHA-256 of the rules that made it and of the code behind them, for provenance.

    Labelled complaints have the classifier's rules only, so others leave the classifier as it is.
    """
    modules = (rules_module, codes, privacy, privacy_forms, privacy_numbers, privacy_words)
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)
    rules = {"pairs": normalise.rules, "labelled": normalise.rules.classifier}
    return {
        dataset: hashlib.sha256(values.model_dump_json().encode() + code).hexdigest()
        for dataset, values in rules.items()
    }
