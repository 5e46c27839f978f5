"""Which rows can be used, under which id; the rest with a reason."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.severities import PROBABILITIES
from pipeline.text.normalise import Normaliser, arabic_shares

if TYPE_CHECKING:
    from pipeline.config.data import NormaliseConfig

# How far from 1 the sum of a source's probabilities may be: they may be rounded, or stored as float16.
_TOLERANCE = 0.01


def row_id(*keys: str) -> str:
    """A row's id: 16 hexadecimal digits of the SHA-256 of what makes it one of a kind.

    It depends on nothing else, so a row keeps its id when others come or go.
    """
    return hashlib.sha256("\x1f".join(keys).encode()).hexdigest()[:16]


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


def normalise_pairs(raw: pa.Table, config: "NormaliseConfig") -> pa.Table:
    """Normalise complaint–response pairs, and check each row by itself.

    Args:
        raw: n rows with the columns `question`, `answer`, `specialty` and those of `PROBABILITIES`, null
            where the source gives none.
        config: rules and limits; the same limits hold for a question and an answer.

    Returns:
        n rows: `id`, `question`, `answer`, `text` (the question as the classifier reads it), `specialty`,
        the probabilities, and `reason`, empty where the row can be used.
    """
    classifier = Normaliser(config.rules_off.classifier)
    model = Normaliser(config.rules_off.language_model)
    questions, answers = raw["question"].to_pylist(), raw["answer"].to_pylist()
    text, answer_key = classifier(questions), classifier(answers)
    question, answer = model(questions), model(answers)
    reasons = {
        side: [
            f"{side}_{why}" if why else ""
            for why in why_rejected(texts, config.min_arabic, config.max_chars)
        ]
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


def normalise_labelled(raw: pa.Table, config: "NormaliseConfig") -> pa.Table:
    """Normalise complaints with a severity label, and check each row by itself.

    Args:
        raw: n rows with the columns `text`, `severity` (empty for a label that params.yaml does not
            name) and `specialty`.
        config: rules and limits.

    Returns:
        n rows: `id`, `text`, `severity`, `specialty` and `reason`.
    """
    text = Normaliser(config.rules_off.classifier)(raw["text"].to_pylist())
    reasons = why_rejected(text, config.min_arabic, config.max_chars).tolist()
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
    """Rows with values in place of probabilities that are no probabilities: (n,), bool."""
    columns = [raw[name].combine_chunks() for name in PROBABILITIES]
    given = np.stack([np.asarray(column.is_valid()) for column in columns], axis=1)
    values = np.stack([column.to_numpy(zero_copy_only=False) for column in columns], axis=1)
    right = (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= _TOLERANCE)
    return np.asarray(given.any(axis=1) & ~right)
