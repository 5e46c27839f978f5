"""Finds phone and identity numbers in a text, by their form and by the words around them."""

import re
from collections.abc import Callable

from pipeline.text.privacy_dictated import dictated, dictated_mobile
from pipeline.text.privacy_forms import (
    ARAB_MOBILE,
    ID_AFTER_WORD,
    JOINS,
    MOBILES,
    MOST_GROUPS,
    PHONE_AFTER_WORD,
    QUANTITY,
    after_loose_plus,
    bare_mobile,
    double_zero,
    drug_code,
    emirates_id,
    international,
    local,
    nobodys,
    protected,
    short_id,
    split_groups,
    spread_mobile,
)
from pipeline.text.privacy_words import NO_CONTEXT, WINDOW, Context, has_unit, read_context

Span = tuple[int, int, str]  # start, end, kind

_PLUS = re.compile(r"(?<![A-Za-z\d])\(?\+ ?\(?\Z")
_LATIN = re.compile(r"(?<![A-Za-z])[A-Za-z]{1,2}\Z|[A-Za-z]_?\Z")
_GLUED = re.compile("_?[A-Za-z]")
_PUNCTUATION = " \u00a0\t\r\n:：=-–—.،,(/\\*+_>~\"'|\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2069"
# A group that lies in a link or an e-mail address; see `protected` for 1 and 2.
_TAKEN = 3
_IN_LIST = frozenset(" -.")
_WITHIN_CODE = frozenset("-._/")
_CODES_START = frozenset(code[:2] for code in MOBILES)


def find_numbers(text: str, taken: list[Span]) -> list[Span]:
    """Every phone and identity number outside the spans `taken` (sorted), from left to right."""
    return _Numbers(text, taken).find()


