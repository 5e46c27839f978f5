"""Arabic normalisation as named rules.

A rule is a switch in `normalise.rules` of params.yaml. Whatever the switches, `Normaliser` is
total on any string (lone surrogates included), idempotent, and gives a text that UTF-8 can hold.
"""

import re
import unicodedata
from collections.abc import Mapping

RULES = (
    "invisible",
    "diacritics",
    "tatweel",
    "alef",
    "ya",
    "ta_marbuta",
    "digits",
    "elongation",
    "whitespace",
)


def _range(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


# Control characters but for the white space among them, soft hyphen, zero-width and
# bidirectional controls, byte order mark.
_INVISIBLE = [
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
# Harakat, tanwin, shadda, sukun, combining hamza and madda, superscript alef, Quranic marks.
_DIACRITICS = [
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
# Arabic-Indic and extended (Persian, Urdu) digits, and the signs that stand among them.
_DIGITS = {
    **{0x660 + value: str(value) for value in range(10)},
    **{0x6F0 + value: str(value) for value in range(10)},
    0x66A: "%",
    0x66B: ".",
    0x66C: ",",
}
_MAPS: Mapping[str, dict[int, str]] = {
    "invisible": dict.fromkeys(_INVISIBLE, ""),
    "diacritics": dict.fromkeys(_DIACRITICS, ""),
    "tatweel": {0x640: ""},
    "alef": dict.fromkeys(map(ord, "أإآٱٲٳٵ"), "ا"),
    "ya": {ord("ى"): "ي"},
    "ta_marbuta": {ord("ة"): "ه"},
    "digits": _DIGITS,
}
# UTF-8 has no form for a lone surrogate, so no file could hold it.
_SURROGATES = dict.fromkeys(_range(0xD800, 0xDFFF), "\N{REPLACEMENT CHARACTER}")
# Three or more of one letter are emphasis: no Arabic word is written so. Digits and Latin letters are
# left alone (1000, III).
_ELONGATED = re.compile(r"([\u0621-\u063A\u0641-\u064A\u0671-\u06D3])\1{2,}")


class Normaliser:
    """A set of rules made ready to run on many texts.

    The rules, in the order in which they apply (text is first brought to Unicode's composed
    form, NFC, always):

    - invisible: control, zero-width and bidirectional characters go
    - diacritics: harakat, tanwin, shadda, sukun and Quranic marks go
    - tatweel: the stretching character ـ goes
    - alef: أ إ آ ٱ become ا
    - ya: ى becomes ي
    - ta_marbuta: ة becomes ه
    - digits: Arabic-Indic and Persian digits become 0–9, ٫ a point, ٬ a comma, ٪ a percent sign
    - elongation: a letter written three or more times becomes one (كتييير, كتير)
    - whitespace: any run of white space becomes one space, none at either end
    """

    def __init__(self, rules: Mapping[str, bool]) -> None:
        """Take a switch for every rule of `RULES`.

        Raises:
            KeyError: a rule is missing.
        """
        table: dict[int, str] = dict(_SURROGATES)
        for rule in RULES:
            if rules[rule]:
                table.update(_MAPS.get(rule, {}))
        self._table = table
        self._elongation = rules["elongation"]
        self._whitespace = rules["whitespace"]

    def __call__(self, text: str) -> str:
        """Normalise one text, to at most three times its length (NFC's bound; shorter as a rule)."""
        # Where a removed character stood between a letter and a combining mark, the two now
        # compose, to a letter that a rule may fold. Only then is a second pass needed.
        while True:
            text = self._once(text)
            if unicodedata.is_normalized("NFC", text):
                return text

    def _once(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text).translate(self._table)
        if self._elongation:
            text = _ELONGATED.sub(r"\1", text)
        if self._whitespace:
            text = " ".join(text.split())
        return text


def arabic_share(text: str) -> float:
    """The share of Arabic letters among the letters of `text`; 0 where it has no letter."""
    letters = arabic = 0
    for character in text:
        if character.isalpha():
            letters += 1
            code = ord(character)
            arabic += 0x600 <= code <= 0x6FF or 0x750 <= code <= 0x77F or 0xFB50 <= code <= 0xFEFC
    return arabic / letters if letters else 0.0
