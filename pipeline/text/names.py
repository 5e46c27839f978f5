"""Finds personal names after the words that introduce them: اسمي, أنا, الدكتور, ابني, أم.

Precision goes first. A name counts if it is one of the given names of `names.yaml`; a given name that is a
word as well (سعيد, علي) only with a second name or after "name is". An unknown word counts only after "my
name is" and the like, and only where what follows ends the announcement.
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

import yaml

from pipeline.text.privacy_words import FOLD

DATA_FILES = ("names.yaml",)

_OWN = "اسمي|الاسم|اسم المريضه?|اسم الطفله?|اسم الحاله"
_NAMED = "اسمها?"
_RELATIVES = (
    "ابني|ابنتي|بنتي|ولدي|طفلي|طفلتي|زوجي|زوجتي|مراتي|جوزي|اخي|اخوي|اخويا|اختي|امي|ابي|ابوي|ابويا|والدي|والدتي"
    "|خالتي|عمتي|جدتي|جدي|خالي|عمي|صديقي|صديقتي|صاحبي|صاحبتي|حفيدي|حفيدتي|خطيبي|خطيبتي"
)
_SELVES = "انا|معك|معكم|معكي|معاك|معاكم|معاكي|اخوكم|اختكم|اخوك|اختك|ابنكم|ابنتكم|تحياتي|يا"
_TITLES = (
    "دكتوره?|دكتر|بروفيسور|بروفسور|طبيبه?|استاذه?|مهندسه?|شيخه?|سيده?|حاجه?|اخ|اخت|انسه|مدام|ممرضه?|كابتن"
    "|طفله?|مريضه?|مدعو"
)
_ENDINGS = "و?عمري|من|و?سني|و?عمرها?|و?ابلغ|متزوجه?|و?عندي"
_LETTERS = "\u0621-\u063a\u0641-\u064a\u066e-\u06d3"
LETTERS = re.compile(f"[{_LETTERS}]+")


def _spelled(words: str) -> str:
    """A pattern with every spelling of a letter that a rule may leave."""
    for letter, spellings in {"ا": "[اأإآ]", "ي": "[يى]", "ه": "[هة]", " ": r"\s"}.items():
        words = words.replace(letter, spellings)
    return words


_END = rf"(?![{_LETTERS}\d])"
_INTRODUCTION = re.compile(
    rf"(?<![\w\]])(?:[وفبلك]?(?:(?P<own>{_spelled(_OWN)})|(?P<named>{_spelled(_NAMED)})"
    rf"|(?P<self>(?:{_spelled(_RELATIVES)})(?:\s(?P<relative>{_spelled(_NAMED)}))?|{_spelled(_SELVES)})"
    rf"|(?P<title>(?:ال|لل)?(?:{_spelled(_TITLES)})|[اأ]\.د|د)){_END}"
    rf"|(?={_spelled('(?:ام|ابو)')}\s))"
)
_SIGN = re.compile(r"\s{0,2}[:/=-]\s{0,3}")
_GAPS = {
    "own": re.compile(
        rf"(?:\s{{1,2}}{_spelled('(?:هو|الكامل|الكريم)')}(?=[\s:]))?(?:\s{{0,2}}[:/،=-]\s{{0,3}}|\s{{1,3}})"
    ),
    "named": re.compile(r"\s{0,2}[:،]?\s{1,3}"),
    "self": re.compile(r"\s{0,2}[:،,]?\s{1,3}"),
    "title": re.compile(r"\s{0,2}[./]\s{0,3}|\s{1,3}"),
}
_WORD = re.compile(rf"([{_LETTERS}]+)(?:\s{{1,3}}(?=[{_LETTERS}]))?")
_ENDED = re.compile(rf"\s*(?:[^\w\s]|\Z|{_spelled(f'(?:{_ENDINGS})')}{_END})")
_BEGUN = re.compile(r"(?:\A|[^\w\s\]]\s*|\n)\Z")
_VITAMIN = re.compile(r"فيتامين\sد\Z")
_LINKS = frozenset(["بن", "ابن", "بنت", "ال"])
_PARENTS = frozenset(["ام", "ابو", "ابا", "ابي"])
_MOST_WORDS = 7
_NEAR = 60  # characters between an introduction and a trigger of the name


def find_names(text: str) -> list[tuple[int, int]]:
    """The start and end of every personal name, from left to right."""
    spans: list[tuple[int, int]] = []
    for match in _introductions(text):
        kind = "named" if match["relative"] else match.lastgroup or "parent"
        start = match.end()
        if kind != "parent":
            gap = _GAPS[kind].match(text, start)
            if gap is None:
                continue
            start = gap.end()
        elif not _BEGUN.search(text, max(start - 4, 0), start):
            continue
        vitamin = kind == "title" and _VITAMIN.search(text, max(match.start() - 10, 0), match.end())
        if vitamin or (spans and start < spans[-1][1]):
            continue
        announced = 0 if kind in ("self", "title", "parent") else 1
        if match["relative"] or (
            match["own"] and (match["own"][-1] in "يى" or _SIGN.match(text, match.end()))
        ):
            announced = 2
        end = _Words(text, start).name(announced)
        if end and (kind != "parent" or _ENDED.match(text, end)):
            spans.append((start, end))
    return spans


def _introductions(text: str) -> Iterator[re.Match[str]]:
    """Every introduction that stands not too far before a trigger, or is one."""
    done = 0
    for word in LETTERS.finditer(text):
        if folded(word[0]) in triggers():
            since, until = max(word.start() - _NEAR, done), word.end() + _NEAR
            for match in _INTRODUCTION.finditer(text, since, until):
                # At the limit a word may be cut.
                if match.end() < until or until >= len(text):
                    yield match
                    done = match.end()


class _Words:
    """The words from some place on, as far as white space alone parts them."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._words: list[str] = []
        self._ends: list[int] = []
        while len(self._words) < _MOST_WORDS and (match := _WORD.match(text, start)):
            self._words.append(folded(match[1]))
            self._ends.append(match.end(1))
            if match.end() == match.end(1):
                break
            start = match.end()

    def name(self, announced: int) -> int:
        """The end of the name that starts with the first word, 0 if none does.

        Args:
            announced: 2 where an unknown word may be one, 1 where a name that is a word as well may.
        """
        count = self._given(0)
        if not count and (self._in("ambiguous", 0) or (announced and self._in("second", 0))):
            count = self._extended(1)
            count = count if announced or count > 1 else 0
        elif not count and self._plain(0):
            if (self._at(1) in _LINKS and self._given(2)) or (announced == 2 and self._ended(0)):
                count = 1
            elif announced == 2 and self._plain(1) and self._ended(1):
                count = 2
        return self._ends[self._extended(count) - 1] if count else 0

    def _extended(self, count: int) -> int:
        """With the names and surnames that follow the first `count` words, how many."""
        while True:
            more = self._given(count)
            linked = self._at(count) in _LINKS and (self._plain(count + 1) or self._given(count + 1) > 0)
            if not more and linked:
                more = 2
            elif not more:
                second = (self._in("ambiguous", count) or self._in("second", count)) and self._last(count)
                more = int(second or self._surname(count))
            if not more:
                return count
            count += more

    def _given(self, index: int) -> int:
        """How many words the given name at `index` has, 0 for none."""
        word = self._at(index)
        if self._in("names", index):
            return 1
        if word == "عبد" and self._at(index + 1).startswith("ال") and len(self._at(index + 1)) > 3:
            return 2
        rest = self._given(index + 1) if word in _PARENTS else 0
        return rest + 1 if rest else 0

    def _surname(self, index: int) -> bool:
        word = self._at(index)
        if not word.startswith("ال") or self._in("not_names", index):
            return False
        named = any(word[2:] in _lists()[name] for name in ("names", "ambiguous", "second"))
        return named or (word.endswith("ي") and len(word) > 5)

    def _plain(self, index: int) -> bool:
        return len(self._at(index)) > 2 and not self._in("not_names", index)

    def _last(self, index: int) -> bool:
        follows = index + 1
        name = self._given(follows) > 0 or self._surname(follows)
        word = self._in("ambiguous", follows) or self._in("second", follows)
        return self._ended(index) or name or (word and self._last(follows))

    def _ended(self, index: int) -> bool:
        return index < len(self._ends) and _ENDED.match(self._text, self._ends[index]) is not None

    def _in(self, name: str, index: int) -> bool:
        return self._at(index) in _lists()[name]

    def _at(self, index: int) -> str:
        return self._words[index] if index < len(self._words) else ""


@lru_cache(maxsize=1 << 14)
def folded(word: str) -> str:
    """A word in one spelling."""
    return word.translate(FOLD)


@cache
def triggers() -> frozenset[str]:
    """The folded words of which every text with a name has one."""
    announcing = ("اسم", "اسمي", "اسمه", "اسمها", "الاسم")
    forms = {joined + word for joined in ("", *"وفبلك") for word in announcing}
    return _lists()["names"] | _lists()["ambiguous"] | forms | {"عبد"}


@cache
def _lists() -> dict[str, frozenset[str]]:
    content = yaml.safe_load(Path(__file__).with_name(DATA_FILES[0]).read_text(encoding="utf-8"))
    return {name: frozenset(map(folded, words)) for name, words in content.items()}
