"""Which rows are kept, under which id, in which split; the rest with a reason."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from pipeline.severities import PROBABILITIES
from pipeline.text.normalise import Normaliser, arabic_shares

SPLITS = ("train", "valid", "test")
# How far the probabilities of a source may be from a sum of 1: they were rounded, or stored as float16.
_TOLERANCE = 0.01


def row_id(*keys: str) -> str:
    """A row's id: 16 hexadecimal digits of the SHA-256 of what makes it one of a kind.

    It depends on nothing else, so a row keeps its id when others come or go.
    """
    return hashlib.sha256("\x1f".join(keys).encode()).hexdigest()[:16]


def assign_splits(keys: np.ndarray, fractions: Mapping[str, float], seed: int) -> np.ndarray:
    """The split of each of n rows, by a hash of its key and the seed alone.

    Args:
        keys: (n,), uint64, of `duplicates.Sketches`: near duplicates nearly always share theirs.
        fractions: share of each of `SPLITS`; they sum to 1.
        seed: another seed, another assignment.

    Returns:
        (n,), uint8, indices of `SPLITS`.
    """
    salt = int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:8], "big")
    mixed = (keys ^ np.uint64(salt)) * np.uint64(0xFF51AFD7ED558CCD)
    mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    position = (mixed >> np.uint64(11)).astype(np.float64) / 2**53
    bounds = np.cumsum([fractions[split] for split in SPLITS[:-1]])
    return np.searchsorted(bounds, position, side="right").astype(np.uint8)


def why_rejected(texts: Sequence[str], min_arabic: float, max_chars: int) -> np.ndarray:
    """Why each normalised text cannot be used: `empty`, `not_arabic`, `too_long`, or nothing.

    Args:
        texts: n normalised texts.
        min_arabic: least share of Arabic letters among a text's letters, 0 to 1.
        max_chars: most characters.

    Returns:
        (n,), str.
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    conditions = [lengths == 0, arabic_shares(texts) < min_arabic, lengths > max_chars]
    return np.select(conditions, ["empty", "not_arabic", "too_long"], "")


def normalise_pairs(
    raw: pa.Table, rules: Mapping[str, Mapping[str, bool]], min_arabic: float, max_chars: int
) -> pa.Table:
    """Normalise complaint–response pairs and judge each by itself.

    Args:
        raw: n rows with the columns `question`, `answer`, `specialty` and those of `PROBABILITIES`, null
            where the source gives none.
        rules: switches for `classifier` and `language_model`.
        min_arabic, max_chars: see `why_rejected`; a question and an answer are judged alike.

    Returns:
        n rows: `id`, `question`, `answer`, `text` (the question as the classifier reads it), `specialty`,
        the probabilities, and `reason`, empty where the row can be used.
    """
    classifier, model = Normaliser(rules["classifier"]), Normaliser(rules["language_model"])
    questions, answers = raw["question"].to_pylist(), raw["answer"].to_pylist()
    text, answer_key = classifier(questions), classifier(answers)
    question, answer = model(questions), model(answers)
    reasons = {
        side: [f"{side}_{why}" if why else "" for why in why_rejected(texts, min_arabic, max_chars)]
        for side, texts in (("question", question), ("answer", answer))
    }
    bad = np.where(_bad_probabilities(raw), "bad_probabilities", "").tolist()
    return pa.table(
        {
            "id": [row_id(*keys) for keys in zip(text, answer_key, strict=True)],
            "question": question,
            "answer": answer,
            "text": text,
            "specialty": raw["specialty"],
            **{name: raw[name] for name in PROBABILITIES},
            "reason": [
                first or second or third
                for first, second, third in zip(reasons["question"], reasons["answer"], bad, strict=True)
            ],
        }
    )


def normalise_labelled(
    raw: pa.Table, rules: Mapping[str, Mapping[str, bool]], min_arabic: float, max_chars: int
) -> pa.Table:
    """Normalise complaints with a severity label and judge each by itself.

    Args:
        raw: n rows with the columns `text`, `severity` (empty for a label that params.yaml does not
            name) and `specialty`.
        rules, min_arabic, max_chars: as for `normalise_pairs`.

    Returns:
        n rows: `id`, `text`, `severity`, `specialty` and `reason`.
    """
    text = Normaliser(rules["classifier"])(raw["text"].to_pylist())
    reasons = why_rejected(text, min_arabic, max_chars).tolist()
    return pa.table(
        {
            "id": [row_id(key) for key in text],
            "text": text,
            "severity": raw["severity"],
            "specialty": raw["specialty"],
            "reason": [
                reason or ("" if severity else "unknown_label")
                for reason, severity in zip(reasons, raw["severity"].to_pylist(), strict=True)
            ],
        }
    )


def _bad_probabilities(raw: pa.Table) -> np.ndarray:
    """Rows whose source gives probabilities that are none: (n,), bool."""
    columns = [raw[name].combine_chunks() for name in PROBABILITIES]
    given = np.stack([np.asarray(column.is_valid()) for column in columns], axis=1)
    values = np.stack([column.to_numpy(zero_copy_only=False) for column in columns], axis=1)
    right = (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= _TOLERANCE)
    return np.asarray(given.any(axis=1) & ~right)
