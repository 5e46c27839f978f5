"""Arabic normalisation as named rules, on many texts at once.

`normalise.rules_off` in params.yaml lists rules that do not apply. Whatever the rules, `Normaliser` accepts
any string (lone surrogates included), is idempotent, and returns texts that UTF-8 can hold.
"""

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.text.characters import (
    ARABIC,
    COMPOSING,
    DIGIT,
    DROP,
    KINDS,
    LETTER,
    MAPS,
    MARKUP,
    PRESENTATION,
    PRESENTED,
    SURROGATES,
)
from pipeline.text.codes import UNICODE, Codes
from pipeline.text.markup import without_markup
from pipeline.text.name_filter import may_have_names
from pipeline.text.privacy import PLACEHOLDERS, Scrubber
from pipeline.text.removal import without_dropped
from pipeline.text.repeats import Shortener

# Rules in the order in which they apply: those of PRIVACY last, since a number with wide gaps is one too.
PRIVACY = {"links": "link", "emails": "email", "phones": "phone", "ids": "id", "names": "name"}
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

# Characters of one piece of work: as many as stay in the processor's cache.
_PIECE = 60_000


class Normaliser:
    """A set of rules made ready to run on many texts.

    The rules, in the order in which they apply (text is first brought to Unicode's composed
    form, NFC, always):

    - html: entities become their character, tags a space
    - presentation: positional forms and ligatures (U+FB50–FDFF, U+FE70–FEFE) become their letters
    - invisible: control, zero-width and bidirectional characters go, or part words (`removal.py`)
    - diacritics: harakat, tanwin, shadda, sukun and Quranic marks go
    - tatweel: the stretching character ـ goes; where it stretches no letter it is a dash
    - lookalikes: Persian, Urdu and Kurdish letters become the Arabic letter they stand for (ک to ك, ی to ي)
    - alef: أ إ آ ٱ become ا
    - ya: ى becomes ي
    - ta_marbuta: ة becomes ه
    - digits: Arabic-Indic and Persian digits become 0–9, ٫ a point, ٬ a comma, ٪ a percent sign
    - punctuation: a mark written several times becomes one (؟؟؟ to ؟), two before a number (`repeats.py`)
    - elongation: a letter written three or more times becomes one (كتييير to كتير), or two (ممممكن to ممكن)
    - whitespace: any run of white space becomes one space, none at either end
    - links, emails, phones, ids, names: become placeholders (`pipeline/text/privacy.py`), which no rule
      changes
    """

    def __init__(self, off: Collection[str] = ()) -> None:
        """Take the rules of `RULES` that do not apply.

        Raises:
            ValueError: a rule is unknown.
        """
        unknown = sorted(set(off) - set(RULES))
        if unknown:
            raise ValueError(f"no rule of normalisation: {', '.join(unknown)}")
        self._on = {rule for rule in RULES if rule not in off}
        table = np.arange(UNICODE, dtype=np.uint32)
        table[SURROGATES] = ord("\N{REPLACEMENT CHARACTER}")
        basic = table[:0x10000]  # every rule's characters lie in the basic plane
        for rule in RULES:
            if rule in self._on:
                for code, character in MAPS.get(rule, {}).items():
                    # Characters that an earlier rule has turned into `code` follow it.
                    basic[basic == code] = ord(character) if character else DROP
        self._tables: dict[np.dtype[Any], np.ndarray] = {
            np.dtype(np.uint16): basic.astype(np.uint16),
            np.dtype(np.uint32): table,
        }
        markup = MARKUP if "html" in self._on else 0
        self._unprepared = COMPOSING | markup | (PRESENTED if "presentation" in self._on else 0)
        self._shortened = Shortener(
            letters="elongation" in self._on,
            marks="punctuation" in self._on,
            spaces="whitespace" in self._on,
        )
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
            # A text in which more than single characters changed is normalised again until nothing changes:
            # a removed character may have brought together what a rule looks for.
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
        """Apply every rule once.

        Returns:
            The texts; and the rows on which the rules must be applied again.
        """
        codes, unusual = self._all_prepared(texts)
        mapped = codes.look_up(self._tables[codes.values.dtype])
        codes = self._shortened(without_dropped(Codes(mapped, codes.offsets), codes.values))
        result = codes.texts()
        if "whitespace" in self._on:
            result = [text.strip(" ") for text in result]
        # A rule for letters does not change a placeholder.
        for folded, placeholder in self._folded.items():
            for row in np.flatnonzero(codes.count(codes.values == ord("["))).tolist():
                result[row] = result[row].replace(folded, placeholder)
        if self._scrub:
            suspects = _suspects(codes)
            if "names" in self._on:
                suspects |= may_have_names(codes)
            for row in np.flatnonzero(suspects).tolist():
                scrubbed = self._scrub(result[row])
                if scrubbed != result[row]:
                    result[row] = scrubbed
                    unusual.append(row)
        # Where a character was removed, its neighbours may now form an entity, a tag, or a letter and a
        # mark that compose to a letter that a rule folds.
        for row in _rows_with(codes, self._unprepared):
            if self._prepared(result[row]) != result[row]:
                unusual.append(row)
        return result, unusual

    def _all_prepared(self, texts: Sequence[str]) -> tuple[Codes, list[int]]:
        """Apply `_prepared` to n texts.

        Returns:
            The texts as code points; and the rows that were changed.
        """
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
            text = without_markup(text)
        if "presentation" in self._on:
            text = text.translate(PRESENTATION)
        return unicodedata.normalize("NFC", text)


def _pieces(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start = total = 0
    for row, text in enumerate(texts):
        total += len(text)
        if total >= _PIECE:
            yield texts[start : row + 1]
            start, total = row + 1, 0
    if start < len(texts):
        yield texts[start:]


def _rows_with(codes: Codes, kinds: int) -> list[int]:
    """The texts with a character of one of `kinds`."""
    mask = codes.look_up(KINDS) & kinds > 0
    return np.flatnonzero(codes.count(mask)).tolist() if mask.any() else []


def _suspects(codes: Codes) -> np.ndarray:
    """Which texts may hold personal details, (n,) bool: those that have the least that `Scrubber` needs."""
    values = codes.values
    digits = codes.count(codes.look_up(KINDS) & DIGIT > 0)
    sign = (values == ord("@")) | (values == ord("＠"))
    # The second slash of ://, the slash of a host's name, the second w of www.
    before, current = values[:-1] | 0x20, values[1:] | 0x20
    letter = codes.look_up(KINDS)[:-1] & LETTER > 0
    sign[1:] |= (values[1:] == ord("/")) & (letter | (values[:-1] == ord("/")))
    sign[1:] |= (before == ord("w")) & (current == ord("w"))
    return (digits >= 4) | (codes.count(sign) > 0)


def arabic_shares(texts: Sequence[str]) -> np.ndarray:
    """The share of Arabic letters among the letters of each of n texts, (n,); 0 where it has no letter."""
    shares = [np.zeros(0)]
    for piece in _pieces(texts):
        codes = Codes.of(piece)
        kinds = codes.look_up(KINDS)
        letters, arabic = codes.count(kinds & LETTER > 0), codes.count(kinds & ARABIC > 0)
        shares.append(np.divide(arabic, letters, out=np.zeros(len(piece)), where=letters > 0))
    return np.concatenate(shares)
