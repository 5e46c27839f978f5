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
    mark = re.escape(dialect.separator).encode()
    opening = rb'"(?<![^\r\n' + mark + rb']")'
    quotation, opening_mark = re.compile(opening + rb'(?:[^"]++|"")*+"'), re.compile(opening)
    spaces = re.compile(rb"(?:^|(?<=[\r\n" + mark + rb'])) +(?=")')

    def plain(text: bytes) -> bytes:
        """The text with a plain character in place of every quotation and escape."""
        if dialect.backslash and b"\\" in text:
            text = _ESCAPED.sub(b"_", text)
        if b'"' not in text:
            return text
        return quotation.sub(b"_", spaces.sub(b"", text) if dialect.spaces else text)

    count, rest = -dialect.preamble, b""
    for block in _blocks(path, encoding):
        text = rest + block
        whole = text.rfind(b"\n") + 1
        text, rest = plain(text[:whole]), text[whole:]
        opened = opening_mark.search(text) if b'"' in text else None
        if opened:
            # The quotation goes on in the next block.
            text, rest = text[: opened.start()], text[opened.start() :] + rest
        # An escaped line end is none, so the last line may go on.
        whole = text.rfind(b"\n") + 1
        text, rest = text[:whole], text[whole:] + rest
        count += _lines(text)
        if len(rest) > LONGEST_LINE:
            break
    return count + _lines(plain(rest) + b"\n") if rest else count


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
    if text and not text[: text.find(b"\n")].strip(b" \r\x1a"):
        blank += 1
    return text.count(b"\n") - blank
