"""A cell of any table as text."""

import math

import pandas as pd


def as_text(value: object) -> str:
    """The value as text; a missing one is the empty string.

    Raises:
        ValueError: it is a list or an object, or bytes that are no text in UTF-8.
    """
    if isinstance(value, str):
        text = value
    elif (
        value is None
        or value is pd.NaT
        or value is pd.NA
        or (isinstance(value, float) and math.isnan(value))
    ):
        return ""
    elif isinstance(value, bytes):
        text = value.decode("utf-8")
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