class _Numbers:
    """The search for numbers in one text."""

    def __init__(self, text: str, taken: list[Span]) -> None:
        self._text = text
        self._groups = split_groups(text)
        self._kept = protected(text, self._groups)
        self._spans: list[Span] = []
        # The digits of links and e-mail addresses are no numbers, and no number reaches back into one.
        self._floors: list[int] = []
        floor = 0
        spans = iter(taken)
        span = next(spans, None)
        for index, group in enumerate(self._groups):
            while span and span[1] <= group.start:
                floor = span[1]
                span = next(spans, None)
            self._floors.append(floor)
            if span and span[0] < group.end:
                self._kept[index] = _TAKEN

    def find(self) -> list[Span]:
        index = 0
        while index < len(self._groups):
            kept = self._kept[index]
            count = 0 if kept == _TAKEN else self._dictated(index)
            if not count and kept < 2:
                count = self._at(index)
            index += count or 1
        return self._spans

    def _dictated(self, index: int) -> int:
        """Find a dictated phone number, whatever values its digits would be alone."""
        count = dictated(self._text, self._groups, index)
        groups = self._groups[index : index + count]
        if not count or max(self._kept[index : index + count]) == _TAKEN or self._glued(index + count - 1):
            return 0
        floor = max(self._end(), self._floors[index])
        prefix = _PLUS.search(self._text, max(groups[0].start - 4, floor), groups[0].start)
        start = prefix.start() if prefix else groups[0].start
        digits = "".join(group.digits for group in groups)
        after_word = (
            7 <= len(digits) <= 15 and self._context(start).phone and not QUANTITY.fullmatch(digits)
        )
        if not after_word and not dictated_mobile(digits, plus=prefix is not None):
            return 0
        return self._take(index, 0 if self._unit(index + count - 1) else count, "phone", start)

    def _at(self, index: int) -> int:
        """Find a number that starts at a group, and say how many groups it takes; 0 where there is none."""
        group = self._groups[index]
        floor = max(self._end(), self._floors[index])
        prefix = _PLUS.search(self._text, max(group.start - 4, floor), group.start)
        if prefix:
            form = after_loose_plus if " " in prefix[0] else international
            return self._take(index, self._longest(index, form, dates=True), "phone", prefix.start())
        letter = _LATIN.search(self._text, max(group.start - 3, floor), group.start)
        context = self._context(letter.start() if letter else group.start)
        if context.product or (drug_code(self._groups[index : index + 3]) and not context.phone):
            return self._skip(index)
        if context.identity:
            count = self._longest(index, short_id if context.numbered else ID_AFTER_WORD, units=False)
            if count:
                return self._take(index, count, "id", letter.start() if letter else group.start)
        if letter:
            context = self._context(group.start)
            if not context.phone:
                return 0
        return self._phone(index, context) or (0 if context.code else self._identity(index))

    def _skip(self, index: int) -> int:
        """Pass the number of a product, with the groups that a sign joins to it (NDC 0093-7180-01)."""
        last = index
        while self._groups[last].gap in _WITHIN_CODE:
            last += 1
        return last + 1 - index

    def _phone(self, index: int, context: Context) -> int:
        group = self._groups[index]
        count = 0
        if group.digits.startswith("00"):
            count = self._longest(index, double_zero, dates=True)
        if not count and group.digits[0] == "0":
            count = self._longest(index, local) or self._longest(index, spread_mobile)
            if len(group.digits) == 2 and count >= 3 and self._in_list(index, index + count - 1):
                count = 0
        if not count and group.digits[:2] in _CODES_START:
            count = self._longest(index, bare_mobile)
        if not count and 10 <= len(group.digits) <= 15 and self._text[group.end : group.end + 1] == "+":
            count = int(group.digits.startswith(tuple(MOBILES)) or len(group.digits) > 10)
            count = 0 if QUANTITY.fullmatch(group.digits) else count
        if not count and context.phone:
            count = self._longest(index, PHONE_AFTER_WORD, units=False)
        # A longer one is found without the number before it.
        if not count and context.after_phone and len(group.digits) == 8:
            count = 0 if QUANTITY.fullmatch(group.digits) or self._unit(index) else 1
        return self._take(index, count, "phone", group.start)

    def _identity(self, index: int) -> int:
        group = self._groups[index]
        count = 0
        if group.digits == "784":
            count = self._longest(index, emirates_id)
        elif 9 <= len(group.digits) <= 16 and not QUANTITY.fullmatch(group.digits):
            spared = self._glued(index) or self._unit(index) or nobodys(group.digits)
            count = 0 if spared else 1
        return self._take(index, count, "id", group.start)

    def _take(self, index: int, count: int, kind: str, start: int) -> int:
        if count:
            end = self._groups[index + count - 1].end
            if self._text[end : end + 1] == "+" and kind == "phone":
                end += 1
            gaps = [group.gap for group in self._groups[index : index + count - 1]]
            opened = self._text[start - 1 : start] == "(" and start > max(self._end(), self._floors[index])
            if opened and ")" in gaps and "(" not in gaps:
                start -= 1
            self._spans.append((start, end, kind))
        return count

    def _longest(
        self,
        index: int,
        fits: Callable[[list[str], list[str]], bool],
        *,
        dates: bool = False,
        units: bool = True,
    ) -> int:
        """Count the groups of the longest number at `index` that `fits`, an Arab mobile number before all.

        Args:
            index: the first group.
            fits: says of the groups' digits and the gaps between them whether they make a number.
            dates: whether the number may hold what looks like a date parted by spaces ("+966 12 05 2021").
            units: whether a unit may follow.
        """
        parts: list[str] = []
        gaps: list[str] = []
        best = 0
        for at in range(index, min(index + MOST_GROUPS, len(self._groups))):
            group = self._groups[at]
            if self._kept[at] > dates:
                break
            parts.append(group.digits)
            if fits(parts, gaps) and not self._glued(at) and (units or not self._unit(at)):
                best = at + 1 - index
                if ARAB_MOBILE.fullmatch("".join(parts).removeprefix("00")):
                    break
            if group.gap not in JOINS:
                break
            gaps.append(group.gap)
        return best

    def _end(self) -> int:
        return self._spans[-1][1] if self._spans else 0

    def _context(self, start: int) -> Context:
        """The context of a number that starts at `start`, what was found before it being replaced."""
        since = max(start - WINDOW, self._end())
        before = self._text[since:start]
        last = before.rstrip(_PUNCTUATION)[-1:]
        if last:
            return read_context(before) if last.isalpha() or last in "]#" else NO_CONTEXT
        if self._spans and since == self._end():
            return Context(after_phone=self._spans[-1][2] == "phone")
        return NO_CONTEXT

    def _glued(self, index: int) -> bool:
        """Whether a Latin letter follows at once, as in a code."""
        return _GLUED.match(self._text, self._groups[index].end) is not None

    def _in_list(self, first: int, last: int) -> bool:
        """Whether what seems a number is only a part of a longer list of values.

        Of two neighbours each stops the other, for good: with a look to one side only, each pass of
        `Scrubber` could free only one number of a long list.
        """
        before = first > 0 and self._groups[first - 1].gap in _IN_LIST
        before = before and self._kept[first - 1] == 0 and self._groups[first - 1].end > self._end()
        return before or (self._groups[last].gap in _IN_LIST and self._kept[last + 1] == 0)

    def _unit(self, index: int) -> bool:
        end = self._groups[index].end
        return has_unit(self._text[end : end + 24])
