"""What is wrong with a parameter file, in a sentence that names the key."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from pydantic import BaseModel


def sentence(problem: Any, schema: type[BaseModel]) -> str:
    """One of pydantic's problems in one sentence.

    Args:
        problem: of `ValidationError.errors()`.
        schema: what was validated.
    """
    location = [part for part in problem["loc"] if part != "[key]"]
    # In the file every arm stands at the top level.
    shown_location = location[1:] if location[:1] == ["arm_settings"] else location
    key = ".".join(map(str, shown_location))
    given = problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            siblings = [
                ".".join(map(str, [*shown_location[:-1], name])) for name in _keys_beside(location, schema)
            ]
            return f"unknown key {key}{nearest(key, siblings)}"
        case "missing":
            return f"{key} is missing; every key is needed, see profiles/ for a complete file"
        case "value_error":
            message = problem["msg"].removeprefix("Value error, ")
            return f"{key}: {message}" if key else message
        case _:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            return f"{key}: {message}{_found(given)}"


def _found(given: Any) -> str:
    """Half a sentence that shows what was given; empty where that is long, or no single value."""
    if not isinstance(given, str | int | float):
        return ""
    # Python writes no number of thousands of digits.
    is_long = given.bit_length() > 200 if isinstance(given, int) else len(str(given)) > 80
    return "" if is_long else f", found {given!r}"


def nearest(key: str, known: Iterable[str]) -> str:
    """Half a sentence that names the known key most like `key`; empty if none is like it."""
    close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; the nearest known one is {close[0]}" if close else ""


def _keys_beside(location: Sequence[str | int], schema: type[BaseModel]) -> Iterable[str]:
    """The keys that the schema knows where the last part of `location` stands."""
    section: Any = schema
    for part in location[:-1]:
        if isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[str(part)].annotation
            if type(None) in get_args(section):
                # Of a value that may be left out, what it is otherwise.
                section = get_args(section)[0]
        else:
            # A list's or a mapping's values are described by its last argument.
            section = get_args(section)[-1]
    return list(section.model_fields)
