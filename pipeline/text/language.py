"""Which language a text in Arabic letters, or an Arabic text in Latin letters, is in.

Persian, Urdu, Kurdish (Sorani) and Pashto are written with the Arabic alphabet, so a share of Arabic
letters does not tell them from Arabic. Two kinds of evidence do: their frequent words, and letters that
only they have. Arabic has evidence of its own: its frequent words, the article, and the letter ة.
"""

import re
from pathlib import Path

import yaml

DATA_FILES = ("language.yaml",)

# Letters that Arabic does not use. Left out are those that an Arabic dialect uses for a sound (پ چ ژ گ ڤ)
# and those that another keyboard types for an Arabic letter (ک ی ھ ہ).
_LETTERS = {
    "Urdu": frozenset("ٹڈڑںےۓۂٺ"),
    "Pashto": frozenset("ټډړږښځڅڼېۍڃ"),
    "Kurdish": frozenset("ڕڵۆێە"),
}
_OTHER_LETTER = re.compile(f"[{''.join(''.join(sorted(letters)) for letters in _LETTERS.values())}]")
_WORD = re.compile(r"[^\W\d_]+")
_PERSIAN_LETTER = re.compile("[یکپژچگ]")
# Marks, stretching and directions within a word; the zero-width non-joiner stands between two words.
_IGNORED = re.compile("[\u064b-\u065f\u0670\u0640\u200b\u200d-\u200f\u202a-\u202e\u2066-\u2069]")
# The article, alone or after a particle.
_ARTICLE = re.compile("[وفبكک]?ال..+|[وف]?لل..+")
# Letters that differ by keyboard only.
_PERSIAN_KEYBOARD = str.maketrans("يىك", "ییک")
_ARABIC_KEYBOARD = str.maketrans("يىكھہە", "ییکههه")

# Arabic in Latin letters: digits that stand for letters (3 ع, 7 ح, 2 ء, 5 خ, 9 ص or ق).
_DIGIT_FOR_LETTER = re.compile(r"(?=\w*[a-z]\w*[a-z])(?:[a-z]+[235679]+\w*|[235679][a-z]\w*)")
_ADDRESS = re.compile(r"\S+://\S+|www\.\S+|\S+@\S+")
_DIGIT_WITHIN = re.compile(r"(?=(?:\d*[a-z]){4})[a-z]+[235679]+[a-z]+")
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
    language: frozenset(word.translate(_PERSIAN_KEYBOARD) for word in words)
    for language, words in _LISTS.items()
}
_ANY_OTHER = frozenset[str]().union(*_OTHER.values())


def other_language(text: str) -> str:
    """The language of a text in Arabic letters that is not Arabic.

    Args:
        text: before normalisation, which writes the letters of these languages as Arabic ones.

    Returns:
        Persian, Urdu, Kurdish or Pashto; empty for Arabic, and where there is too little evidence to tell.
    """
    text = _IGNORED.sub("", text)
    words = _WORD.findall(text.translate(_PERSIAN_KEYBOARD))
    known = [word for word in words if word in _ANY_OTHER]
    letters = [word for word in words if _OTHER_LETTER.search(word)] if _OTHER_LETTER.search(text) else []
    # A word as a Persian keyboard types it is half as much evidence, for Arabic is typed on it too.
    typed = 0.0
    if _PERSIAN_LETTER.search(text):
        typed = sum(bool(_PERSIAN_LETTER.search(word)) for word in _WORD.findall(text)) / 2
    if len(known) + typed <= 1 and not letters:
        return ""
    by_letters = {
        language: sum(not own.isdisjoint(word) for word in letters) for language, own in _LETTERS.items()
    }
    evidence = {
        language: by_letters.get(language, 0) + sum(word in own for word in known)
        for language, own in _OTHER.items()
    }
    language = max(evidence, key=lambda name: (evidence[name], by_letters.get(name, 0)))
    arabic = sum(map(_looks_arabic, _WORD.findall(text.translate(_ARABIC_KEYBOARD))))
    return language if evidence[language] + typed > (arabic if letters else max(arabic, 1)) else ""


def is_arabizi(text: str) -> bool:
    """Whether a text in Latin letters is Arabic (`3andi so2al`).

    Args:
        text: a text with few or no Arabic letters.
    """
    words = re.findall(r"[a-z0-9]+", _ADDRESS.sub(" ", text.lower()).replace("'", ""))
    digits = [
        word for word in words if _DIGIT_FOR_LETTER.fullmatch(word) and not _NO_LETTER.fullmatch(word)
    ]
    evidence = len(digits) + sum(word in _ARABIZI for word in words)
    english = sum(word in _ENGLISH for word in words)
    # A digit within a long word is enough by itself.
    within = english == 0 and any(_DIGIT_WITHIN.fullmatch(word) for word in digits)
    return within or (evidence >= 2 and evidence > english)


def _looks_arabic(word: str) -> bool:
    return word in _ARABIC or "ة" in word or bool(_ARTICLE.fullmatch(word))
