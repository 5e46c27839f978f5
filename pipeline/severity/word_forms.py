"""Folding of Arabic spellings, and the forms that a word takes with clitics and endings."""

import functools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from pipeline.text.spellings import SPELLINGS

# Folding here is coarser than in pipeline.text.normalise, as its result is only matched and never kept. It
# does not depend on the rules that a user switches off: a complaint gets the same label under every
# setting.
_FOLD: Mapping[int, str | int] = {
    # Diacritics, tatweel, soft hyphen, zero-width and bidirectional characters go.
    **dict.fromkeys([*range(0x610, 0x61B), *range(0x64B, 0x660), 0x670, *range(0x6D6, 0x6EE)], ""),
    **dict.fromkeys([0x640, 0xAD, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0xFEFF], ""),
    **SPELLINGS,
    # Letters that dialects swap in writing: ضهر for ظهر, تقل for ثقل, دراع for ذراع; Iraqi گ is ق, چ is ك.
    **str.maketrans("ظثذگچپڤ", "ضتدقكبف"),
    **str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹٫٬٪", "01234567890123456789.,%"),
}
_ELONGATED = re.compile(r"([\u0621-\u064A])\1{2,}")
# A final hamza is seldom typed (اغما, قي); only ماء keeps it, lest it read as the negation ما.
_FINAL_HAMZA = re.compile(r"(?<!\bما)(?<!\bوما)ء\b")

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


def fold(text: str) -> str:
    """A text with all spellings of a word made one: marks gone, letters that are swapped folded."""
    text = unicodedata.normalize("NFKC", text).lower().translate(_FOLD)
    return _FINAL_HAMZA.sub("", _ELONGATED.sub(r"\1", text))


class WordForms:
    """Folded words, each found again in the forms that it takes in a sentence.

    A word that starts with `=` takes no ending; one that starts with `~` is a verb, and takes the prefixes
    of person and tense as well.
    """

    def __init__(self, words: Iterable[str]) -> None:
        """Take the words, folded."""
        self._forms: dict[str, set[str]] = defaultdict(set)
        self._verb_forms: dict[str, set[str]] = defaultdict(set)
        for word in words:
            for form in _inflected(word):
                self._forms[form].add(word)
                if word.startswith("~"):
                    self._verb_forms[form].add(word)
        # Words repeat, so most of the work is done once a word; the bound keeps memory flat.
        self.words_of = functools.lru_cache(maxsize=1 << 16)(self._words_of)

    def _words_of(self, token: str) -> frozenset[str]:
        """The words of which `token`, folded, is a form."""
        known: set[str] = set()
        for length in range(_LONGEST_PREFIX + 1):
            prefix, form = token[:length], token[length:]
            if prefix in _NOUN_PREFIXES and (len(form) > _SHORT or prefix in _SHORT_PREFIXES):
                known |= self._forms.get(form, set())
            if prefix in _VERB_PREFIXES:
                known |= self._verb_forms.get(form, set())
        return frozenset(known)


def _inflected(word: str) -> Iterator[str]:
    """The forms of a word: itself, and with the endings that it may take."""
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
