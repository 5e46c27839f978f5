"""Weak severity labels from a curated list of Arabic symptom terms, `lexicon.yaml`."""

import functools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES

DATA_FILES = ("lexicon.yaml",)
GAP = 2
"""Words that a `*` of a term may stand for, at most."""

# Folding here is coarser than in pipeline.text.normalise, as its result is only matched and never kept. It
# does not depend on the rules that a user switches off: a complaint gets the same label under every
# setting.
_FOLD: Mapping[int, str | int] = {
    # Diacritics, tatweel, soft hyphen, zero-width and bidirectional characters go.
    **dict.fromkeys([*range(0x610, 0x61B), *range(0x64B, 0x660), 0x670, *range(0x6D6, 0x6EE)], ""),
    **dict.fromkeys([0x640, 0xAD, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0xFEFF], ""),
    **str.maketrans("أإآٱىیېئؤةۀہھەک", "ااااييييوهههههك"),
    # Letters that dialects swap in writing: ضهر for ظهر, تقل for ثقل, دراع for ذراع; Iraqi گ is ق, چ is ك.
    **str.maketrans("ظثذگچپڤ", "ضتدقكبف"),
    **str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789"),
}
_ELONGATED = re.compile(r"([\u0621-\u064A])\1{2,}")
# A final hamza is seldom typed (اغما, قي); only ماء keeps it, lest it read as the negation ما.
_FINAL_HAMZA = re.compile(r"(?<!\bما)(?<!\bوما)ء\b")
# A word, or a mark that no term and no negation reaches across.
_TOKEN = re.compile(r"\w+|[.,;:!?؟،؛\n]")
_MARKS = frozenset(".,;:!?؟،؛\n")

_NOUN_PREFIXES = frozenset(
    joiner + article
    for joiner in ("", "و", "ف")
    for article in ("", "ال", "ب", "بال", "ك", "كال", "ل", "لل", "فال", "عال", "هال", "ف")
)
# Words up to this length take few prefixes and no ending (كدمات is no form of دم); verbs may, as ~كح.
_SHORT = 2
_SHORT_PREFIXES = ("", "و", "ف", "ب", "ال", "وال", "بال")
_VERB_PREFIXES = frozenset(
    joiner + tense + person
    for joiner in ("", "و", "ف")
    for tense in ("", "ب", "ح", "ه", "س", "ك", "ل", "ع")
    for person in ("ا", "ي", "ت", "ن")
)
_LONGEST_PREFIX = max(map(len, _NOUN_PREFIXES | _VERB_PREFIXES))
_POSSESSIVES = ("ي", "ه", "ها", "هم", "هن", "نا", "ك", "كم", "كي", "و", "هو")
_ENDINGS = ("", *_POSSESSIVES, "ني", "ا", "ت", "ش", "وا", "ان", "ين", "ون", "يه", "ات")
_PLURAL = tuple("ات" + ending for ending in _POSSESSIVES)


class Match(NamedTuple):
    """A term found in a text: its severity, and the term as `lexicon.yaml` has it."""

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
        self._negations = {tuple(_fold(start + text).split()) for text in negations for start in ("", "و")}
        self._exceptions = {_fold(text) for text in _strings(content, "exceptions", path)}
        self.terms = [
            _term(text, severity, path)
            for severity in SEVERITIES
            for group in _groups(content, severity, path)
            for text in group
        ]
        self._starting: dict[str, list[_Term]] = defaultdict(list)
        self._forms: dict[str, set[str]] = defaultdict(set)
        self._verb_forms: dict[str, set[str]] = defaultdict(set)
        for term in self.terms:
            for word in term.words[0]:
                self._starting[word].append(term)
            for word in frozenset().union(*term.words):
                for form in _inflected(word):
                    self._forms[form].add(word)
                    if word.startswith("~"):
                        self._verb_forms[form].add(word)
        # Words repeat, so most of the work is done once a word; the bound keeps memory flat.
        self._words_of = functools.lru_cache(maxsize=1 << 16)(self._analyse)

    def matches(self, text: str) -> list[Match]:
        """The terms that stand in `text` and are not negated, in the order of their first word."""
        tokens = _TOKEN.findall(_fold(text))
        words = [_MARKS if token in _MARKS else self._words_of(token) for token in tokens]
        return [
            Match(term.severity, term.text)
            for start, forms in enumerate(words)
            for term in dict.fromkeys(t for word in sorted(forms) for t in self._starting.get(word, ()))
            if _follows(term, 1, words, start + 1) and not self._negated(tokens, start)
        ]

    def label(self, text: str) -> str:
        """The highest severity of a term in `text`; non_critical where there is none."""
        return max(
            (match.severity for match in self.matches(text)), key=SEVERITIES.index, default=SEVERITIES[0]
        )

    def _analyse(self, token: str) -> frozenset[str]:
        """The words of the lexicon of which `token` is a form, with its clitics and endings."""
        known: set[str] = set()
        for length in range(_LONGEST_PREFIX + 1):
            prefix, form = token[:length], token[length:]
            if prefix in _NOUN_PREFIXES and (len(form) > _SHORT or prefix in _SHORT_PREFIXES):
                known |= self._forms.get(form, set())
            if prefix in _VERB_PREFIXES:
                known |= self._verb_forms.get(form, set())
        return frozenset(known)

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


def _fold(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower().translate(_FOLD)
    return _FINAL_HAMZA.sub("", _ELONGATED.sub(r"\1", text))


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


def _inflected(word: str) -> Iterator[str]:
    """The forms of a word of a term: itself, and with the endings it may take."""
    exact = word.startswith("=") or len(word) <= _SHORT
    word = word.lstrip("=~")
    if exact:
        yield word
        return
    yield from (word + ending for ending in (*_ENDINGS, *_PLURAL))
    if word.endswith("ه"):
        stem = word[:-1]
        yield from (stem + "ت" + ending for ending in ("", *_POSSESSIVES, "ين"))
        yield from (stem + ending for ending in ("ات", *_PLURAL))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WaznError(f"{path}: not readable as YAML; restore the file") from error
    expected = {*SEVERITIES, "negations", "exceptions"}
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
        alternatives = _fold(part).split("/")
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
