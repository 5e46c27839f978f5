"""Many texts as one array of code points, so that numpy works on all of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

UNICODE = 0x110000


@dataclass(frozen=True)
class Codes:
    """The code points of n texts, one text after the other.

    Attributes:
        values: (total,), uint16 where all of them fit, else uint32.
        offsets: (n + 1,), int64; text i is `values[offsets[i]:offsets[i + 1]]`.
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Codes":
        """Encode texts; half of a surrogate pair is a code point like any other."""
        joined = "".join(texts)
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=offsets[1:])
        data = joined.encode("utf-16-le", "surrogatepass")
        if len(data) == 2 * len(joined):
            return cls(np.frombuffer(data, dtype=np.uint16), offsets)
        # Something lies beyond the basic plane (an emoji, say), so two bytes do not do.
        data = joined.encode("utf-32-le", "surrogatepass")
        return cls(np.frombuffer(data, dtype=np.uint32), offsets)

    def texts(self) -> list[str]:
        """The n texts again, if there is no half of a surrogate pair in them (two would become one)."""
        encoding = "utf-16-le" if self.values.dtype == np.uint16 else "utf-32-le"
        joined = self.values.tobytes().decode(encoding, "surrogatepass")
        ends = self.offsets.tolist()
        return [joined[start:end] for start, end in pairwise(ends)]

    def keep(self, mask: np.ndarray) -> "Codes":
        """The code points where `mask` (total,) is True."""
        offsets = np.zeros_like(self.offsets)
        np.cumsum(self.count(mask), out=offsets[1:])
        return Codes(np.compress(mask, self.values), offsets)

    def count(self, mask: np.ndarray) -> np.ndarray:
        """How many code points of each text `mask` (total,), boolean, marks: (n,), int64."""
        counts = np.zeros(len(self.offsets) - 1, dtype=np.int64)
        # reduceat has no notion of an empty segment.
        filled = self.offsets[:-1] < self.offsets[1:]
        if filled.any():
            counts[filled] = np.add.reduceat(mask.view(np.uint8), self.offsets[:-1][filled], dtype=np.int64)
        return counts

    def look_up(self, table: np.ndarray) -> np.ndarray:
        """`table` (0x110000,) at every code point: (total,)."""
        # mode: indices are known to be within, and unchecked is three times as fast.
        return np.take(table, self.values, mode="clip")
