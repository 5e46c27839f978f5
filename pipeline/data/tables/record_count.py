"""How many records a delimited text holds, by its line ends and quotation marks alone.

It shares nothing with the reader, so that the two numbers can be compared.
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.data.tables.records import ASCII_BYTES, LONGEST_LINE, Dialect

_BLOCK = 1 << 20
_ESCAPED = re.compile(rb"\\(?:\r\n|.)", re.DOTALL)
_LONE = re.compile(rb"\r(?!\n)")
_BLANK = re.compile(rb"\n[ \r\x1a]*(?=\n)")


def count_records(path: Path, encoding: str, dialect: Dialect) -> int:
    """The number of records, the header included; a line of spaces, or the end of a DOS file, is none."""
    outside, count, rest = _Outside(dialect), -dialect.preamble, b""
    for block in _blocks(path, encoding):
        text = rest + block
        whole = text.rfind(b"\n") + 1
        rest = text[whole:]
        text, opened = outside(text[:whole])
        if not opened:
            # An escaped line end is none, so the last line may go on.
            whole = text.rfind(b"\n") + 1
            text, opened = text[:whole], text[whole:]
        rest = opened + rest
        count += _lines(text)
        if len(rest) > LONGEST_LINE:
            break
    return count + _lines(b"".join(outside(rest)) + b"\n") if rest else count


class _Outside:
    """What of a text stands outside of quotations."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        mark = re.escape(dialect.separator).encode()
        opening = rb'"(?<![^\r\n' + mark + rb']")'
        self._opening, self._quotation = re.compile(opening), re.compile(opening + rb'(?:[^"]++|"")*+"')
        # A mark beside something else than a separator, a line end or a mark.
        self._within = re.compile(rb'"(?:(?<=[^\r\n"' + mark + rb']")|(?=[^\r\n"' + mark + rb"]))")
        self._spaces = re.compile(rb"(?:^|(?<=[\r\n" + mark + rb'])) +(?=")')

    def __call__(self, text: bytes) -> tuple[bytes, bytes]:
        """The text with a plain character for every quotation and escape, and what a last mark opens."""
        if self._dialect.backslash and b"\\" in text:
            text = _ESCAPED.sub(b"_", text)
        if b'"' not in text:
            return text, b""
        if self._dialect.spaces:
            text = self._spaces.sub(b"", text)
        parts = text.split(b'"')
        # After an odd number of marks the last part is within a quotation.
        opened = parts.pop() if len(parts) % 2 == 0 else None
        kept = b'"'.join(parts[::2]) + (b"" if opened is None else b'"')
        if not self._within.search(kept):
            # All marks are those of quotations, so every other part is outside.
            return kept.replace(b'"', b"_"), b"" if opened is None else b'"' + opened
        text = self._quotation.sub(b"_", text)
        last = self._opening.search(text)
        return (text[: last.start()], text[last.start() :]) if last else (text, b"")


def _blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """The file without its mark, as bytes whose ASCII is ASCII, with line ends that hold a line feed."""
    decoder = codecs.getincrementaldecoder(encoding)() if encoding not in ASCII_BYTES else None
    held = b""
    with path.open("rb") as file:
        if encoding == "utf-8-sig":
            file.seek(len(codecs.BOM_UTF8))
        while block := file.read(_BLOCK):
            text = held + (decoder.decode(block).encode() if decoder else block)
            # The line feed that belongs to it may come in the next block.
            held = b"\r" if text.endswith(b"\r") else b""
            yield _LONE.sub(b"\n", text.removesuffix(held))
    yield held.replace(b"\r", b"\n")


def _lines(text: bytes) -> int:
    """The lines in a text that are not blank."""
    blank = len(_BLANK.findall(text))
    first = text.find(b"\n")
    if first >= 0 and not text[:first].strip(b" \r\x1a"):
        blank += 1
    return text.count(b"\n") - blank
