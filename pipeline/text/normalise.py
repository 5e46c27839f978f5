"""Arabic normalisation as named rules, on many texts at once.

A rule is a switch in `normalise.rules` of params.yaml. Whatever the switches, `Normaliser` is total on
any string (lone surrogates included), idempotent, and gives texts that UTF-8 can hold.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.text.codes import UNICODE, Codes
from pipeline.text.privacy import PLACEHOLDERS, Scrubber

# Rules in the order in which they apply: those of PRIVACY last, since a number with wide gaps is one too.
PRIVACY = {"links": "link", "emails": "email", "phones": "phone", "ids": "id"}
RULES = (
    "html",
    "presentation",
    "invisible",
    "diacritics",
    "tatweel",
    "lookalikes",
    "alef",
    "ya",
    "ta_marbuta",
    "digits",
    "punctuation",
    "elongation",
    "whitespace",
    *PRIVACY,
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
_SPACES = [code for code in range(0x3001) if chr(code).isspace()]
# One character to one character, or to none.
_MAPS: Mapping[str, Mapping[int, str]] = {
    "invisible": dict.fromkeys(_INVISIBLE, ""),
    "diacritics": dict.fromkeys(_DIACRITICS, ""),
    "tatweel": {0x640: ""},
    "lookalikes": _LOOKALIKES,
    "alef": dict.fromkeys(map(ord, "أإآٱٲٳٵ"), "ا"),
    "ya": {ord("ى"): "ي"},
    "ta_marbuta": {ord("ة"): "ه"},
    "digits": _DIGITS,
    "whitespace": dict.fromkeys(_SPACES, " "),
}
# UTF-8 has no form for a lone surrogate, so no file could hold it; as a value in the table, the first
# of them means: drop.
_SURROGATES, _DROP = _range(0xD800, 0xDFFF), 0xD800
# Positional and ligature forms, as old systems and PDF files write them; one may stand for 18 letters.
_PRESENTATION = {
    # A mark's own form would come with a space to stand on.
    code: unicodedata.normalize("NFKC", chr(code)).lstrip(" ")
    for code in (*_range(0xFB50, 0xFDFF), *_range(0xFE70, 0xFEFE))
}
_AMPERSANDS = re.compile("&(?:amp;)+")
# Only what says "=" is taken for attributes: "Na<low but K>5" is no tag.
_TAG = re.compile(
    r"<(?:/?[A-Za-z][A-Za-z0-9:-]{0,30}(?:\s[^<>=]{0,100}=[^<>]{0,1000})?\s{0,9}/?|!--[^<>]{0,1000}--)>"
)
# Runs of these become one. Not of +, which laboratories write (++), nor of brackets and slashes.
_REPEATED = list(map(ord, "!?؟.,،;؛:…*~_-=#'\"|"))
# Three or more of one of these are emphasis: no Arabic word is written so. Digits and Latin letters
# are left alone (1000, III).
_LETTERS = [*_range(0x621, 0x63A), *_range(0x641, 0x64A), *_range(0x671, 0x6D3)]
# Characters of one piece of work: as many as stay in the processor's cache.
_PIECE = 60_000


class Normaliser:
    """A set of rules made ready to run on many texts.

    The rules, in the order in which they apply (text is first brought to Unicode's composed
    form, NFC, always):

    - html: entities become their character, tags a space
    - presentation: positional forms and ligatures (U+FB50–FDFF, U+FE70–FEFE) become their letters
    - invisible: control, zero-width and bidirectional characters go
    - diacritics: harakat, tanwin, shadda, sukun and Quranic marks go
    - tatweel: the stretching character ـ goes
    - lookalikes: Persian, Urdu and Kurdish letters become the Arabic letter they stand for (ک to ك, ی to ي)
    - alef: أ إ آ ٱ become ا
    - ya: ى becomes ي
    - ta_marbuta: ة becomes ه
    - digits: Arabic-Indic and Persian digits become 0–9, ٫ a point, ٬ a comma, ٪ a percent sign
    - punctuation: a mark written several times becomes one (؟؟؟ to ؟)
    - elongation: a letter written three or more times becomes one (كتييير to كتير)
    - whitespace: any run of white space becomes one space, none at either end
    - links, emails, phones, ids: become placeholders (`pipeline/text/privacy.py`), which no rule changes
    """

    def __init__(self, rules: Mapping[str, bool]) -> None:
        """Take a switch for every rule of `RULES`.

        Raises:
            KeyError: a rule is missing.
        """
        self._on = {rule for rule in RULES if rules[rule]}
        table = np.arange(UNICODE, dtype=np.uint32)
        table[_SURROGATES] = ord("\N{REPLACEMENT CHARACTER}")
        basic = table[:0x10000]  # every rule's characters lie in the basic plane
        for rule in RULES:
            if rule in self._on:
                for code, character in _MAPS.get(rule, {}).items():
                    # What an earlier rule has made into `code` follows it.
                    basic[basic == code] = ord(character) if character else _DROP
        self._tables: dict[np.dtype[Any], np.ndarray] = {
            np.dtype(np.uint16): basic.astype(np.uint16),
            np.dtype(np.uint32): table,
        }
        markup = _MARKUP if "html" in self._on else 0
        self._unprepared = _COMPOSING | markup | (_PRESENTED if "presentation" in self._on else 0)
        # How long a run of a character must be for all but its first to go; 0: as long as it likes.
        longest = np.zeros(UNICODE, dtype=np.uint8)
        if "elongation" in self._on:
            longest[_LETTERS] = 3
        if "punctuation" in self._on:
            longest[_REPEATED] = 2
        if "whitespace" in self._on:
            longest[ord(" ")] = 2
        self._longest = longest if longest.any() else None
        kinds = [kind for rule, kind in PRIVACY.items() if rule in self._on]
        self._scrub = Scrubber(kinds) if kinds else None
        folded = {
            PLACEHOLDERS[kind]: "".join(chr(table[ord(c)]) for c in PLACEHOLDERS[kind]) for kind in kinds
        }
        self._folded = {after: before for before, after in folded.items() if after != before}

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Normalise n texts, each to at most 18 times its length (ﷺ has 18 letters; shorter as a rule)."""
        result: list[str] = []
        for piece in _pieces(texts):
            done, unusual = self._once(piece)
            # A text that was more than mapped goes round again until nothing changes: a character
            # removed may have brought together what a rule looks for.
            while unusual:
                again, _ = self._once([done[row] for row in unusual])
                changed = [
                    (row, text) for row, text in zip(unusual, again, strict=True) if text != done[row]
                ]
                for row, text in changed:
                    done[row] = text
                unusual = [row for row, _ in changed]
            result += done
        return result

    def _once(self, texts: Sequence[str]) -> tuple[list[str], list[int]]:
        """Every rule once; and the rows on which once may not be enough."""
        codes, unusual = self._all_prepared(texts)
        codes = Codes(codes.look_up(self._tables[codes.values.dtype]), codes.offsets)
        dropped = codes.values == _DROP
        if dropped.any():
            codes = codes.keep(~dropped)
        if self._longest is not None:
            codes = self._shortened(codes, self._longest)
        result = codes.texts()
        if "whitespace" in self._on:
            result = [text.strip(" ") for text in result]
        # A rule for letters does not change a placeholder.
        for folded, placeholder in self._folded.items():
            for row in np.flatnonzero(codes.count(codes.values == ord("["))).tolist():
                result[row] = result[row].replace(folded, placeholder)
        if self._scrub:
            for row in np.flatnonzero(_suspects(codes)).tolist():
                scrubbed = self._scrub(result[row])
                if scrubbed != result[row]:
                    result[row] = scrubbed
                    unusual.append(row)
        # What a removed character kept apart may now be an entity, a tag, or a letter and a mark that
        # compose to a letter that a rule folds.
        for row in _rows_with(codes, self._unprepared):
            if self._prepared(result[row]) != result[row]:
                unusual.append(row)
        return result, unusual

    def _all_prepared(self, texts: Sequence[str]) -> tuple[Codes, list[int]]:
        """What `_prepared` makes of n texts; and the rows that it changed."""
        codes = Codes.of(texts)
        prepared, changed = list(texts), []
        for row in _rows_with(codes, self._unprepared):
            prepared[row] = self._prepared(texts[row])
            if prepared[row] != texts[row]:
                changed.append(row)
        return Codes.of(prepared) if changed else codes, changed

    def _prepared(self, text: str) -> str:
        """A text in NFC and without HTML or presentation forms."""
        if "html" in self._on and ("&" in text or "<" in text):
            text = _TAG.sub(" ", html.unescape(_AMPERSANDS.sub("&", text)))
        if "presentation" in self._on:
            text = text.translate(_PRESENTATION)
        return unicodedata.normalize("NFC", text)

    def _shortened(self, codes: Codes, longest: np.ndarray) -> Codes:
        """Shorten runs of one character to its first."""
        values = codes.values
        repeats = np.zeros(len(values) + 1, dtype=bool)
        np.equal(values[1:], values[:-1], out=repeats[1:-1])
        repeats[codes.offsets] = False
        where = np.flatnonzero(repeats)
        allowed = np.take(longest, values[where])
        # Next to another repeat is to be in a run of three or more.
        of_three = repeats[where - 1] | repeats[where + 1]
        drop = where[(allowed == 2) | ((allowed == 3) & of_three)]
        if not len(drop):
            return codes
        keep = np.ones(len(values), dtype=bool)
        keep[drop] = False
        return codes.keep(keep)


