"""A cell of any table as text."""

import ast
import json
import math

import pandas as pd

# A longer text is not looked at for a list that it spells out.
_LONGEST_LIST = 100_000


def as_text(value: object) -> str:
    """The value as text; a missing one is the empty string.

    A list of one value is that value, and an empty one is missing. So is a list of texts that a text
    spells out, as a list becomes in a CSV file.

    Raises:
        ValueError: it is a list of several values, an object, or a text that spells out one; or bytes
            that are no text in UTF-8.
    """
    if isinstance(value, str):
        nested = _spelled_out(value)
        text = value if nested is None else as_text(nested)
    elif (
        value is None
        or value is pd.NaT
        or value is pd.NA
        or (isinstance(value, float) and math.isnan(value))
    ):
        return ""
    elif isinstance(value, bytes):
        text = value.decode("utf-8")
    elif isinstance(value, list | tuple) and len(value) <= 1:
        if value and isinstance(value[0], list | tuple):
            raise ValueError("no text")
        return as_text(value[0]) if value else ""
    elif isinstance(value, dict | list | tuple):
        raise ValueError("no text")
    else:
        text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON can hold half of a surrogate pair, UTF-8 and so Parquet cannot.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _spelled_out(text: str) -> list[str] | dict[str, object] | None:
    """The list of texts, or the object, that a text is in JSON or in Python's spelling; None for another.

    Raises:
        ValueError: the list is spelled in a third way, so that its one value may have been several.
    """
    if text[-1:] not in ("]", "}") or text[:1] not in ("[", "{") or len(text) > _LONGEST_LIST:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    if isinstance(value, dict) and value and all(isinstance(key, str) for key in value):
        return value
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    # NumPy spells ['a' 'b'], which Python reads as one text.
    spellings = (repr(value), json.dumps(value), json.dumps(value, ensure_ascii=False))
    if len(value) == 1 and text.replace(" ", "") not in [each.replace(" ", "") for each in spellings]:
        raise ValueError("no text")
    return value
