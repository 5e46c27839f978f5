"""Which language a text in Arabic letters, or an Arabic text in Latin letters, is in.

Persian, Urdu, Kurdish (Sorani) and Pashto are written with the Arabic alphabet, so a share of Arabic
letters does not tell them from Arabic. Two kinds of evidence do: their frequent words, and letters that
only they have. Arabic has evidence of its own: its frequent words, the article, and the letter ة.
"""

import re
from collections import Counter
from pathlib import Path

import yaml

DATA_FILES = ("language.yaml",)

# Letters that Arabic does not use. Left out are those that an Arabic dialect uses for a sound (پ چ ژ گ ڤ)
# and those that another keyboard types for an Arabic letter (ک ی ھ ہ).
_LETTERS = {"Urdu": "ٹڈڑںےۓۂٺ", "Pashto": "ټډړږښځڅڼېۍڃ", "Kurdish": "ڕڵۆێە"}
_OTHER_LETTER = re.compile(f"[{''.join(_LETTERS.values())}]")
_WORD = re.compile(r"[^\W\d_]+")
# Marks, stretching and directions within a word; the zero-width non-joiner stands between two words.
_IGNORED = re.compile("[\u064b-\u065f\u0670\u0640\u200b\u200d-\u200f\u202a-\u202e\u2066-\u2069]")
# The article, alone or after a particle.
_ARTICLE = re.compile("[وفبكک]?ال..+|[وف]?لل..+")
# Letters that differ by keyboard only.
_PERSIAN_KEYBOARD = str.maketrans("يىك", "ییک")
_ARABIC_KEYBOARD = str.maketrans("يىكھہە", "ییکههه")

# Arabic in Latin letters: digits that stand for letters (3 ع, 7 ح, 2 ء, 5 خ, 9 ص or ق).
_DIGIT_FOR_LETTER = re.compile(r"(?=\w*[a-z]\w*[a-z])(?:[a-z]+[235679]+\w*|[235679][a-z]\w*)")
# A dose, an ordinal, the name of a vitamin or of a virus.
_NO_LETTER = re.compile(
    r"\d+(?:mg|mcg|ml|kg|gm?s?|cm|mm|iu|units?|st|nd|rd|th|[ap]m|days?|weeks?|months?|years?|yrs?"
    r"|hours?|hrs?|mins?|x\w*|times?|tabs?|caps?)|[a-z]+\d+|h1n1|h2o|co2|spo2|hba1c|h2ra"
)


def _words() -> dict[str, frozenset[str]]:
    lists = yaml.safe_load(Path(__file__).with_name(*DATA_FILES).read_text(encoding="utf-8"))
    return {language: frozenset(words.split()) for language, words in lists.items()}


_LISTS = _words()
_ARABIZI, _ENGLISH = _LISTS.pop("Arabizi"), _LISTS.pop("English")
_ARABIC = frozenset(word.translate(_ARABIC_KEYBOARD) for word in _LISTS.pop("Arabic"))
_OTHER = {
    word.translate(_PERSIAN_KEYBOARD): language for language, words in _LISTS.items() for word in words
}


def other_language(text: str) -> str:
    """The language of a text in Arabic letters that is not Arabic.

    Args:
        text: before normalisation, which writes the letters of these languages as Arabic ones.

    Returns:
        Persian, Urdu, Kurdish or Pashto; empty for Arabic, and where there is too little evidence to tell.
    """
    text = _IGNORED.sub("", text)
    words = _WORD.findall(text.translate(_PERSIAN_KEYBOARD))
    hits = Counter(_OTHER[word] for word in words if word in _OTHER)
    if _OTHER_LETTER.search(text):
        for language, letters in _LETTERS.items():
            hits[language] += sum(not set(letters).isdisjoint(word) for word in words)
    language, evidence = max(hits.items(), key=lambda item: item[1], default=("", 0))
    if evidence < 2 or evidence <= sum(map(_looks_arabic, _WORD.findall(text.translate(_ARABIC_KEYBOARD)))):
        return ""
    return language


def is_arabizi(text: str) -> bool:
    """Whether a text in Latin letters is Arabic (`3andi so2al`).

    Args:
        text: a text with few or no Arabic letters.
    """
    words = re.findall(r"[a-z0-9]+", text.lower().replace("'", ""))
    digits = sum(
        bool(_DIGIT_FOR_LETTER.fullmatch(word)) and not _NO_LETTER.fullmatch(word) for word in words
    )
    evidence = digits + sum(word in _ARABIZI for word in words)
    return evidence >= 2 and evidence > sum(word in _ENGLISH for word in words)


def _looks_arabic(word: str) -> bool:
    return word in _ARABIC or "ة" in word or bool(_ARTICLE.fullmatch(word))