def _pieces(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start = total = 0
    for row, text in enumerate(texts):
        total += len(text)
        if total >= _PIECE:
            yield texts[start : row + 1]
            start, total = row + 1, 0
    if start < len(texts):
        yield texts[start:]


# Vowels and finals that compose by rule, not by table.
_HANGUL = [*_range(0x1161, 0x1175), *_range(0x11A8, 0x11C2)]
_LETTER, _ARABIC, _DIGIT, _MARKUP, _PRESENTED, _COMPOSING = 1, 2, 4, 8, 16, 32


def _kinds_of_characters() -> np.ndarray:
    """What each character is, in bits of one byte."""
    table = np.zeros(UNICODE, dtype=np.uint8)
    for code in range(0x33480):  # beyond the last letter
        character = chr(code)
        if character.isalpha():
            table[code] |= _LETTER
        elif character.isdecimal():
            table[code] |= _DIGIT
        pair = unicodedata.decomposition(character).split()
        if len(pair) == 2 and "<" not in pair[0]:
            table[int(pair[1], 16)] |= _COMPOSING
        if unicodedata.combining(character) or not unicodedata.is_normalized("NFC", character):
            table[code] |= _COMPOSING
    for first, last in ((0x600, 0x6FF), (0x750, 0x77F), (0xFB50, 0xFEFC)):
        table[first : last + 1] |= (table[first : last + 1] & _LETTER) << 1
    table[_HANGUL] |= _COMPOSING
    table[[ord("<"), ord("&")]] |= _MARKUP
    table[list(_PRESENTATION)] |= _PRESENTED
    return table


_KINDS = _kinds_of_characters()


def _rows_with(codes: Codes, kinds: int) -> list[int]:
    """The texts with a character of one of `kinds`."""
    found = codes.look_up(_KINDS) & kinds > 0
    return np.flatnonzero(codes.count(found)).tolist() if found.any() else []


def _suspects(codes: Codes) -> np.ndarray:
    """Which texts may hold something private (n,), by what `Scrubber` says of the least it needs."""
    values = codes.values
    digits = codes.count(codes.look_up(_KINDS) & _DIGIT > 0)
    sign = values == ord("@")
    # The second slash of ://, the slash of a host's name, the second w of www.
    before, here = values[:-1] | 0x20, values[1:] | 0x20
    letter = (before >= ord("a")) & (before <= ord("z"))
    sign[1:] |= (values[1:] == ord("/")) & (letter | (values[:-1] == ord("/")))
    sign[1:] |= (before == ord("w")) & (here == ord("w"))
    return (digits >= 6) | (codes.count(sign) > 0)


def arabic_shares(texts: Sequence[str]) -> np.ndarray:
    """The share of Arabic letters among the letters of each of n texts, (n,); 0 where it has no letter."""
    shares = [np.zeros(0)]
    for piece in _pieces(texts):
        codes = Codes.of(piece)
        kinds = codes.look_up(_KINDS)
        letters, arabic = codes.count(kinds & _LETTER > 0), codes.count(kinds & _ARABIC > 0)
        shares.append(np.divide(arabic, letters, out=np.zeros(len(piece)), where=letters > 0))
    return np.concatenate(shares)
