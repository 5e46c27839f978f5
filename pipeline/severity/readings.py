"""Readings in a complaint: a quantity by name, its number, and the severity that the bounds of it give.

`lexicon.yaml` has the quantities and the words around them, and explains each key. A number belongs to the
nearest quantity before it, where only words stand between that usually do (`fillers`), or to the one right
after it. So a dose, a phone number, a date or a duration is no reading: another word stands before it, or a
unit of another kind after it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.severity.quantities import read_section
from pipeline.severity.tokens import Token, Tokenizer
from pipeline.severity.word_forms import fold

FURTHEST = 7
"""Words between a quantity and its number, at most."""
_FOLLOWING = 6  # words after a number among which `unless_followed_by` is looked for
_STOPS = frozenset(".,;!?؟،؛\n")
_PAIR = frozenset(("/", "\\", *"-\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "علي", "ع", "عل"))


class Reading(NamedTuple):
    """What a reading is about, as `lexicon.yaml` has it, and its severity."""

    severity: str
    about: str


@dataclass
class _Before:
    """What stands before a number: the quantities named, a negation, "at most", "at least", words since."""

    named: Sequence[int] = ()
    negated: bool = False
    at_most: bool = False
    at_least: bool = False
    distance: int = 0


class Readings:
    """The quantities of a lexicon, made ready to be looked for in many texts."""

    def __init__(self, section: Any, path: Path) -> None:
        """Take the section `readings` of the lexicon at `path`.

        Raises:
            WaznError: a key of the section is missing, unknown, or of another type than it must have.
        """
        content = read_section(section, path)
        self._negations = frozenset(map(fold, content.negations))
        self._declines = _folded(content.declines)
        self._less, self._exceeds = _folded(content.less), _folded(content.exceeds)
        self._halves = frozenset(map(fold, content.halves))
        self._medicines = _folded(content.medicines)
        self._other_units = _folded(content.other_units)
        self._quantities = content.quantities
        self._units = [{fold(unit): factor for unit, factor in q.units.items()} for q in content.quantities]
        # Words that may stand between a quantity and its number.
        self._between = _folded(content.fillers).union(*self._units)
        self._contexts = [
            tuple(map(_folded, (q.when, q.unless, q.unless_after, q.unless_followed_by)))
            for q in content.quantities
        ]
        # Phrases by their first word, the longest first; each with the quantities that it names.
        phrases: dict[tuple[str, ...], list[int]] = {}
        for number, quantity in enumerate(content.quantities):
            for phrase in {tuple(fold(name).split()) for name in quantity.names}:
                phrases.setdefault(phrase, []).append(number)
        self._phrases: dict[str, list[tuple[tuple[str, ...], list[int]]]] = {}
        for phrase in sorted(phrases, key=len, reverse=True):
            self._phrases.setdefault(phrase[0], []).append((phrase, phrases[phrase]))
        words = {word for phrase in phrases for word in phrase}
        words |= (
            self._between
            | self._declines
            | self._less
            | self._exceeds
            | self._medicines
            | self._other_units
        )
        words |= {word for context in self._contexts for group in context for word in group}
        self._tokenizer = Tokenizer(words, content.number_words)

    def find(self, folded: str) -> list[Reading]:
        """The readings of a folded text that are beyond a bound, in the order of their numbers."""
        return list(self._find(self._tokenizer(folded))) if self._tokenizer.has_number(folded) else []

    def _find(self, tokens: Sequence[Token]) -> Iterator[Reading]:
        before = _Before()
        said = self._said(tokens)
        place = 0
        while place < len(tokens):
            token = tokens[place]
            size, quantities = self._name(tokens, place)
            if size:
                # "ابني" or "بعد الاكل" names what needs a unit, and leaves the name before it.
                adds = self._passes(token) and all(self._quantities[q].needs_unit for q in quantities)
                named = [*(before.named if adds else ()), *quantities]
                medicine = self._is_medicine(tokens, place)
                before = _Before(() if medicine else named, self._negated(tokens, place))
                place += size
            elif token.number is not None:
                previous = tokens[place - 1].words if place else frozenset()
                place, numbers = self._numbers(tokens, place)
                found = before.named or self._named_after(tokens, place)
                if not before.negated:
                    following = tokens[place : place + _FOLLOWING]
                    yield from self._judged(
                        found, previous, following, said, numbers, at_most=before.at_most
                    )
                before = _Before(before.named)
            else:
                self._pass(token, before)
                place += 1

    def _pass(self, token: Token, before: _Before) -> None:
        """Note what a word or mark that is no name says of the number after it."""
        if token.text in _STOPS:
            before.named, before.negated, before.at_most = (), False, False
        elif token.text in self._negations:
            before.negated = True
        elif token.text == "<" or not self._less.isdisjoint(token.words):
            before.at_most = not before.at_least
        elif not self._declines.isdisjoint(token.words):
            # What does not fall below a number is beyond it.
            before.at_least, before.negated = before.negated, False
        elif before.negated and not self._exceeds.isdisjoint(token.words):
            before.negated, before.at_most = False, True
        elif self._passes(token):
            before.distance += token.text.isalpha()
        else:
            before.named = ()
        if before.distance > FURTHEST:
            before.named = ()

    def _is_medicine(self, tokens: Sequence[Token], place: int) -> bool:
        """Whether the name at `place` says what a medicine is for ("حبوب السكر", "كونكور للضغط")."""
        if place == 0:
            return False
        before = tokens[place - 1]
        purpose = tokens[place].text.startswith("لل") and not self._passes(before)
        return purpose or not self._medicines.isdisjoint(before.words)

    def _negated(self, tokens: Sequence[Token], place: int) -> bool:
        """Whether a negation stands before the name at `place`, or one word further off."""
        before = [token for token in tokens[max(place - 2, 0) : place]][::-1]
        for token in before:
            if token.text in self._negations:
                return True
            if not self._passes(token) or not self._declines.isdisjoint(token.words):
                return False
        return False

    def _passes(self, token: Token) -> bool:
        """Whether a token may stand between a quantity and its number."""
        return not token.text.isalpha() or token.text in _PAIR or not self._between.isdisjoint(token.words)

    def _name(self, tokens: Sequence[Token], place: int) -> tuple[int, Sequence[int]]:
        """How many tokens from `place` on name quantities, 0 if they name none; and which quantities."""
        for word in sorted(tokens[place].words):
            for phrase, quantities in self._phrases.get(word, ()):
                following = tokens[place : place + len(phrase)]
                if len(following) == len(phrase) and all(
                    part in token.words for part, token in zip(phrase, following, strict=True)
                ):
                    return len(phrase), quantities
        return 0, ()

    def _numbers(self, tokens: Sequence[Token], place: int) -> tuple[int, list[float]]:
        """The place after the number at `place`; and the number, with its half, or both of a pair."""
        number = tokens[place].number or 0.0
        place += 1
        if place + 1 < len(tokens) and tokens[place].text in _PAIR:
            second = tokens[place + 1].number
            if second is not None:
                return place + 2, [number, second]
        for size in (1, 2):
            if "".join(token.text for token in tokens[place : place + size]) in self._halves:
                return place + size, [number + 0.5]
        return place, [number]

    def _named_after(self, tokens: Sequence[Token], place: int) -> Sequence[int]:
        """The quantities whose name follows the number that ends before `place` ("40 درجه حراره")."""
        start = place - 1
        furthest = max(start - 3, 0)  # a pair has three tokens
        while start > furthest and (
            tokens[start - 1].number is not None or tokens[start - 1].text in _PAIR
        ):
            start -= 1
        if start > 0 and not self._passes(tokens[start - 1]) and tokens[start - 1].text not in _STOPS:
            return ()
        if place < len(tokens) and self._units_at(tokens, place):
            place += 1 if not self._name(tokens, place)[0] else 0
        return self._name(tokens, place)[1] if place < len(tokens) else ()

    def _units_at(self, tokens: Sequence[Token], place: int) -> frozenset[str]:
        """The words that the token at `place` is a form of, if it may be a unit ("اليوم" is none)."""
        if place >= len(tokens) or tokens[place].text.startswith("ال"):
            return frozenset()
        return tokens[place].words

    def _judged(
        self,
        quantities: Sequence[int],
        previous: frozenset[str],
        following: Sequence[Token],
        said: frozenset[str],
        numbers: Sequence[float],
        *,
        at_most: bool,
    ) -> Iterator[Reading]:
        """The readings that a number, or a pair, may be; by the words around and in the text."""
        units = self._units_at(following, 0)
        for index in quantities:
            quantity, own = self._quantities[index], self._units[index]
            unit = next((unit for unit in sorted(units) if unit in own), None)
            if unit is None and (quantity.needs_unit or not self._other_units.isdisjoint(units)):
                continue
            when, unless, unless_after, unless_followed_by = self._contexts[index]
            if (when and when.isdisjoint(said)) or not unless.isdisjoint(said):
                continue
            if not unless_after.isdisjoint(previous):
                continue
            if any(not unless_followed_by.isdisjoint(token.words) for token in following):
                continue
            factor = 1.0 if unit is None else own[unit]
            severity = quantity.judged([number * factor for number in numbers], at_most=at_most)
            if severity:
                yield Reading(severity, quantity.about)

    def _said(self, tokens: Sequence[Token]) -> frozenset[str]:
        """The words of a text, without those right after a negation."""
        before = ["", *(token.text for token in tokens)]
        said = (
            token.words for word, token in zip(before, tokens, strict=False) if word not in self._negations
        )
        return frozenset().union(*said)


def _folded(words: Sequence[str]) -> frozenset[str]:
    return frozenset(map(fold, words))
