"""Which of many texts may have an introduced name, so that the search for names reads few of them."""

from functools import cache

import numpy as np

from pipeline.text.codes import UNICODE, Codes
from pipeline.text.names import LETTERS, folded, triggers

_BITS = 20
# Odd numbers that spread over the table what a word is told by: its first four letters, its last two, its
# length.
_FIRST = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F)
_LAST = (0x165667B1, 0xD3A2646D)
_LENGTH = 0xFD7046C5


def may_have_names(codes: Codes) -> np.ndarray:
    """Which texts have a word that every introduced name needs, (n,) bool; a few others are let through."""
    letters, table = _tables()
    found = np.zeros(len(codes.offsets) - 1, dtype=bool)
    kinds = np.zeros(len(codes.values) + 1, dtype=np.uint8)
    kinds[:-1] = codes.look_up(letters)
    inside = kinds > 0
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    begins[codes.offsets] = inside[codes.offsets]
    starts = np.flatnonzero(begins)
    if not len(starts):
        return found
    closes = inside[:-1] & ~inside[1:]
    closes[codes.offsets[1:-1] - 1] |= inside[codes.offsets[1:-1] - 1]
    ends = np.flatnonzero(closes)
    hits = starts[table[_key(kinds, starts, ends)]]
    found[np.searchsorted(codes.offsets, hits, side="right") - 1] = True
    return found


def _key(kinds: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """A number below 2^20 for each of n words, (n,), of its ends (inclusive) and some letters."""
    key: np.ndarray = (ends - starts).astype(np.uint32) * np.uint32(_LENGTH)
    for place, factor in enumerate(_FIRST):
        key ^= kinds[np.minimum(starts + place, ends)] * np.uint32(factor)
    for place, factor in enumerate(_LAST):
        key ^= kinds[np.maximum(ends - place, starts)] * np.uint32(factor)
    key ^= key >> np.uint32(15)
    key *= np.uint32(_FIRST[0])
    key >>= np.uint32(32 - _BITS)
    return key


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """A number for each letter, equal where letters fold to one, 0 for others; and the triggers' keys."""
    letters = np.zeros(UNICODE, dtype=np.uint8)
    numbers: dict[str, int] = {}
    for code in range(0x600, 0x700):
        if LETTERS.match(chr(code)):
            letters[code] = numbers.setdefault(folded(chr(code)), len(numbers) + 1)
    words = Codes.of([word for word in triggers() if " " not in word])
    kinds = words.look_up(letters)
    table = np.zeros(1 << _BITS, dtype=bool)
    table[_key(kinds, words.offsets[:-1], words.offsets[1:] - 1)] = True
    return letters, table
