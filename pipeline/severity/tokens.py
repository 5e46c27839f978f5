"""A text as words, numbers and marks."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pipeline.severity.word_forms import WordForms, fold

_MINUS = "[-\u2010-\u2015\u2212]"
_DATE = rf"\d+(?:[/\\.]\d+){{2,}}|\d+(?:{_MINUS}\d+){{2,}}|\d{{1,2}}:\d\d"
_NUMBER = r"\d+(?:[.,]\d+)*"
_DIGIT = re.compile(r"\d")


class Token(NamedTuple):
    """A word, a number or a mark of a text."""

    text: str
    words: frozenset[str]  # known words of which it is a form
    number: float | None  # None where it is no number


class Tokenizer:
    """Cuts folded texts into tokens, and knows the forms of some words."""

    def __init__(self, words: Collection[str], number_words: Mapping[str, float]) -> None:
        """Take the words to know, as `WordForms` does, and the numbers that words stand for."""
        self._number_words = {fold(word): value for word, value in number_words.items()}
        self._forms = WordForms(words)
        with_digits = [re.escape(word) for word in words if _DIGIT.search(word)]
        parts = [*sorted(with_digits, key=len, reverse=True), _DATE, _NUMBER, r"[^\W\d_]+", r"[^\w\s]|\n"]
        self._token = re.compile("|".join(parts))
        self._date = re.compile(_DATE)
        spelt = [word for word, value in self._number_words.items() if value >= 10]
        self._number = re.compile(rf"\d|\b(?:{'|'.join(map(re.escape, spelt))})\b")

    def has_number(self, text: str) -> bool:
        """Whether a number stands in a folded text, in digits or in words."""
        return self._number.search(text) is not None

    def __call__(self, text: str) -> list[Token]:
        """The tokens of a folded text; dates and times of day are left out."""
        tokens = []
        for part in self._token.findall(text):
            if self._date.fullmatch(part):
                continue
            number = _number(part)
            words = frozenset() if number is not None else self._forms.words_of(part)
            tokens.append(Token(part, words, number))
        return self._spelt_out(tokens)

    def _spelt_out(self, tokens: Sequence[Token]) -> list[Token]:
        """The tokens, with numbers that are written in words as one token each (تسعه وتلاتين, خمسميه)."""
        result: list[Token] = []
        place = 0
        while place < len(tokens):
            end, total = place, 0.0
            while end < len(tokens):
                text = tokens[end].text
                value = self._number_words.get(text if end == place else text.removeprefix("و"))
                if value is None or (end > place and not text.startswith("و")):
                    break
                end, total = end + 1, total + value
            # The words below ten are said for much else (واحد), so by themselves they are none.
            if total >= 10:
                result.append(Token(str(total), frozenset(), total))
                place = end
            else:
                result.append(tokens[place])
                place += 1
        return result


def _number(part: str) -> float | None:
    """The number that a token is: 39.5, 39,5 and 15,000; None if it is none."""
    if not re.fullmatch(_NUMBER, part):
        return None
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+", part):
        return float(part.replace(",", ""))
    whole, *fraction = re.split("[.,]", part)
    return float(f"{whole}.{fraction[0]}") if len(fraction) == 1 else float(whole) if not fraction else None
