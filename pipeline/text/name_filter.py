"""Which of many texts may have an introduced name, so that the search for names reads few of them."""

from functools import cache

import numpy as np

from pipeline.text.codes import UNICODE, Codes
from pipeline.text.names import LETTERS, folded, triggers

_BITS = 20
# Odd numbers that spread what a word is told by over the table: letters 1, 2, 3, the last one, the length.
_SPREAD = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1], dtype=np.uint64)


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
    parts = (
        kinds[starts],
        kinds[np.minimum(starts + 1, ends)],
        kinds[np.minimum(starts + 2, ends)],
        kinds[ends],
    )
    key = (ends - starts).astype(np.uint64) * _SPREAD[4]
    for part, factor in zip(parts, _SPREAD, strict=False):
        key ^= part.astype(np.uint64) * factor
    key &= np.uint64(0xFFFFFFFF)
    place: np.ndarray = (key * _SPREAD[0] & np.uint64(0xFFFFFFFF)) >> np.uint64(32 - _BITS)
    return place


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
