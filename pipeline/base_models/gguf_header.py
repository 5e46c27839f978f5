"""The header of a GGUF file: what it says of its model, and whether all of its tensors are there.

The format is that of docs/gguf.md of the project ggml: the four bytes GGUF, a version, the numbers of
tensors and of metadata; the metadata (key, type, value); the table of tensors (name, dimensions, type,
offset); the tensors, each at a multiple of the alignment. Numbers are little-endian.
"""

import mmap
import struct
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from pipeline.errors import WaznError
from pipeline.os_errors import refused

try:
    import gguf
except ImportError:
    # Only whoever names a GGUF file needs it, and is told.
    gguf = None  # type: ignore[assignment]

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
# Layouts of the metadata's types of a fixed size, by their numbers; the others are texts and arrays.
_LAYOUTS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_ALIGNMENT = 32


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of its model.

    Attributes:
        values: its metadata by key: numbers and texts; of an array its length.
        types: how many tensors there are of each type, such as Q4_K, by falling number.
    """

    values: dict[str, str | float]
    types: dict[str, int]


class _CutOffError(Exception):
    """The file ends before what its header announces."""


class _Cursor:
    """Reads values one after another from a file in memory."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content, self.position = content, len(_MAGIC)

    def number(self, layout: str) -> float:
        """One number, as `struct` calls its layout."""
        start = self.skip(struct.calcsize(layout))
        value: float = struct.unpack_from(f"<{layout}", self._content, start)[0]
        return value

    def count(self, layout: str = "Q") -> int:
        """One whole number."""
        return int(self.number(layout))

    def text(self) -> str:
        """One text with its length in front of it."""
        length = self.count()
        start = self.skip(length)
        return self._content[start : start + length].decode(errors="replace")

    def skip(self, count: int) -> int:
        """Go on by `count` bytes; returns the position before."""
        start = self.position
        if start + count > len(self._content):
            raise _CutOffError
        self.position += count
        return start

    def value(self) -> str | float:
        """A value of the metadata: a number, a text or the length of an array."""
        kind = self.count("I")
        if kind in _LAYOUTS:
            return self.number(_LAYOUTS[kind])
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            raise ValueError(f"metadata of a type ({kind}) that is not defined")
        element, length = self.count("I"), self.count()
        if element in _LAYOUTS:
            self.skip(length * struct.calcsize(_LAYOUTS[element]))
        elif element == _TEXT:
            for _ in range(length):
                self.skip(self.count())
        else:
            raise ValueError(f"an array of a type ({element}) that is not defined")
        return length


def read_header(path: Path, source: str) -> Header:
    """The header of the GGUF file at `path`, once it is known that the file is whole.

    Args:
        source: what messages call the file.

    Raises:
        WaznError: the package gguf is not installed; or the file cannot be read, is no GGUF file, is
            damaged, is cut off, or holds tensors that cannot be turned into numbers.
    """
    if gguf is None:
        raise WaznError(f"{source}: the package gguf is not installed; run `pip install gguf`")
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise WaznError(
                    f"{source}: is no GGUF file, which begins with the letters GGUF; download it again (an "
                    "empty file, a web page or a Git LFS pointer often stands in its place)"
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _read(content, source)
    except OSError as error:
        raise refused(source, "read", error) from error
    except _CutOffError as error:
        raise WaznError(
            f"{source}: is cut off: it ends after {path.stat().st_size:,} bytes, before all that it "
            "announces; download it again"
        ) from error
    except (ValueError, OverflowError) as error:
        raise WaznError(f"{source}: its header is damaged ({error}); download it again") from error


def _read(content: mmap.mmap, source: str) -> Header:
    cursor = _Cursor(content)
    version = cursor.count("I")
    if version not in _VERSIONS:
        # A big-endian file has it the other way round.
        called = "a big-endian file" if version in (2 << 24, 3 << 24) else f"of version {version}"
        raise WaznError(
            f"{source}: is {called}; little-endian GGUF files of versions 2 and 3 are read, so convert the "
            "model again with a current llama.cpp"
        )
    tensors, entries = cursor.count(), cursor.count()
    values: dict[str, str | float] = {}
    for _ in range(entries):
        key = cursor.text()
        values[key] = cursor.value()
    table = []
    for _ in range(tensors):
        cursor.text()
        dimensions = [cursor.count() for _ in range(cursor.count("I"))]
        table.append((prod(dimensions), cursor.count("I"), cursor.count()))
    alignment = int(values.get("general.alignment", _ALIGNMENT))
    if alignment <= 0:
        raise ValueError(f"an alignment of {alignment}")
    start = -(-cursor.position // alignment) * alignment
    types = Counter(kind for _, kind, _ in table)
    _refuse_unreadable(types, source)
    for elements, kind, offset in table:
        block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
        if start + offset + -(-elements // block) * size > len(content):
            raise _CutOffError
    return Header(values, {gguf.GGMLQuantizationType(kind).name: n for kind, n in types.most_common()})


def _refuse_unreadable(types: Counter[int], source: str) -> None:
    """Refuse types of tensors that the package gguf has no formula for.

    Raises:
        WaznError: there are such tensors.
    """
    unreadable = {kind: count for kind, count in types.items() if not _is_readable(kind)}
    if unreadable:
        names = {kind.value: kind.name for kind in gguf.GGMLQuantizationType}
        named = " and ".join(names.get(kind, f"number {kind}") for kind in sorted(unreadable))
        raise WaznError(
            f"{source}: {sum(unreadable.values())} of its tensors are of the type {named}, which cannot be "
            "turned into numbers here; take the model in another type, such as Q8_0 or Q4_K_M"
        )


def _is_readable(kind: int) -> bool:
    try:
        known = gguf.GGMLQuantizationType(kind)
        gguf.dequantize(np.zeros((1, gguf.GGML_QUANT_SIZES[known][1]), np.uint8), known)
    except (ValueError, KeyError, NotImplementedError):
        return False
    return True
