"""Runs of one character: what is repeated for emphasis goes, what spells a word or a number stays."""

import re
from dataclasses import dataclass

import numpy as np

from pipeline.text.characters import (
    COMPOSING,
    DIGIT,
    KINDS,
    LETTER,
    LETTERS,
    REPEATED_MARKS,
    SIGNS_AFTER_DIGITS,
    SIGNS_BEFORE_DIGITS,
    SPACE,
)
from pipeline.text.codes import UNICODE, Codes

_LETTER, _MARK, _BLANK = 1, 2, 3
_BEFORE_DIGITS, _AFTER_DIGITS = 1, 2
_SIGNS = np.zeros(UNICODE, dtype=np.uint8)
_SIGNS[SIGNS_BEFORE_DIGITS] |= _BEFORE_DIGITS
_SIGNS[SIGNS_AFTER_DIGITS] |= _AFTER_DIGITS
_SPACES_PASSED = 8  # between a mark and a number
# Letters with which words truly begin twice (ممكن, للعلاج; الله after its alef) or three times (تتتابع),
# and what may stand before them at the start of a word.
_ALEFS = "اأإآٱ"
_BEFORE = {
    "م": frozenset(["", "و", "ف", "ب", "ل", "ال", "وال", "بال", "فال"]),
    "ل": frozenset(["", "و", "ف", *(f"{joined}{alef}" for joined in ("", *"وفبكهي") for alef in _ALEFS)]),
    "ت": frozenset(f"{joined}{particle}" for joined in ("", *"وف") for particle in ("", *"سلبه")),
}
# Words that have a letter twice elsewhere.
_DOUBLED = re.compile(
    "[وفبلك]?(?:ال|لل)?(?:ضرر|متضرر|تضرر|[ميت]?سبب|تسبب|خلل|ملل|شلل|بلل|علل|[مت]?عدد|متعدد|قصص|حصص|تسمم|تحسس"
    "|[مت]?تخصص|[مت]?تردد|[ميت]?تكرر|تشقق|[مت]?تمدد|محدد|مشدد|[مت]?تجدد|تحلل|مخفف|مهدد|مبرر|مقرر|مخطط"
    "|[مت]?تفتت|[مت]?تشتت)(?:ا|ه|ة|ها|ي|ين|ات)?"
)
_LONGEST_WORD = 12
_VOWELS = list(map(ord, "اويى"))
# These never begin with the letter twice: they are the negations, stressed.
_ONCE = frozenset(
    f"{joined}{word}" for joined in ("", *"وف") for word in ("لا", "لم", "لن", "ما", "مش", "مو", "مب")
)


class Shortener:
    """Shortens runs of letters, of marks and of spaces, each where its rule is on."""

    def __init__(self, *, letters: bool, marks: bool, spaces: bool) -> None:
        kinds = np.zeros(UNICODE, dtype=np.uint8)
        if letters:
            kinds[LETTERS] = _LETTER
        if marks:
            kinds[REPEATED_MARKS] = _MARK
        if spaces:
            kinds[ord(" ")] = _BLANK
        self._kinds = kinds if kinds.any() else None

    def __call__(self, codes: Codes) -> Codes:
        """Shorten every run.

        - Spaces: to one.
        - Marks: to one; but to two before a number, as 2..3 is no 2.3, and quotation marks after one.
        - Letters: three or more to one; to two where the run is the whole word (laughter), and where a word
          truly has two: ممكن, الله, للعلاج, ضرر. ت may stand at its start three times: تتتابع.
        """
        if self._kinds is None:
            return codes
        values = codes.values
        repeats = np.zeros(len(values) + 1, dtype=bool)
        np.equal(values[1:], values[:-1], out=repeats[1:-1])
        repeats[codes.offsets] = False
        where = np.flatnonzero(repeats)
        kinds = np.take(self._kinds, values[where])
        where, kinds = where[kinds > 0], kinds[kinds > 0]
        if not len(where):
            return codes
        heads = np.flatnonzero(~repeats[where - 1])
        starts = where[heads] - 1
        lengths = np.diff(np.append(heads, len(where))) + 1
        kept = _kept(codes, starts, lengths, kinds[heads])
        if (kept == lengths).all():
            return codes
        keep = np.ones(len(values), dtype=bool)
        keep[where[where - np.repeat(starts, lengths - 1) >= np.repeat(kept, lengths - 1)]] = False
        return codes.keep(keep)


