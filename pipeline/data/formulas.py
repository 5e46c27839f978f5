"""Formulas of politeness, which are set aside before complaints are compared."""

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

import yaml

from pipeline.errors import WaznError
from pipeline.text.spellings import SPELLINGS

DATA_FILES = ("formulas.yaml",)

# One character for one, so that places stay.
_SPELLINGS = {**SPELLINGS, **str.maketrans(ascii_uppercase, ascii_lowercase)}
# Harakat, Quranic marks and tatweel, which may be left in where their rules are switched off.
_MARKS = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]")
_WORD = re.compile(r"\w+")
_JOINERS = ("", "و")
# Around a formula go spaces, marks and emojis; a question keeps its mark, a number its sign.
_BEFORE = re.compile(r"^[^\w(<>+-]+")
_AFTER = re.compile(r"[^\w؟?%)]+$")

# Of each word its alternatives, folded, and whether it may be missing.
Formula = Sequence[tuple[frozenset[str], bool]]


def without_formulas(text: str) -> str:
    """A text without its formulas of politeness (`formulas.yaml`), harakat and tatweel.

    A text in which no other word stands keeps them, so that such texts are not all the same.
    """
    text = _MARKS.sub("", text)
    folded = text.translate(_SPELLINGS)
    formulas = _formulas()
    if formulas.keys().isdisjoint(_WORD.findall(folded)):
        return text
    spans = [match.span() for match in _WORD.finditer(folded)]
    words = [folded[first:end] for first, end in spans]
    parts, start, place = [], 0, 0
    while place < len(words):
        starting = formulas.get(words[place])
        size = max([_size(formula, words, place) for formula in starting]) if starting else 0
        if size:
            parts.append(text[start : spans[place][0]])
            start = spans[place + size - 1][1]
        place += size or 1
    if not parts:
        return text
    parts.append(text[start:])
    kept = [_AFTER.sub("", parts[0])]
    kept += [_AFTER.sub("", _BEFORE.sub("", part)) for part in parts[1:-1]]
    kept.append(_BEFORE.sub("", parts[-1]))
    result = " ".join(part for part in kept if part)
    return result if _WORD.search(result) else text


def _size(formula: Formula, words: Sequence[str], place: int) -> int:
    """How many words from `place` on a formula takes, part by part; 0 if it does not fit."""
    end = place
    for alternatives, optional in formula:
        if end < len(words) and words[end] in alternatives:
            end += 1
        elif not optional:
            return 0
    return end - place


def read_formulas(path: Path) -> Mapping[str, Sequence[Formula]]:
    """Read a list of formulas; its format stands at the head of `formulas.yaml`.

    Returns:
        The formulas by the words, folded, that they may start with.

    Raises:
        WaznError: the file is missing, is not YAML, or has something else than lists of formulas.
    """
    starting: dict[str, list[Formula]] = {}
    for text in _read(path):
        formula = [
            (
                frozenset(joiner + word for word in part.rstrip("?").split("/") for joiner in _JOINERS),
                part[-1] == "?",
            )
            for part in text.translate(_SPELLINGS).split()
        ]
        # The words that may be missing at its start, and the first that may not.
        required = next((number for number, (_, optional) in enumerate(formula) if not optional), None)
        if required is None:
            raise WaznError(f"{path}: {text!r}: expected a word that is never missing; correct the file")
        for word in frozenset().union(*(words for words, _ in formula[: required + 1])):
            starting.setdefault(word, []).append(formula)
    return starting


@functools.cache
def _formulas() -> Mapping[str, Sequence[Formula]]:
    """The formulas that come with wazn, read once."""
    return read_formulas(Path(__file__).with_name(DATA_FILES[0]))


def _read(path: Path) -> list[str]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WaznError(f"{path}: not readable as YAML; restore the file") from error
    groups = content.values() if isinstance(content, dict) else [None]
    texts = [text for group in groups for text in (group if isinstance(group, list) else [None])]
    formulas = [text for text in texts if isinstance(text, str) and text.strip()]
    if len(formulas) < len(texts):
        raise WaznError(f"{path}: expected lists of formulas, each in a group; correct the file")
    return formulas
