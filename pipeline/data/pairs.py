"""Which rows are kept, under which id, in which split; the rest with a reason."""

import hashlib
from collections.abc import Mapping

import pandas as pd

from pipeline.text.normalise import Normaliser, arabic_share

SPLITS = ("train", "valid", "test")


def row_id(*keys: str) -> str:
    """A row's id: 16 hexadecimal digits of the SHA-256 of what makes it one of a kind.

    It depends on nothing else, so a row keeps its id when others come or go.
    """
    return hashlib.sha256("\x1f".join(keys).encode()).hexdigest()[:16]


def assign_split(group: str, fractions: Mapping[str, float], seed: int) -> str:
    """The split of a group of rows, by a hash of the group and the seed.

    Args:
        group: what rows of one group share (the normalised complaint), so that none of them
            straddles two splits, in pairs and labelled data alike.
        fractions: share of each of `SPLITS`; they sum to 1.
        seed: another seed, another assignment.
    """
    digest = hashlib.sha256(f"{seed}\x1f{group}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for split in SPLITS[:-1]:
        if position < fractions[split]:
            return split
        position -= fractions[split]
    return SPLITS[-1]


def why_rejected(text: str, min_arabic: float, max_chars: int) -> str | None:
    """Why a normalised text cannot be used: `empty`, `not_arabic`, `too_long`, or None.

    Args:
        text: the normalised text.
        min_arabic: least share of Arabic letters among its letters, 0 to 1.
        max_chars: most characters.
    """
    if not text:
        return "empty"
    if arabic_share(text) < min_arabic:
        return "not_arabic"
    if len(text) > max_chars:
        return "too_long"
    return None


def normalise_pairs(
    raw: pd.DataFrame,
    rules: Mapping[str, Mapping[str, bool]],
    min_arabic: float,
    max_chars: int,
    split: Mapping[str, float],
    seed: int,
) -> tuple[pd.DataFrame, pd.Series]:
    """Normalise complaint–response pairs and decide on each.

    Args:
        raw: columns `question` and `answer`, text.
        rules: switches for `classifier`, `question` and `answer`.
        min_arabic, max_chars: see `why_rejected`; a question and an answer are judged alike.
        split, seed: see `assign_split`.

    Returns:
        The kept rows in the order given (columns `id`, `question`, `answer`, `text`, `split`;
        `text` is the question as the classifier reads it), on the index of `raw`; and the
        reason of each row that is not kept, on the same index.
    """
    classifier, question, answer = (
        Normaliser(rules[kind]) for kind in ("classifier", "question", "answer")
    )
    kept, reasons, seen = {}, {}, set[str]()
    for index, raw_question, raw_answer in zip(raw.index, raw["question"], raw["answer"], strict=True):
        texts = {"question": question(raw_question), "answer": answer(raw_answer)}
        reason = next(
            (
                f"{side}_{reason}"
                for side, text in texts.items()
                if (reason := why_rejected(text, min_arabic, max_chars))
            ),
            None,
        )
        text = classifier(raw_question)
        identity = row_id(text, classifier(raw_answer))
        if not reason and identity in seen:
            reason = "duplicate"
        if reason:
            reasons[index] = reason
            continue
        seen.add(identity)
        kept[index] = {"id": identity, **texts, "text": text, "split": assign_split(text, split, seed)}
    columns = ["id", "question", "answer", "text", "split"]
    return _frame(kept, columns), pd.Series(reasons, dtype=object)


def normalise_labelled(
    raw: pd.DataFrame,
    rules: Mapping[str, Mapping[str, bool]],
    min_arabic: float,
    max_chars: int,
    split: Mapping[str, float],
    seed: int,
) -> tuple[pd.DataFrame, pd.Series]:
    """Normalise complaints with a severity label and decide on each.

    Args:
        raw: columns `text` and `severity`; an empty severity is a label that params.yaml does
            not name.
        rules, min_arabic, max_chars, split, seed: as for `normalise_pairs`, so that a complaint
            is in the same split in both.

    Returns:
        The kept rows (columns `id`, `text`, `severity`, `split`) and the reasons of the others,
        as `normalise_pairs` does.
    """
    normaliser = Normaliser(rules["classifier"])
    kept, reasons, seen = {}, {}, set[str]()
    for index, raw_text, severity in zip(raw.index, raw["text"], raw["severity"], strict=True):
        text = normaliser(raw_text)
        reason = why_rejected(text, min_arabic, max_chars)
        if not reason and not severity:
            reason = "unknown_label"
        if not reason and text in seen:
            reason = "duplicate"
        if reason:
            reasons[index] = reason
            continue
        seen.add(text)
        kept[index] = {
            "id": row_id(text),
            "text": text,
            "severity": severity,
            "split": assign_split(text, split, seed),
        }
    return _frame(kept, ["id", "text", "severity", "split"]), pd.Series(reasons, dtype=object)


def _frame(rows: dict[int, dict[str, str]], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=object)
