"""Chat data: a column whose cells are dialogues, as lists of turns with a role and a text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.data.tables.names import folded

QUESTION_ROLES = frozenset(
    {
        *("user", "human", "patient", "prompter", "client", "customer"),
        *map(folded, ("مريض", "المريض", "مستخدم", "المستخدم", "السائل")),
    }
)
ANSWER_ROLES = frozenset(
    {
        *("assistant", "gpt", "bot", "model", "ai", "chatgpt", "doctor", "physician"),
        *map(folded, ("طبيب", "الطبيب", "دكتور", "الدكتور", "مساعد", "المساعد")),
    }
)
OTHER_ROLES = frozenset({"system", "developer", "tool", "function", "observation", "context"})
_KEYS = (("role", "content"), ("from", "value"), ("role", "text"), ("speaker", "text"), ("role", "value"))


def is_dialogue(value: object) -> bool:
    """Whether the value is a list of turns."""
    return isinstance(value, list) and bool(value) and all(_keys(turn) is not None for turn in value)


def exchanges(value: object) -> list[tuple[str, str]]:
    """The questions and answers of a dialogue, in their order.

    What the same side says in turns that follow each other is joined by a blank line. What the system
    or a tool says is left out. An exchange is what the user says and what the assistant says then; where
    the assistant begins, or the user ends, the other side is the empty text.

    Args:
        value: a list of turns (`role` and `content`, or `from` and `value`), an object of two lists, or
            either as a text in JSON; a dialogue that is missing or without turns is one exchange of
            empty texts.

    Raises:
        ValueError: the value is nothing of that, or a role is not known.
    """
    pairs: list[tuple[list[str], list[str]]] = []
    for role, text in _turns(value):
        if role in OTHER_ROLES:
            continue
        if role in QUESTION_ROLES:
            if not pairs or pairs[-1][1]:
                pairs.append(([], []))
            pairs[-1][0].append(text)
        elif role in ANSWER_ROLES:
            if not pairs:
                pairs.append(([], []))
            pairs[-1][1].append(text)
        else:
            raise ValueError("a role that is not known")
    return [(_joined(question), _joined(answer)) for question, answer in pairs] or [("", "")]


def _turns(value: object) -> list[tuple[str, str]]:
    """Each turn's role, folded, and its text."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_float=str, parse_int=str) if value.strip() else None
        except RecursionError:
            raise ValueError("nested too deeply") from None
    if value is None:
        return []
    if isinstance(value, Mapping):
        value = _unzipped(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError("no list of turns")
    turns = []
    for turn in value:
        keys = _keys(turn)
        if keys is None:
            raise ValueError("no turn with a role and a text")
        role, content = (turn[key] for key in keys)
        turns.append((folded(str(role)), _text(content)))
    return turns


def _unzipped(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A list of objects, from an object of lists, as the Hub's `Sequence` of objects is stored."""
    if not columns or not all(isinstance(column, list) for column in columns.values()):
        raise ValueError("no list of turns")
    return [dict(zip(columns, turn, strict=True)) for turn in zip(*columns.values(), strict=True)]


def _keys(turn: object) -> tuple[str, str] | None:
    if not isinstance(turn, Mapping):
        return None
    return next((keys for keys in _KEYS if keys[0] in turn and keys[1] in turn), None)


def _text(content: object) -> str:
    """The text of a turn, which may be in parts; parts that are no text are left out."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return _joined([part for part in parts if isinstance(part, str)])
    raise ValueError("a turn whose text is none")


def _joined(texts: Sequence[str]) -> str:
    return "\n\n".join(text for text in texts if text.strip())
