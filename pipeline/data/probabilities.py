"""Severity probabilities that a source gives, from text to numbers."""

import math
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipeline.severities import PROBABILITIES

# How far from 1 the sum of a source's probabilities may be: they may be rounded, or stored as float16.
_TOLERANCE = 0.01
_NUMBER = re.compile(r"\+?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|-0+\.?0*")
_FOLD = str.maketrans("٫،,﹪٪％", "...%%%")


def parse_probability(text: str) -> float:
    """A number as people write it (`0.2`, `0,2`, `٠٫٢`, `20 %`); NaN where it is none or below 0."""
    plain = "".join(character for character in text.translate(_FOLD) if character.isprintable())
    plain = re.sub(r"[\s\u061c\u200e\u200f]", "", plain)
    number = plain.strip("%")
    if not _NUMBER.fullmatch(number) or len(plain) - len(number) > 1:
        return math.nan
    value = float(number)
    return value / 100 if number != plain else value


def parse_probabilities(raw: pa.Table) -> tuple[dict[str, pa.Array], np.ndarray]:
    """The probabilities of n rows.

    Three that sum to 100 are percentages without their sign.

    Args:
        raw: n rows with the text columns `PROBABILITIES`, null where the source has no such column.

    Returns:
        By column float32, null where the source has none; and (n,) bool, whether a row has something in
        place of its probabilities that is none.
    """
    texts = [raw[name].to_pylist() for name in PROBABILITIES]
    given = np.array([[text is not None for text in column] for column in texts], dtype=bool)
    values = np.array([_parsed(column) for column in texts], dtype=np.float64).reshape(given.shape)
    percent = np.abs(values.sum(axis=0) - 100) <= 100 * _TOLERANCE
    values[:, percent] /= 100
    right = np.abs(values.sum(axis=0) - 1) <= _TOLERANCE
    columns = {
        name: pa.array(column.astype(np.float32), mask=~there, from_pandas=False)
        for name, column, there in zip(PROBABILITIES, values, given, strict=True)
    }
    return columns, given.any(axis=0) & ~right


def _parsed(texts: Sequence[str | None]) -> list[float]:
    return [math.nan if text is None else parse_probability(text) for text in texts]
