"""Which rows can be used, under which id; the rest with a reason."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.data.probabilities import parse_probabilities
from pipeline.text.language import is_arabizi, other_language
from pipeline.text.mojibake import is_mojibake
from pipeline.text.normalise import Normaliser, arabic_shares

if TYPE_CHECKING:
    from pipeline.config.data import NormaliseConfig


def row_id(*keys: str) -> str:
    """A row's id: 16 hexadecimal digits of the SHA-256 of what makes it one of a kind.

    It depends on nothing else, so a row keeps its id when others come or go.
    """
    return hashlib.sha256("\x1f".join(keys).encode()).hexdigest()[:16]


def why_rejected(raw: Sequence[str], texts: Sequence[str], min_arabic: float, max_chars: int) -> list[str]:
    """Why each of n texts cannot be used; empty where it can.

    `empty`, no letter or digit; `mojibake`, read in a wrong encoding some time; `arabizi`, Arabic in Latin
    letters; `not_arabic`; `other_language`, such as Persian; `too_long`. The first that holds counts.

    Args:
        raw: the texts as they came.
        texts: the same, normalised.
        min_arabic: least share of Arabic letters among a text's letters, 0 to 1; at 0 one letter suffices.
        max_chars: most characters.
    """
    shares = arabic_shares(texts)
    foreign = (shares == 0) | (shares < min_arabic)
    return [
        _why(came, text, not_arabic, max_chars)
        for came, text, not_arabic in zip(raw, texts, foreign.tolist(), strict=True)
    ]


def _why(raw: str, text: str, not_arabic: bool, max_chars: int) -> str:
    if not any(map(str.isalnum, text)):
        return "empty"
    if is_mojibake(raw):
        return "mojibake"
    if not_arabic:
        return "arabizi" if is_arabizi(text) else "not_arabic"
    if other_language(raw):
        return "other_language"
    return "too_long" if len(text) > max_chars else ""


def normalise_pairs(raw: pa.Table, config: "NormaliseConfig") -> pa.Table:
    """Normalise complaint–response pairs, and check each row by itself.

    Args:
        raw: n rows with the schema `raw_tables.PAIRS_SCHEMA`.
        config: rules and limits.

    Returns:
        n rows: `source`, `line`, `id`, `question`, `answer`, `text` (the question as the classifier reads
        it), `specialty`, `severity_human` (null where the source has no label that is known), the
        probabilities, and `reason`, empty where the row can be used.
    """
    classifier = Normaliser(config.rules_off.classifier)
    model = Normaliser(config.rules_off.language_model)
    questions, answers = raw["question"].to_pylist(), raw["answer"].to_pylist()
    text, answer_key = classifier(questions), classifier(answers)
    question, answer = model(questions), model(answers)
    limits = {"question": config.min_arabic, "answer": config.min_arabic_answer}
    reasons = [
        [
            f"{side}_{why}" if why else ""
            for why in why_rejected(came, texts, limits[side], config.max_chars)
        ]
        for side, came, texts in (("question", questions, question), ("answer", answers, answer))
    ]
    probabilities, bad = parse_probabilities(raw)
    reasons.append(np.where(bad, "bad_probabilities", "").tolist())
    return pa.table(
        {
            "source": raw["source"],
            "line": raw["line"],
            "id": [row_id(*keys) for keys in zip(text, answer_key, strict=True)],
            "question": question,
            "answer": answer,
            "text": text,
            "specialty": raw["specialty"],
            "severity_human": pa.array(
                [label or None for label in raw["severity"].to_pylist()], pa.string()
            ),
            **probabilities,
            "reason": [next(filter(None, row), "") for row in zip(*reasons, strict=True)],
        }
    )


def normalise_labelled(raw: pa.Table, config: "NormaliseConfig") -> pa.Table:
    """Normalise complaints with a severity label, and check each row by itself.

    Args:
        raw: n rows with the schema `raw_tables.LABELLED_SCHEMA`.
        config: rules and limits.

    Returns:
        n rows: `source`, `line`, `id`, `text`, `severity`, `specialty` and `reason`.
    """
    came = raw["text"].to_pylist()
    text = Normaliser(config.rules_off.classifier)(came)
    reasons = why_rejected(came, text, config.min_arabic, config.max_chars)
    return pa.table(
        {
            "source": raw["source"],
            "line": raw["line"],
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
