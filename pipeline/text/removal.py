"""What takes the place of characters that go, so that no two numbers and no two words become one."""

import numpy as np

from pipeline.text.characters import (
    ARABIC,
    DIACRITICS,
    DROP,
    INVISIBLE,
    KINDS,
    LETTER,
    NUMERIC,
    POINTS,
    SEPARATING,
    TATWEEL,
)
from pipeline.text.codes import UNICODE, Codes

_NEGATIONS = frozenset(
    [
        *(
            "لا",
            "ما",
            "مش",
            "مو",
            "مب",
            "موب",
            "ليس",
            "ليست",
            "لست",
            "لم",
            "لن",
            "غير",
            "بدون",
            "بلا",
            "دون",
        ),
        *("مافي", "مافيه", "مافيش", "مفيش", "ماكو"),
    ]
)
_LONGEST_NEGATION = 1 + max(map(len, _NEGATIONS))
_MOST_MARKS = 8  # on one letter
_NOTHING = 0  # the code that stands for the end of a text
_SPACE, _DASH = ord(" "), ord("-")
_WORD = LETTER | NUMERIC
# The parts that characters play here, as bits.
_MARK, _INVISIBLE, _SEPARATING, _TATWEEL, _POINT, _LINE = 1, 2, 4, 8, 16, 32
_PARTS = np.zeros(UNICODE, dtype=np.uint8)
_PARTS[DIACRITICS] = _MARK
_PARTS[INVISIBLE] = _INVISIBLE
_PARTS[SEPARATING] |= _SEPARATING
_PARTS[TATWEEL] = _TATWEEL
_PARTS[POINTS] = _POINT
_PARTS[list(map(ord, "-–—~"))] = _LINE


def without_dropped(codes: Codes, original: np.ndarray) -> Codes:
    """Take out the code points that a rule drops, and part what would otherwise become one.

    - Tatweel between two numbers, or that touches no Arabic letter, is a dash: 1ـ2 becomes 1-2.
    - Between two numbers anything else becomes a space.
    - Tatweel between a number and a letter after it becomes a space.
    - An invisible character at which letters do not join becomes a space between words; so does any other
      after a word of negation.

    Args:
        codes: the texts, with `DROP` for what goes.
        original: (total,), the code points before any rule.
    """
    where = np.flatnonzero(codes.values == DROP)
    if not len(where):
        return codes
    limits = np.zeros(len(codes.values) + 1, dtype=bool)
    limits[codes.offsets] = True
    # Runs of dropped code points, each within one text.
    first = np.ones(len(where), dtype=bool)
    first[1:] = (np.diff(where) != 1) | limits[where[1:]]
    heads = np.flatnonzero(first)
    runs = _Runs(
        values=codes.values,
        limits=limits,
        starts=where[heads],
        ends=where[np.append(heads[1:], len(where)) - 1] + 1,
        dropped=np.bitwise_or.reduceat(_PARTS[original[where]], heads),
    )
    dash = runs.dashes()
    space = runs.spaces() & ~dash
    values = codes.values.copy()
    values[runs.starts[space]] = _SPACE
    values[runs.starts[dash]] = _DASH
    return Codes(values, codes.offsets).keep(values != DROP)


class _Runs:
    """n runs of dropped code points and their neighbours.

    Args:
        values: (total,), all code points.
        limits: (total + 1,), where a text starts, or the last ends.
        starts, ends: (n,), of the runs.
        dropped: (n,), the parts of what they consist of.
    """

    def __init__(
        self,
        values: np.ndarray,
        limits: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
        dropped: np.ndarray,
    ) -> None:
        self.starts, self._values, self._limits, self._dropped = starts, values, limits, dropped
        self._letter, self._second = self._two_before()
        after = np.where(limits[ends], _NOTHING, values[np.minimum(ends, len(values) - 1)])
        self._before, self._after = KINDS[self._letter], KINDS[after]
        self._part_before, self._part_after = _PARTS[self._letter], _PARTS[after]

    def _two_before(self) -> tuple[np.ndarray, np.ndarray]:
        """The last code point before each run that is neither mark nor invisible, and the one before it.

        `_NOTHING` beyond the text or another run.
        """
        at, outside = np.maximum(self.starts - 1, 0), self._limits[self.starts]
        for _ in range(_MOST_MARKS):
            marks = ~outside & (_PARTS[self._values[at]] & (_MARK | _INVISIBLE) > 0)
            if not marks.any():
                break
            outside |= marks & self._limits[at]
            at = np.maximum(at - marks, 0)
        found = []
        for _ in range(2):
            code = np.where(outside, _NOTHING, self._values[at])
            found.append(np.where(code == DROP, _NOTHING, code))
            outside = outside | self._limits[at] | (code == DROP)
            at = np.maximum(at - 1, 0)
        return found[0], found[1]

    def dashes(self) -> np.ndarray:
        """Whether a run is a dash, (n,): tatweel that stretches no letter and has no dash beside it."""
        tatweel = self._dropped & _TATWEEL > 0
        if not tatweel.any():
            return tatweel
        # الـ5, هـ1442: an article, or a letter alone, goes with the number; حباتـ6 is a range.
        second = self._second
        article = (self._letter == ord("ل")) & ((second == ord("ا")) | (second == ord("ل")))
        alone = (KINDS[second] & _WORD == 0) & (_PARTS[second] & _MARK == 0)
        arabic = self._before & ARABIC > 0
        number_after = self._after & NUMERIC > 0
        stretched = arabic & ~number_after
        joined = (arabic & (article | alone)) | (self._after & ARABIC > 0)
        dash_beside = (self._part_before | self._part_after) & _LINE > 0
        dash: np.ndarray = tatweel & ~stretched & ~joined & ~dash_beside
        return dash

    def spaces(self) -> np.ndarray:
        """Whether a run that is no dash parts what stands around it, (n,)."""
        number_before, number_after = self._before & NUMERIC > 0, self._after & NUMERIC > 0
        parted: np.ndarray = number_before & number_after
        tatweel = self._dropped & _TATWEEL > 0
        if tatweel.any():
            foreign = (self._before & _WORD > 0) & (self._before & ARABIC == 0)
            parted |= tatweel & foreign & (self._after & LETTER > 0)
        invisible = self._dropped & _INVISIBLE > 0
        if invisible.any():
            words = (self._before & _WORD > 0) & (self._after & _WORD > 0)
            decimal = (number_before & (self._part_after & _POINT > 0)) | (
                number_after & (self._part_before & _POINT > 0)
            )
            parted |= (self._dropped & _SEPARATING > 0) & (words | decimal)
            word = (self._before & ARABIC > 0) & (self._after & _WORD > 0)
            for run in np.flatnonzero(invisible & word & ~parted).tolist():
                parted[run] = self._after_negation(run, parted)
        return parted

    def _after_negation(self, run: int, parted: np.ndarray) -> bool:
        """Whether the word before a run is one of negation, also with و or ف before it."""
        word = ""
        at = int(self.starts[run])
        while not self._limits[at] and len(word) <= _LONGEST_NEGATION:
            at -= 1
            code = int(self._values[at])
            if code == DROP:
                run -= 1
                if parted[run]:
                    break
                at = int(self.starts[run])
            elif _PARTS[code] & (_MARK | _TATWEEL):
                continue
            elif KINDS[code] & LETTER:
                word = chr(code) + word
            else:
                break
        return word in _NEGATIONS or (word[:1] in ("و", "ف") and word[1:] in _NEGATIONS)
