"""wazn inspect: rows, rejections, languages, lengths, severities and weights, on one screen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline import paths
from pipeline.inputs import checked_json, damaged, read_json
from pipeline.parquet_inputs import parquet_note, read_batches, read_parquet
from pipeline.schemas import REJECTED, SCORED_SEVERITIES, SPLITS, texts
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.severity.probabilities import sharpened
from pipeline.severity.weights import pair_weights, weight_spread
from pipeline.shapes import DataMetrics, ScoredNote
from pipeline.text.language import is_arabizi, other_language
from pipeline.text.mojibake import is_mojibake
from pipeline.text.normalise import arabic_shares

if TYPE_CHECKING:
    from pipeline.config.training import ArmConfig

TEXTS = {"pairs": ("question", "answer"), "labelled": ("text",)}
RAW = {"pairs": paths.RAW_PAIRS, "labelled": paths.RAW_LABELLED}
NORMALISED = {"pairs": paths.NORMALISED_PAIRS, "labelled": paths.NORMALISED_LABELLED}
# A text is in the first class whose least share of Arabic letters, among all its letters, it reaches.
LANGUAGES = {"Arabic": 0.9, "mostly Arabic": 0.5, "partly Arabic": 0.1, "other": 0.0}
# With fewer, a text may be Arabic in Latin letters; with as many, another language of the Arabic alphabet.
LEAST_ARABIC = 0.5


def run(weighting: "ArmConfig", *, text: bool) -> None:
    """Print rows in, kept and rejected, languages and lengths of the texts, severities and weights.

    For each reason of rejection one example is named. Before the pairs are scored there are no weights.

    Args:
        weighting: the arm whose weights are shown.
        text: whether to print the text of the examples; else only their source and line.

    Raises:
        WaznError: the data have not been normalised yet, or a file cannot be read.
    """
    data = read_json(paths.DATA_METRICS, DataMetrics)
    examples = _examples()
    for dataset, columns in TEXTS.items():
        _print_counts(dataset, data[dataset], examples, text)
        for reason, by in data[dataset]["rejected_by_severity"]["reasons"].items():
            if by["unequal"]:
                found = ", ".join(f"{by[name]} {name}" for name in SEVERITIES)
                print(f"  {reason} rejects the severities unequally, by more than chance: {found}")
        _print_languages(_languages(dataset, columns))
        _print_table("characters", ["median", "95 %", "longest"], _lengths(dataset, columns), ".0f")
    severities = {"labelled": [data["labelled"]["severity"][name] for name in SEVERITIES]}
    weak = data["labelled"]["labels"] == "lexicon"
    repeated = data["labelled"]["contradictions"]
    if not paths.SCORED.is_file():
        _print_severities(severities, weak)
        _print_contradictions(repeated)
        print("\nNot scored yet, so no weights; run `dvc repro`.")
        return
    scored = read_parquet(paths.SCORED, SCORED_SEVERITIES)
    for split in SPLITS:
        counts = scored.loc[scored["split"] == split, "severity"].value_counts()
        severities[f"scored {split}"] = [int(counts.get(name, 0)) for name in SEVERITIES]
    _print_severities(severities, weak)
    _print_contradictions(repeated)
    temperature = parquet_note(paths.SCORED, ScoredNote).get("sharpen", 1.0)
    _print_weights(scored[scored["split"] == "train"], weighting, temperature)


def _print_weights(pairs: pd.DataFrame, arm: "ArmConfig", temperature: float) -> None:
    """Print how the weights of an arm spread over the training pairs.

    Args:
        temperature: by which their probabilities were sharpened; taken back for a second line.
    """
    spreads = {"train": weight_spread(pair_weights(pairs, arm))}
    if temperature != 1:
        names = list(PROBABILITIES)
        before = pd.DataFrame(sharpened(pairs[names].to_numpy(), 1 / temperature), columns=names)
        spreads["not sharpened"] = weight_spread(pair_weights(before, arm))
    names = ["mean", "std", "q01", "q25", "q50", "q75", "q99"]
    rows = {row: [spread[name] for name in names] for row, spread in spreads.items()}
    _print_table("weights", names, rows, ".3f")
    share = spreads["train"]["effective_share"]
    print(
        f"Effective sample size: {share * len(pairs):.0f} of {len(pairs)} training "
        f"pairs ({share:.1%}), by alpha {arm.alpha:g}, beta {arm.beta:g}, "
        f"gamma {arm.gamma:g}{', divided by their mean' if arm.renormalise else ''}."
    )


def _print_contradictions(repeated: Mapping[str, Any]) -> None:
    if repeated["texts"]:
        print(
            f"People labelled {repeated['texts']} complaints more than once, {repeated['contradicted']} of "
            f"them differently: no classifier is right on more than {repeated['best_accuracy']:.1%} of "
            f"their {repeated['rows']} rows."
        )


def _print_severities(counts: Mapping[str, Sequence[int]], weak: bool) -> None:
    _print_table("severity", SEVERITIES, counts, "d")
    if weak:
        print("The labels are weak: they come from a list of symptom terms, not from people.")


def _print_counts(
    dataset: str, counts: Mapping[str, Any], examples: Mapping[tuple[str, str], Any], text: bool
) -> None:
    print(f"\n{dataset}: {counts['rows']} rows in, {counts['kept']} kept")
    for reason, count in counts["rejected"].items():
        if (dataset, reason) not in examples:
            raise damaged(
                paths.REJECTED, f"no row is rejected as {reason}, but metrics/data.json counts some"
            )
        source, line, row = examples[dataset, reason]
        print(f"  {count:>9}  {reason:<20} e.g. {source}, line {line}")
        if text:
            for key, value in checked_json(paths.REJECTED, row.encode(), dict[str, Any]).items():
                # A terminal would obey control characters.
                shown = "".join(sign if sign.isprintable() else " " for sign in str(value or ""))
                if shown:
                    print(f"{'':>13}{key}: {shown}")


def _examples() -> dict[tuple[str, str], tuple[str, int, str]]:
    """The first row rejected for each reason, by data set and reason: its source, its line, it as JSON."""
    examples: dict[tuple[str, str], tuple[str, int, str]] = {}
    for batch in read_batches(paths.REJECTED, REJECTED):
        for row in batch.to_pylist():
            key = (row["dataset"], row["reason"])
            examples.setdefault(key, (row["source"], row["line"], row["row"]))
    return examples


def _languages(dataset: str, columns: Sequence[str]) -> dict[str, Counter[str]]:
    """Number of raw rows by language, for each column."""
    counts = {column: Counter[str]() for column in columns}
    for batch in read_batches(RAW[dataset], texts(*columns)):
        for column in columns:
            values = batch[column].to_pylist()
            counts[column].update(map(_language, values, arabic_shares(values).tolist()))
    return counts


def _language(text: str, share: float) -> str:
    """The language of a raw text with this share of Arabic letters."""
    if is_mojibake(text):
        return "wrong encoding"
    if not any(map(str.isalpha, text)):
        return "no letters"
    if share < LEAST_ARABIC and is_arabizi(text):
        return "Arabizi"
    other = other_language(text) if share >= LEAST_ARABIC else ""
    return other or next(name for name, least in LANGUAGES.items() if share >= least)


def _print_languages(counts: Mapping[str, Counter[str]]) -> None:
    """Print the languages that occur, the most frequent first."""
    total = Counter[str]()
    for counter in counts.values():
        total.update(counter)
    names = [name for name, _ in total.most_common()]
    rows = {column: [counter[name] for name in names] for column, counter in counts.items()}
    _print_table("language", names, rows, "d")


def _lengths(dataset: str, columns: Sequence[str]) -> dict[str, list[float]]:
    """Median, 95 % quantile and maximum of the number of characters of the kept texts, for each column."""
    lengths: dict[str, list[np.ndarray]] = {column: [np.zeros(0, dtype=np.int32)] for column in columns}
    for batch in read_batches(NORMALISED[dataset], texts(*columns)):
        for column in columns:
            lengths[column].append(np.fromiter(map(len, batch[column].to_pylist()), np.int32, len(batch)))
    return {
        column: np.quantile(np.concatenate(parts), [0.5, 0.95, 1]).tolist()
        for column, parts in lengths.items()
    }


def _print_table(title: str, names: Sequence[str], rows: Mapping[str, Sequence[float]], shape: str) -> None:
    width = max(9, *(len(name) for name in names)) + 2
    print(f"  {title:<14}" + "".join(f"{name:>{width}}" for name in names))
    for row, values in rows.items():
        print(f"  {row:<14}" + "".join(f"{format(value, shape):>{width}}" for value in values))
