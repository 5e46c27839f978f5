"""Labels of the same text that contradict each other."""

import numpy as np
import pyarrow as pa

from pipeline.severities import PROBABILITIES, SEVERITIES

UNKNOWN = -1
"""In place of the index of a severity, where there is none."""


def severity_index(table: pa.Table) -> np.ndarray:
    """What the sources say of the severity of n rows: (n,), int8, index of `SEVERITIES` or `UNKNOWN`.

    Args:
        table: labelled rows, with `severity`; or pairs, with `severity_human`, which may be null, and the
            columns `PROBABILITIES`, of which the largest counts where there is no label.
    """
    pairs = "severity_human" in table.column_names
    index = {severity: number for number, severity in enumerate(SEVERITIES)}
    labels = table["severity_human" if pairs else "severity"].to_pylist()
    labelled = np.array([index.get(label, UNKNOWN) for label in labels], dtype=np.int8)
    if not pairs:
        return labelled
    given = np.column_stack([table[name].to_numpy(zero_copy_only=False) for name in PROBABILITIES])
    likely = (labelled == UNKNOWN) & np.isfinite(given).all(axis=1)
    return np.where(likely, np.where(likely[:, None], given, 0).argmax(axis=1), labelled).astype(np.int8)


def labels_of(complaints: np.ndarray, texts: np.ndarray, severity: np.ndarray) -> np.ndarray:
    """The label that each of n complaints has among m labelled texts.

    Args:
        complaints: (n,), uint64.
        texts: (m,), uint64, equal to a complaint where the text is the same.
        severity: (m,), index of the label.

    Returns:
        (n,), int8; `UNKNOWN` where the complaint is not among them, or has different labels.
    """
    if not len(texts):
        return np.full(len(complaints), UNKNOWN, dtype=np.int8)
    known, members = np.unique(texts, return_inverse=True)
    counts = _label_counts(members, severity)
    labels = np.where((counts > 0).sum(axis=1) == 1, counts.argmax(axis=1), UNKNOWN)
    place = np.minimum(np.searchsorted(known, complaints), len(known) - 1)
    return np.where(known[place] == complaints, labels[place], UNKNOWN).astype(np.int8)


def contradicted_labels(texts: np.ndarray, severity: np.ndarray, weak: np.ndarray) -> np.ndarray:
    """Which of m labelled rows have a text that people gave different labels: (m,), bool.

    Args:
        texts: (m,), equal where texts are the same.
        severity: (m,), index of the label.
        weak: (m,), bool, whether the lexicon gave the label: those contradict nobody.
    """
    contradicted = np.zeros(len(texts), dtype=bool)
    members = np.unique(texts[~weak], return_inverse=True)[1]
    different = (_label_counts(members, severity[~weak]) > 0).sum(axis=1) > 1
    contradicted[~weak] = different[members]
    return contradicted


def contradictions(texts: np.ndarray, severity: np.ndarray) -> dict[str, float | int | None]:
    """How far people agree on the severity of the same text: what no classifier of these labels can exceed.

    Args:
        texts: (m,), of the rows that people labelled, equal where texts are the same.
        severity: (m,), index of the label.

    Returns:
        `texts` labelled more than once, their `rows`, how many of the texts have different labels
        (`contradicted`), and `best_accuracy`: the share of their rows that have the most frequent label of
        their text, which is the accuracy of the best possible classifier on them; None without such texts.
    """
    counts = _label_counts(np.unique(texts, return_inverse=True)[1], severity)
    counts = counts[counts.sum(axis=1) > 1]
    rows = int(counts.sum())
    return {
        "texts": len(counts),
        "rows": rows,
        "contradicted": int(((counts > 0).sum(axis=1) > 1).sum()),
        "best_accuracy": round(float(counts.max(axis=1).sum() / rows), 6) if rows else None,
    }


def _label_counts(members: np.ndarray, severity: np.ndarray) -> np.ndarray:
    """How often each of g texts has each label, (g, 3), int64.

    Args:
        members: (m,), the number of the text of each labelled row, from 0 to g - 1.
        severity: (m,), index of the label.
    """
    counts = np.zeros((members.max(initial=-1) + 1, len(SEVERITIES)), dtype=np.int64)
    np.add.at(counts, (members, severity), 1)
    return counts
