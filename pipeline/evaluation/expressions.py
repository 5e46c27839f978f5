"""Lists of expressions that are looked for in answers: `urgency.yaml`, `reassurance.yaml`."""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.text.normalise import Normaliser

# The conditions that both lists know.
DATA_FILES = ("conditions.yaml",)
# Folding is for matching only and does not depend on the rules that a user switches on: the same answer
# counts the same under every setting. White space stays, as a line break ends a sentence.
_RULES_OFF = {"links", "emails", "phones", "ids", "names", "whitespace"}
_LETTERS = str.maketrans("ئؤ", "يو", "ء")
# "If": where the hamza tells it from "that", or after "and". Before a noun it means "indeed".
_IF = re.compile(r"(?<!\w)(?:([وف]?)إن|(و)ان)(?= (?!ال|هذ|ذلك|ما |شاء|علي|من |كل |لدي|كان هذ))")
_HAMZA = re.compile("[أإآ]")
_SENTENCE = re.compile(r"[^.!?؟;؛\n]+[.!?؟;؛\n]?")
_TOKEN = re.compile(r"\w+|[,،:]")

_LISTS = ("denied", "needless", "conditions", "conditions_after", "no_conditions", "calls_for", "unless")
_GAP = r"(?:\w+ ){0,4}"
_NOUN = "[وف]?(?:ال|لل|بال|عال|ب|ل|ع|ف)?"
_VERB = "[وف]?[لسهحبع]?[ايتن]"
_POSSESSIVE = "(?:ه|ها|هم|ك|كم|كي)?"
_ENDING = "(?:ي|و|وا|ه|ها|هم|ك|كم|يه|يها|وه|وها|وهم|ين|ون|ن)?"
_BEFORE = 20
"""Words before an expression among which a condition is looked for."""


class Expressions:
    """A list of expressions, as regular expressions over words that each have a space after them."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        """Take the content of a list as its file has it, and the conditions that all lists share."""
        words = {name: _folded(forms) for name, forms in content["words"].items()}
        lists = {name: _any(content.get(name, ())) for name in _LISTS}
        self._expressions = [
            re.compile(r"(?<= )" + _pattern(text, words)) for text in _folded(content["expressions"])
        ]
        exceptions = f"(?!{lists['no_conditions']} )"
        self._condition = re.compile(rf" {exceptions}[وف]?{lists['conditions']} ")
        # With "and" before it, it opens a clause of its own.
        self._condition_after = re.compile(
            rf"^(?:(?:\w+ ){{0,2}}{exceptions}{lists['conditions']}"
            rf"|(?:\w+ )?{exceptions}{lists['conditions_after']}) "
        )
        # What comes after "unless" does not hold now.
        self._unless = re.compile(rf"(?<= ){lists['unless']} .*")
        # "Even if"; at the start of a sentence ولو is "and if".
        self._even_if = re.compile(r"(?<= )حتي و?(?:لو|اذا|ان) |(?<=\S )ولو ")
        this = "".join(f"(?<! {word})" for word in _folded(content.get("this", ())))
        self._not_after = re.compile(
            rf"(?: [وف]?{lists['denied']}"
            rf"| [وف]?{lists['needless']}(?: \w+){{0,3}}"
            rf"|{this} [وف]?{lists['calls_for']}(?: \w+)?) $"
        )

    def occur(self, texts: Sequence[str]) -> list[bool]:
        """Whether each of n texts, raw or normalised, has one that counts.

        What is denied, asked, of the past, or holds under a condition only does not count, as far as the
        lists have words for it.
        """
        # Without hamza ان may be "if".
        bare = [_HAMZA.search(text) is None for text in texts]
        return [
            any(self._occur_in(sentence, without) for sentence in _sentences(text))
            for text, without in zip(_folded(texts), bare, strict=True)
        ]

    def _occur_in(self, sentence: str, bare: bool) -> bool:
        """Whether one stands in a folded sentence, a space around every word, and counts."""
        sentence = self._unless.sub("", self._even_if.sub("", sentence))
        return any(
            self._counts(sentence[: match.start()], match[0], sentence[match.end() :], bare)
            for expression in self._expressions
            for match in expression.finditer(sentence)
        )

    def _counts(self, before: str, expression: str, after: str, bare: bool) -> bool:
        near = " ".join(["", *before.split()[-_BEFORE:], ""])
        # "if … then go", and not "that … go".
        if bare and expression.startswith("ف") and re.search(" [وف]?ان ", near):
            return False
        # "if you have it, give it, and go": a clause of its own.
        apart = before.endswith((", ", "، ")) and expression.startswith("و")
        return not (
            self._not_after.search(before)
            or (self._condition.search(near) and not apart)
            or self._condition_after.search(after)
        )


def _pattern(text: str, words: Mapping[str, Iterable[str]]) -> str:
    """One expression as a regular expression."""
    parts = {"*": _GAP, "^": "(?<=^ )"}
    return "".join(
        parts.get(part)
        or "(?:" + "|".join(_form(word) for name in part.split("/") for word in _words(name, words)) + ") "
        for part in text.split(" ")
    )


def _words(name: str, words: Mapping[str, Iterable[str]]) -> Iterable[str]:
    return words[name[1:-1]] if name.startswith("{") else [name]


def _form(word: str) -> str:
    match word[0]:
        case "~":
            return f"(?:{_VERB}|[وف]?ل?){word[1:]}{_ENDING}"
        case "+":
            return f"{_VERB}{word[1:]}{_ENDING}"
        case "=":
            return f"[وف]?{word[1:]}"
    return f"{_NOUN}{word}{_POSSESSIVE}"


def _any(words: Sequence[str]) -> str:
    """One of the words; nothing matches where there are none."""
    return "(?:" + "|".join(_folded(words)) + ")" if words else "(?!)"


def _folded(texts: Sequence[str]) -> list[str]:
    """Texts as they are matched: one spelling of each letter, and "if" told from "that"."""
    normalised = _normaliser()([_IF.sub(r"\1\2اذا", text) for text in texts])
    return [text.translate(_LETTERS) for text in normalised]


def _sentences(text: str) -> list[str]:
    """The sentences of a folded text that ask nothing, a space around every word and comma."""
    stated = [sentence for sentence in _SENTENCE.findall(text) if sentence[-1] not in "?؟"]
    return [" ".join(["", *_TOKEN.findall(sentence), ""]) for sentence in stated]


@functools.cache
def _normaliser() -> Normaliser:
    return Normaliser(off=_RULES_OFF)


@functools.cache
def expressions(name: str) -> Expressions:
    """The list `<name>.yaml` of this folder, its conditions joined with those of `conditions.yaml`."""
    content, shared = (
        yaml.safe_load(Path(__file__).with_name(file).read_text(encoding="utf-8"))
        for file in (f"{name}.yaml", *DATA_FILES)
    )
    return Expressions(content | {key: [*words, *content.get(key, ())] for key, words in shared.items()})
