"""Weak severity labels from a curated list of Arabic symptom terms, `lexicon.yaml`."""

import functools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES
from pipeline.severity.readings import Readings
from pipeline.severity.word_forms import WordForms, fold

DATA_FILES = ("lexicon.yaml",)
GAP = 2
"""Words that a `*` of a term may stand for, at most."""

# A word, or a mark that no term and no negation reaches across.
_TOKEN = re.compile(r"\w+|[.,;:!?؟،؛\n]")
_MARKS = frozenset(".,;:!?؟،؛\n")


class Match(NamedTuple):
    """A term or a reading found in a text: its severity; the term, or what the reading is about."""

    severity: str
    term: str


@dataclass(frozen=True)
class _Term:
    severity: str
    text: str
    words: tuple[frozenset[str], ...]  # one set of alternatives a word, folded
    gaps: tuple[bool, ...]  # whether other words may stand before it


class Lexicon:
    """Terms of the three severities, made ready to be looked for in many texts."""

    def __init__(self, path: Path) -> None:
        """Read a lexicon; its format stands at the head of `lexicon.yaml`.

        Raises:
            WaznError: the file is missing, is not YAML, or a level, group or term of it is malformed.
        """
        content = _read(path)
        negations = _strings(content, "negations", path)
        self._negations = {tuple(fold(start + text).split()) for text in negations for start in ("", "و")}
        self._exceptions = {fold(text) for text in _strings(content, "exceptions", path)}
        self.terms = [
            _term(text, severity, path)
            for severity in SEVERITIES
            for group in _groups(content, severity, path)
            for text in group
        ]
        self._starting: dict[str, list[_Term]] = defaultdict(list)
        for term in self.terms:
            for word in term.words[0]:
                self._starting[word].append(term)
        self._forms = WordForms(word for term in self.terms for words in term.words for word in words)
        self._readings = Readings(content["readings"], path)

    def matches(self, text: str) -> list[Match]:
        """The terms of `text` that are not negated, in the order of their first word; then its readings."""
        folded = fold(text)
        tokens = _TOKEN.findall(folded)
        words = [_MARKS if token in _MARKS else self._forms.words_of(token) for token in tokens]
        found = [
            Match(term.severity, term.text)
            for start, forms in enumerate(words)
            for term in dict.fromkeys(t for word in sorted(forms) for t in self._starting.get(word, ()))
            if _follows(term, 1, words, start + 1) and not self._negated(tokens, start)
        ]
        return found + [Match(*reading) for reading in self._readings.find(folded)]

    def label(self, text: str) -> str:
        """The highest severity of a term in `text`; non_critical where there is none."""
        return max(
            (match.severity for match in self.matches(text)), key=SEVERITIES.index, default=SEVERITIES[0]
        )

    def _negated(self, tokens: Sequence[str], start: int) -> bool:
        """Whether a negation stands right before the token at `start`, or one word further off."""
        if start == 0:
            return False
        if self._negation_ends(tokens, start):
            return True
        between = tokens[start - 1]
        passes = between not in _MARKS and between not in self._exceptions
        return passes and self._negation_ends(tokens, start - 1)

    def _negation_ends(self, tokens: Sequence[str], end: int) -> bool:
        """Whether the last one or two of the tokens before `end` are a negation."""
        return any(tuple(tokens[max(end - size, 0) : end]) in self._negations for size in (1, 2))


def label(texts: Sequence[str]) -> list[str]:
    """Weak severities of complaints, by the terms of `lexicon.yaml`.

    The highest severity of any term counts; a complaint without one is non_critical. Texts may be raw
    or normalised.

    Args:
        texts: n complaints.

    Returns:
        n values of `SEVERITIES`.

    Raises:
        WaznError: `lexicon.yaml` is malformed.
    """
    lexicon = embedded()
    return [lexicon.label(text) for text in texts]


@functools.cache
def embedded() -> Lexicon:
    """The lexicon that comes with wazn, read once."""
    return Lexicon(Path(__file__).with_name("lexicon.yaml"))


def _follows(term: _Term, index: int, words: Sequence[frozenset[str]], position: int) -> bool:
    """Whether the words of `term` from `index` on stand in `words` from `position` on."""
    if index == len(term.words):
        return True
    last = position + (GAP if term.gaps[index] else 0)
    for place in range(position, min(last + 1, len(words))):
        if words[place] is _MARKS:
            return False
        if not term.words[index].isdisjoint(words[place]) and _follows(term, index + 1, words, place + 1):
            return True
    return False


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WaznError(f"{path}: not readable as YAML; restore the file") from error
    expected = {*SEVERITIES, "negations", "exceptions", "readings"}
    if not isinstance(content, dict) or set(content) != expected:
        raise WaznError(
            f"{path}: expected exactly the keys {', '.join(sorted(expected))}; correct the file"
        )
    return content


def _strings(content: Mapping[str, Any], key: str, path: Path) -> list[str]:
    values = content[key]
    if not isinstance(values, list) or not all(
        isinstance(value, str) and value.strip() for value in values
    ):
        raise WaznError(f"{path}: {key}: expected a list of words; correct the file")
    return values


def _groups(content: Mapping[str, Any], severity: str, path: Path) -> Iterator[list[str]]:
    groups = content[severity]
    if not isinstance(groups, list):
        raise WaznError(f"{path}: {severity}: expected a list of groups; correct the file")
    for number, group in enumerate(groups, start=1):
        where = f"{severity}: group {number}"
        if not isinstance(group, dict) or set(group) != {"about", "terms"}:
            raise WaznError(f"{path}: {where}: expected the keys about and terms; correct the file")
        yield _strings({where: group["terms"]}, where, path)


def _term(text: str, severity: str, path: Path) -> _Term:
    words: list[frozenset[str]] = []
    gaps: list[bool] = []
    gap = False
    for part in text.split():
        if part == "*":
            gap = True
            continue
        alternatives = fold(part).split("/")
        if not all(re.fullmatch(r"[=~]?\w+", alternative) for alternative in alternatives):
            raise WaznError(
                f"{path}: {severity}: term {text!r}: expected words, * between them, and / = ~ in them"
            )
        words.append(frozenset(alternatives))
        gaps.append(gap)
        gap = False
    if not words or gap or gaps[0]:
        raise WaznError(f"{path}: {severity}: term {text!r}: expected a word at either end")
    return _Term(severity, text, tuple(words), tuple(gaps))
