"""Which complaints raters compare, in which order, and which letter stands for which answer."""

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Where one severity has too few complaints, the others fill up in this order.
PRIORITY = ("critical", "neutral", "non_critical")
LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Answer:
    """An answer of a complaint.

    Attributes:
        arm: whose it is, or `reference`.
        seed: of the training; None where there was none.
        text: what it says, with invisible characters named.
        digest: of what the model gave, see `answer_digest`.
    """

    arm: str
    seed: int | None
    text: str
    digest: str


@dataclass(frozen=True)
class Complaint:
    """A test complaint with one answer of each arm, in the order of the arms.

    Attributes:
        id: of the pair.
        group: of its near duplicates.
        severity: of `SEVERITIES`; by_people: whether people gave it.
        text: what the patient wrote.
    """

    id: str
    group: str
    severity: str
    by_people: bool
    text: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Item:
    """A complaint as a rater sees it.

    Attributes:
        name: drawn at random; a repeat has another than the first.
        repeat_of: the name of the first, for one that is shown again.
        letters: the answer that each letter stands for.
    """

    name: str
    complaint: Complaint
    letters: Mapping[str, Answer]
    repeat_of: str | None

    def key(self) -> dict[str, Any]:
        """What the key says of it."""
        return {
            "item": self.name,
            "id": self.complaint.id,
            "severity": self.complaint.severity,
            "by_people": self.complaint.by_people,
            "repeat_of": self.repeat_of,
            "letters": {
                letter: {"arm": answer.arm, "seed": answer.seed, "answer": answer.digest}
                for letter, answer in self.letters.items()
            },
        }


def choose_complaints(
    complaints: Iterable[Complaint], rows: int, shares: Mapping[str, float], seed: int
) -> list[Complaint]:
    """A random choice of complaints, no two of which are near duplicates.

    Args:
        rows: how many; all where there are fewer.
        shares: of each severity, summing to 1. What one lacks comes from the others, in the order of
            `PRIORITY`.
        seed: another seed, another choice.
    """
    waiting = sorted(complaints, key=lambda complaint: complaint.id)
    random.Random(f"{seed}/complaints").shuffle(waiting)
    alone = {complaint.group: complaint for complaint in reversed(waiting)}
    by_severity = {
        name: [each for each in waiting if each.severity == name and alone[each.group] is each]
        for name in PRIORITY
    }
    sizes = {name: len(each) for name, each in by_severity.items()}
    counts = _counts(rows, shares, sizes)
    return [complaint for name in PRIORITY for complaint in by_severity[name][: counts[name]]]


def rater_items(complaints: Sequence[Complaint], repeats: int, seed: int, rater: str) -> list[Item]:
    """The complaints in the order and under the letters in which a rater sees them.

    The order is random. An item that is shown again is of the first half, and at least a quarter of the
    complaints lie between the two. Over the items of each severity, and over the repeats, every arm has
    every letter equally often, as far as their number allows; which it has in one item tells nothing of the
    next.

    Args:
        complaints: n complaints.
        repeats: how many are shown again, n / 2 at most.
        seed: another seed, other orders.
        rater: another rater, another order.
    """
    chance = random.Random(f"{seed}/{rater}")
    order = chance.sample(complaints, len(complaints))
    names = [f"q{number}" for number in chance.sample(range(10_000, 100_000), len(order) + repeats)]
    letters = {
        name: _letterings([each for each in order if each.severity == name], chance) for name in PRIORITY
    }
    firsts = [
        Item(name, each, next(letters[each.severity]), None)
        for name, each in zip(names, order, strict=False)
    ]
    again = sorted(chance.sample(range((len(order) + 1) // 2), repeats))
    places = _places(again, len(order), chance)
    lettered = _letterings([order[place] for place in again], chance)
    repeated = [
        Item(name, order[place], letters, firsts[place].name)
        for name, place, letters in zip(names[len(order) :], again, lettered, strict=True)
    ]
    waiting = iter(firsts)
    at = dict(zip(places, repeated, strict=True))
    return [at[place] if place in at else next(waiting) for place in range(len(names))]


def differ(answers: Iterable[Answer]) -> bool:
    """Whether no two answers are the same to a reader, who does not see how much white space there is."""
    seen = Counter(" ".join(answer.text.split()) for answer in answers)
    return max(seen.values()) == 1


def _counts(rows: int, shares: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, int]:
    """How many complaints of each severity: by the largest remainders, as many as there are."""
    wanted = {name: int(rows * shares[name]) for name in PRIORITY}
    by_remainder = sorted(PRIORITY, key=lambda name: wanted[name] - rows * shares[name])
    for name in itertools.islice(itertools.cycle(by_remainder), rows - sum(wanted.values())):
        wanted[name] += 1
    counts = {name: min(wanted[name], sizes[name]) for name in PRIORITY}
    for name in PRIORITY:
        counts[name] += min(rows - sum(counts.values()), sizes[name] - counts[name])
    return counts


def _letterings(complaints: Sequence[Complaint], chance: random.Random) -> Iterator[dict[str, Answer]]:
    """For each complaint its answers by letter: rotations of random orders, which balance letters."""
    orders: list[list[int]] = []
    arms = len(complaints[0].answers) if complaints else 0
    while len(orders) < len(complaints):
        first = chance.sample(range(arms), arms)
        rotations = [first[place:] + first[:place] for place in range(arms)]
        # Of the last ones only some are needed.
        orders += chance.sample(rotations, min(arms, len(complaints) - len(orders)))
    chance.shuffle(orders)
    for complaint, order in zip(complaints, orders, strict=True):
        yield {LETTERS[letter]: complaint.answers[arm] for letter, arm in enumerate(order)}


def _places(again: Sequence[int], count: int, chance: random.Random) -> list[int]:
    """Where in the whole the items come that are shown again, in the order of the first ones.

    Args:
        again: the places of the first ones among `count`, rising, all in the first half.
    """
    half, total = (count + 1) // 2, count + len(again)
    while True:
        places = sorted(chance.sample(range(half, total), len(again)))
        if all(place - first > count // 4 for first, place in zip(again, places, strict=True)):
            return places
