"""wazn inspect: what the data are, in one screen."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import WaznError
from pipeline.files import read_batches, read_json, read_parquet
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.severity.weights import pair_weights, weight_spread
from pipeline.text.normalise import arabic_shares

if TYPE_CHECKING:
    from pipeline.config.params import Weights

RAW, NORMALISED = Path("data/raw"), Path("data/normalised")
SCORED = Path("data/scored/pairs.parquet")
TEXTS = {"pairs": ("question", "answer"), "labelled": ("text",)}
# By the share of Arabic letters among a text's letters, from the first that it reaches.
LANGUAGES = {"Arabic": 0.9, "mostly Arabic": 0.5, "partly Arabic": 0.1, "other": 0.0}


def run(weighting: "Weights", *, text: bool) -> None:
    """Print rows in, kept and rejected with an example each, languages, lengths, balance and weights.

    What later stages have not made yet is left out, and said so.

    Args:
        weighting: of params.yaml, whose weights are shown.
        text: whether to show the text of the examples too; else only where they are.

    Raises:
        WaznError: the data have not been normalised yet, or a file cannot be read.
    """
    data = read_json(Path("metrics/data.json"))
    examples = _examples(NORMALISED / "rejected.parquet")
    for dataset, columns in TEXTS.items():
        _funnel(dataset, data[dataset], examples, text)
        _table("language", [*LANGUAGES, "no letters"], _languages(dataset, columns), "d")
        _table("characters", ["median", "95 %", "longest"], _lengths(dataset, columns), ".0f")
    balance = {"labelled": [data["labelled"]["severity"][name] for name in SEVERITIES]}
    weak = data["labelled"]["labels"] == "lexicon"
    if not SCORED.is_file():
        _balance(balance, weak)
        print("\nNot scored yet, so no weights; run `dvc repro`.")
        return
    scored = read_parquet(SCORED, ["split", "severity", *PROBABILITIES])
    for split in ("train", "valid", "test"):
        counts = scored.loc[scored["split"] == split, "severity"].value_counts()
        balance[f"scored {split}"] = [int(counts.get(name, 0)) for name in SEVERITIES]
    _balance(balance, weak)
    weights = pair_weights(scored[scored["split"] == "train"], **weighting.model_dump())
    spread = weight_spread(weights)
    names = ["mean", "std", "q01", "q25", "q50", "q75", "q99"]
    _table("weights", names, {"train": [spread[name] for name in names]}, ".3f")
    print(
        f"Effective sample size: {spread['effective_share'] * len(weights):.0f} of {len(weights)} training "
        f"pairs ({spread['effective_share']:.1%}), by alpha {weighting.alpha:g}, beta {weighting.beta:g}, "
        f"gamma {weighting.gamma:g}{', divided by their mean' if weighting.renormalise else ''}."
    )


def _balance(balance: Mapping[str, Sequence[int]], weak: bool) -> None:
    _table("severity", SEVERITIES, balance, "d")
    if weak:
        print("The labels are weak: they come from a list of symptom terms, not from people.")


def _funnel(
    dataset: str, counts: Mapping[str, Any], examples: Mapping[tuple[str, str], Any], text: bool
) -> None:
    print(f"\n{dataset}: {counts['rows']} rows in, {counts['kept']} kept")
    for reason, count in counts["rejected"].items():
        if (dataset, reason) not in examples:
            raise WaznError(
                f"{NORMALISED}/rejected.parquet: no row is rejected as {reason}, but metrics/data.json "
                "counts some; run `dvc repro` to make both again"
            )
        source, line, row = examples[dataset, reason]
        print(f"  {count:>9}  {reason:<20} e.g. {source}, line {line}")
        if text:
            values = json.loads(row)
            for key, value in values.items():
                # A text may hold what a terminal would obey.
                shown = "".join(sign if sign.isprintable() else " " for sign in str(value or ""))
                if shown:
                    print(f"{'':>13}{key}: {shown}")


def _examples(path: Path) -> dict[tuple[str, str], tuple[str, int, str]]:
    """The first row rejected for each reason, by data set and reason: source, line, the row as JSON."""
    found: dict[tuple[str, str], tuple[str, int, str]] = {}
    for batch in read_batches(path, ["dataset", "reason", "source", "line", "row"]):
        for row in batch.to_pylist():
            found.setdefault((row["dataset"], row["reason"]), (row["source"], row["line"], row["row"]))
    return found


def _languages(dataset: str, columns: Sequence[str]) -> dict[str, list[int]]:
    """Raw rows by language, for each column."""
    counts = {column: Counter[str]() for column in columns}
    for batch in read_batches(RAW / f"{dataset}.parquet", list(columns)):
        for column in columns:
            texts = batch[column].to_pylist()
            for text, share in zip(texts, arabic_shares(texts).tolist(), strict=True):
                if not share and not any(map(str.isalpha, text)):
                    counts[column]["no letters"] += 1
                else:
                    counts[column][next(name for name, least in LANGUAGES.items() if share >= least)] += 1
    return {
        column: [counter[name] for name in [*LANGUAGES, "no letters"]] for column, counter in counts.items()
    }


def _lengths(dataset: str, columns: Sequence[str]) -> dict[str, list[float]]:
    """Median, 95 % quantile and maximum of the kept texts' characters, for each column."""
    lengths: dict[str, list[np.ndarray]] = {column: [np.zeros(0, dtype=np.int32)] for column in columns}
    for batch in read_batches(NORMALISED / f"{dataset}.parquet", list(columns)):
        for column in columns:
            lengths[column].append(np.fromiter(map(len, batch[column].to_pylist()), np.int32, len(batch)))
    return {
        column: np.quantile(np.concatenate(parts), [0.5, 0.95, 1]).tolist()
        for column, parts in lengths.items()
    }


def _table(title: str, names: Sequence[str], rows: Mapping[str, Sequence[float]], shape: str) -> None:
    width = max(9, *(len(name) for name in names)) + 2
    print(f"  {title:<14}" + "".join(f"{name:>{width}}" for name in names))
    for row, values in rows.items():
        print(f"  {row:<14}" + "".join(f"{format(value, shape):>{width}}" for value in values))
