"""The tables behind the rules of normalisation: which character becomes which, and of what kind it is."""

import unicodedata
from collections.abc import Mapping

import numpy as np

from pipeline.text.codes import UNICODE


def _range(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


# Control characters except white space, soft hyphen, zero-width and
# bidirectional controls, byte order mark.
INVISIBLE = [
    *(set(_range(0x00, 0x1F)) - {0x09, 0x0A, 0x0B, 0x0C, 0x0D}),
    *(set(_range(0x7F, 0x9F)) - {0x85}),
    0xAD,
    0x61C,
    0x180E,
    *_range(0x200B, 0x200F),
    *_range(0x202A, 0x202E),
    *_range(0x2060, 0x206F),
    0xFEFF,
    *_range(0xFFF9, 0xFFFB),
]
# Invisible characters at which letters do not join (Unicode's Joining_Type U), so that what stands on their
# two sides is read as two words: zero-width space and non-joiner, isolates, control characters. At the
# others (soft hyphen, direction marks, joiners) a word goes on.
SEPARATING = [
    code for code in INVISIBLE if code <= 0x9F or code in (0x180E, 0x200B, 0x200C, *_range(0x2066, 0x2069))
]
# Harakat, tanwin, shadda, sukun, combining hamza and madda, superscript alef, Quranic marks.
DIACRITICS = [
    *_range(0x610, 0x61A),
    *_range(0x64B, 0x65F),
    0x670,
    *_range(0x6D6, 0x6DC),
    *_range(0x6DF, 0x6E4),
    *_range(0x6E7, 0x6E8),
    *_range(0x6EA, 0x6ED),
    *_range(0x8D3, 0x8E1),
    *_range(0x8E3, 0x8FF),
]
# Letters of Persian, Urdu, Kurdish and Pashto keyboards that stand for an Arabic letter of the same look
# or place. Letters with a sound of their own (پ چ ژ گ ڤ), which dialects write, stay.
_LOOKALIKES = {
    **dict.fromkeys(map(ord, "کڪ"), "ك"),
    **dict.fromkeys(map(ord, "یۍێېے"), "ي"),
    **dict.fromkeys(map(ord, "ہھەۀۂ"), "ه"),
    **dict.fromkeys(map(ord, "ۃ"), "ة"),
    **dict.fromkeys(map(ord, "ۇۆۈۋۏ"), "و"),
}
# Arabic-Indic and extended (Persian, Urdu) digits, and the signs that stand among them.
_DIGITS = {
    **{0x660 + value: str(value) for value in range(10)},
    **{0x6F0 + value: str(value) for value in range(10)},
    0x66A: "%",
    0x66B: ".",
    0x66C: ",",
}
TATWEEL = 0x640
_SPACES = [code for code in range(0x3001) if chr(code).isspace()]
# One character to one character, or to none.
MAPS: Mapping[str, Mapping[int, str]] = {
    "invisible": dict.fromkeys(INVISIBLE, ""),
    "diacritics": dict.fromkeys(DIACRITICS, ""),
    "tatweel": {TATWEEL: ""},
    "lookalikes": _LOOKALIKES,
    "alef": dict.fromkeys(map(ord, "أإآٱٲٳٵ"), "ا"),
    "ya": {ord("ى"): "ي"},
    "ta_marbuta": {ord("ة"): "ه"},
    "digits": _DIGITS,
    "whitespace": dict.fromkeys(_SPACES, " "),
}
# UTF-8 has no form for a lone surrogate, so no file could hold one. As a value in a table the first of them
# means that the character goes.
SURROGATES, DROP = _range(0xD800, 0xDFFF), 0xD800
# Positional and ligature forms, as old systems and PDF files write them; one of them becomes 18 letters.
PRESENTATION = {
    # The form of a single mark has a space before it.
    code: unicodedata.normalize("NFKC", chr(code)).lstrip(" ")
    for code in (*_range(0xFB50, 0xFDFF), *_range(0xFE70, 0xFEFE))
}
# Letters of which three or more in a row are emphasis. Digits and Latin letters are left alone (1000, III).
LETTERS = [*_range(0x621, 0x63A), *_range(0x641, 0x64A), *_range(0x671, 0x6D3)]
# Marks of which a run becomes one. Not +, which laboratories write (++), nor brackets and slashes.
REPEATED_MARKS = list(map(ord, "!?؟.,،;؛:…*~_-=#'\"|"))
# Of these one alone before a digit would be a sign of the number: 2..3 is no 2.3, and --5 no -5.
SIGNS_BEFORE_DIGITS = list(map(ord, ".,،:*~_-='"))
# And after a digit: 5'' is inches, 5' feet.
SIGNS_AFTER_DIGITS = list(map(ord, "'\""))
# Points and commas, between which and a digit nothing that parted them may go.
POINTS = list(map(ord, ".,،٫٬"))

# Vowels and finals that compose by rule, not by table.
_HANGUL = [*_range(0x1161, 0x1175), *_range(0x11A8, 0x11C2)]
# The kinds of characters, as bits of one byte.
LETTER, ARABIC, DIGIT, MARKUP, PRESENTED, COMPOSING, NUMERIC, SPACE = 1, 2, 4, 8, 16, 32, 64, 128


def _kinds_of_characters() -> np.ndarray:
    """The kinds of every character, (0x110000,) uint8."""
    table = np.zeros(UNICODE, dtype=np.uint8)
    for code in range(0x33480):  # beyond the last letter
        character = chr(code)
        if character.isalpha():
            table[code] |= LETTER
        elif character.isdecimal():
            table[code] |= DIGIT | NUMERIC
        elif character.isnumeric():  # ², ½, ①
            table[code] |= NUMERIC
        elif character.isspace():
            table[code] |= SPACE
        pair = unicodedata.decomposition(character).split()
        if len(pair) == 2 and "<" not in pair[0]:
            table[int(pair[1], 16)] |= COMPOSING
        if unicodedata.combining(character) or not unicodedata.is_normalized("NFC", character):
            table[code] |= COMPOSING
    for first, last in ((0x600, 0x6FF), (0x750, 0x77F), (0xFB50, 0xFEFC)):
        table[first : last + 1] |= (table[first : last + 1] & LETTER) << 1
    table[_HANGUL] |= COMPOSING
    table[[ord("<"), ord("&")]] |= MARKUP
    table[list(PRESENTATION)] |= PRESENTED
    return table


KINDS = _kinds_of_characters()