def _kept(codes: Codes, starts: np.ndarray, lengths: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """How many characters stay of each of n runs, (n,)."""
    kept = np.ones(len(starts), dtype=np.int64)
    # The text of each run, which is not looked out of.
    texts = np.searchsorted(codes.offsets, starts, side="right")
    runs = _Runs(codes.values, starts, lengths, codes.offsets[texts - 1], codes.offsets[texts])
    marks = np.flatnonzero(kinds == _MARK)
    if len(marks):
        kept[marks] += runs.of(marks).beside_numbers()
    letters = kinds == _LETTER
    kept[letters] = lengths[letters]
    stretched = np.flatnonzero(letters & (lengths >= 3))
    if len(stretched):
        kept[stretched] = runs.of(stretched).letters_kept()
    return kept


@dataclass(frozen=True)
class _Runs:
    """n runs of one character.

    Attributes:
        values: (total,), the code points of all texts.
        starts, lengths: (n,), of the runs.
        first, end: (n,), where the text of each run starts and ends.
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    first: np.ndarray
    end: np.ndarray

    def of(self, rows: np.ndarray) -> "_Runs":
        return _Runs(self.values, self.starts[rows], self.lengths[rows], self.first[rows], self.end[rows])

    def _code(self, at: np.ndarray) -> np.ndarray:
        """The code points at `at` (n,), 0 outside the text."""
        inside = (self.first <= at) & (at < self.end)
        codes: np.ndarray = np.where(inside, self.values[np.clip(at, 0, len(self.values) - 1)], 0)
        return codes

    def beside_numbers(self) -> np.ndarray:
        """Whether one of the marks alone would be a sign of the number beside it, (n,) boolean."""
        marks = self.values[self.starts]
        at = self.starts + self.lengths
        for _ in range(_SPACES_PASSED):
            spaces = KINDS[self._code(at)] & SPACE > 0
            if not spaces.any():
                break
            at = at + spaces
        before, after = KINDS[self._code(self.starts - 1)], KINDS[self._code(at)]
        signs = _SIGNS[marks]
        beside: np.ndarray = ((signs & _BEFORE_DIGITS > 0) & (after & DIGIT > 0)) | (
            (signs & _AFTER_DIGITS > 0) & (before & DIGIT > 0)
        )
        return beside

    def letters_kept(self) -> np.ndarray:
        """How many letters stay of runs of three or more, (n,)."""
        word = LETTER | COMPOSING
        before = KINDS[self._code(self.starts - 1)] & word
        after = KINDS[self._code(self.starts + self.lengths)] & word
        kept: np.ndarray = 1 + ((before == 0) & (after == 0)).astype(np.int64)
        letters = self.values[self.starts]
        for run in np.flatnonzero((kept == 1) & ~np.isin(letters, _VOWELS)).tolist():
            kept[run] = self._kept_in_word(run)
        return kept

    def _kept_in_word(self, run: int) -> int:
        start, letter = int(self.starts[run]), chr(self.values[self.starts[run]])
        before = self._before(start, int(self.first[run]))
        after = self._after(start + int(self.lengths[run]), int(self.end[run]))
        if after and before in _BEFORE.get(letter, ()) and before + letter + after not in _ONCE:
            return 3 if letter == "ت" and self.lengths[run] == 3 else 2
        return 2 if _DOUBLED.fullmatch(before + 2 * letter + after) else 1

    def _after(self, start: int, end: int) -> str:
        """What stands after a run in its word, as much as is of interest."""
        found = ""
        for code in self.values[start : min(start + _LONGEST_WORD, end)].tolist():
            if not KINDS[code] & (LETTER | COMPOSING):
                break
            found += chr(code)
        return found

    def _before(self, end: int, first: int) -> str:
        """What stands before `end` in its word, of stretched letters one, and as much as is of interest."""
        found = ""
        at = end - 1
        while at >= first and KINDS[self.values[at]] & (LETTER | COMPOSING):
            letter = chr(self.values[at])
            stretch = at
            while stretch > first and self.values[stretch - 1] == self.values[at]:
                stretch -= 1
            found = letter * (1 if at - stretch >= 2 else at - stretch + 1) + found
            if len(found) > _LONGEST_WORD:
                break
            at = stretch - 1
        return found
