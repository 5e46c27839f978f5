"""What a file is, by its bytes and never by its name."""

import codecs
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import WaznError

Kind = Literal["delimited", "jsonl", "json", "xlsx", "parquet", "sqlite", "gzip", "zip"]

_BLOCK = 1 << 20
_HEAD = 4096
_EXCEL = "open it in a spreadsheet program and save it as XLSX or CSV"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"an old .xls workbook, or one with a password; {_EXCEL}"),
    (b"%PDF", "a PDF; take the table out of it and save it as CSV"),
    (b"BZh", "compressed by bzip2; unpack it, or compress it by gzip"),
    (b"\xfd7zXZ\x00", "compressed by xz; unpack it, or compress it by gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by Zstandard; unpack it, or compress it by gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it, or make it a zip"),
    (b"Rar!", "a RAR archive; unpack it, or make it a zip"),
    (b"ARROW1", "an Arrow file; save it as Parquet"),
)
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|table|script|meta)\b", re.IGNORECASE)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Format:
    """A kind of file and, for text, its encoding (a codec of Python; empty for the others)."""

    kind: Kind
    encoding: str = ""


def recognise(path: Path, name: str) -> Format:
    """Tell what the file at `path` is; text is read to its end, to be sure of its encoding.

    Args:
        path: the file.
        name: what messages call it.

    Raises:
        WaznError: the file is empty, or of a kind that wazn does not read: which, and what to do.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.strip(b"\x00 \t\r\n\xef\xbb\xbf"):
        raise WaznError(f"{name}: the file is empty; expected a header and rows")
    for signature, meaning in _SIGNATURES:
        if head.startswith(signature):
            raise WaznError(f"{name}: {meaning}")
    if head[257:262] == b"ustar":
        raise WaznError(f"{name}: a tar archive; unpack it, or make it a zip")
    if head.startswith(b"PAR1"):
        return Format("parquet")
    if head.startswith(b"SQLite format 3\x00"):
        return Format("sqlite")
    if head.startswith(b"\x1f\x8b"):
        return Format("gzip")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Format(_kind_of_zip(path, name))
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if _HTML.match(start):
        raise WaznError(f"{name}: an HTML page instead of a table; check the address, it may need a login")
    if start.startswith(b"<?xml"):
        raise WaznError(f"{name}: an XML file; {_EXCEL}")
    encoding = _encoding(path, name, head)
    return Format(_kind_of_text(path, encoding), encoding)


def _kind_of_zip(path: Path, name: str) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            opendocument = False
            if "mimetype" in members:
                with archive.open("mimetype") as stream:
                    opendocument = stream.read(_HEAD).startswith(b"application/vnd.oasis")
    except Exception as error:  # a damaged zip raises what zlib, struct or zipfile raise
        raise WaznError(f"{name}: a damaged zip file; fetch or save it again") from error
    if opendocument:
        raise WaznError(f"{name}: an OpenDocument file; {_EXCEL}")
    if "[Content_Types].xml" not in members:
        return "zip"
    if "xl/workbook.xml" in members:
        return "xlsx"
    raise WaznError(f"{name}: an Office document, but no .xlsx workbook; {_EXCEL}")


def _encoding(path: Path, name: str, head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise WaznError(f"{name}: text in UTF-32; save it as UTF-8")
    marked = next((encoding for mark, encoding in _BOMS if head.startswith(mark)), None)
    if marked == "utf-16":
        _check_utf16(path, name)
        return marked
    if any(b"\x00" in block for block in _blocks(path)):
        raise WaznError(
            f"{name}: not a table that wazn reads, or text in UTF-16 unmarked; save it as UTF-8"
        )
    return marked or "utf-8" if _valid(path, "utf-8") else _arabic_encoding(path, name)


def _check_utf16(path: Path, name: str) -> None:
    if not _valid(path, "utf-16"):
        raise WaznError(f"{name}: text in UTF-16, but damaged; fetch or save it again")


def _arabic_encoding(path: Path, name: str) -> str:
    """`cp1256`, if that is what the bytes, which are not UTF-8, can be.

    Windows-1256 gives every byte a meaning, so it could be found in anything. Text in it holds hardly
    ever a valid UTF-8 sequence, and its letters beyond ASCII are Arabic.
    """
    good = bad = 0
    for text in _decoded(path, "utf-8"):
        replaced = text.count("\ufffd")
        bad += replaced
        good += sum(character > "\x7f" for character in text) - replaced
    if good > bad:
        raise WaznError(
            f"{name}: text in UTF-8, but damaged at {bad} places; fetch or save it again as UTF-8"
        )
    arabic = other = 0
    for text in _decoded(path, "cp1256"):
        letters = [character for character in text if character > "\x7f" and character.isalpha()]
        count = sum("\u0600" <= character <= "\u06ff" for character in letters)
        arabic += count
        other += len(letters) - count
    if other >= arabic:
        raise WaznError(f"{name}: text neither in UTF-8 nor in Arabic Windows-1256; save it as UTF-8")
    return "cp1256"


def _kind_of_text(path: Path, encoding: str) -> Kind:
    with path.open(encoding=encoding) as file:
        lines = (line for line in file if line.strip())
        first = next(lines, "")
        if first.lstrip()[:1] not in ("[", "{"):
            return "delimited"
        try:
            value = json.loads(first)
        except (ValueError, RecursionError):
            return "json"
        if next(lines, None) is not None:
            return "jsonl"
    # One line: an object that holds the rows, a list of them, or the only row.
    holds_rows = isinstance(value, list) or any(isinstance(part, list) for part in value.values())
    return "json" if holds_rows else "jsonl"


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _decoded(path: Path, encoding: str, errors: str = "replace") -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    for block in _blocks(path):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def _valid(path: Path, encoding: str) -> bool:
    try:
        for _ in _decoded(path, encoding, errors="strict"):
            pass
    except UnicodeDecodeError:
        return False
    return True
