"""What a file is, by its bytes and never by its name."""

import codecs
import itertools
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.data.tables.dialects import SEPARATORS
from pipeline.data.tables.encodings import find_encoding
from pipeline.errors import WaznError

Kind = Literal["delimited", "jsonl", "json", "xlsx", "parquet", "sqlite", "gzip", "zip"]

_HEAD = 4096
_FIRST_LINES = 20
# Words.
_LONGEST_NAME = 8
_YAML = re.compile(r"\s*(?:- |#|[\w\"' ]+:(?:\s|$)|- *$)")
_EXCEL = "open it in a spreadsheet program and save it as XLSX or CSV"
_PICTURE = "type the table that it shows, and save it as CSV"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"an old .xls workbook, or one with a password; {_EXCEL}"),
    (b"%PDF", "a PDF; take the table out of it and save it as CSV"),
    (b"BZh", "compressed by bzip2; unpack it, or compress it by gzip"),
    (b"\xfd7zXZ\x00", "compressed by xz; unpack it, or compress it by gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by Zstandard; unpack it, or compress it by gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it, or make it a zip"),
    (b"Rar!", "a RAR archive; unpack it, or make it a zip"),
    (b"ARROW1", "an Arrow file; save it as Parquet"),
    (b"FEA1", "a Feather file; save it as Parquet"),
    (b"ORC", "an ORC file; save it as Parquet"),
    (b"Obj\x01", "an Avro file; save it as Parquet"),
    (b"\x89HDF", "an HDF5 file; save the table as Parquet or CSV"),
    *(
        (
            b"\x80" + bytes([version]),
            "a Python pickle, which could run code; save the table as Parquet or CSV",
        )
        for version in (2, 3, 4, 5)
    ),
    (b"$FL2", "an SPSS file; save it as CSV"),
    (b"<stata_dta>", "a Stata file; save it as CSV"),
    (b"\x00\x01\x00\x00Standard", "an Access database; save the table as CSV"),
    (b"\x89PNG", f"a picture; {_PICTURE}"),
    (b"\xff\xd8\xff", f"a picture; {_PICTURE}"),
)
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|table|script|meta)\b", re.IGNORECASE)
_FETCH = "the file itself is not here"
_TEXTS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (
        re.compile(rb"version https?://\S*(?:git-lfs|hawser)"),
        f"a pointer of Git LFS, {_FETCH}; run `git lfs pull` where it comes from, and copy the file",
    ),
    (
        re.compile(rb"(?:\.\./)*\S*[/.]git/annex/objects/|/annex/objects/"),
        f"a pointer of git-annex, {_FETCH}; run `git annex get` where it comes from, and copy the file",
    ),
    (
        re.compile(rb"outs:\s+- "),
        f"a .dvc file, {_FETCH}; run `dvc pull`, and name the file that it is for",
    ),
    (re.compile(rb"\{\\rtf"), "a text document (RTF); take the table out of it and save it as CSV or XLSX"),
    (
        re.compile(
            rb"(?is)(?=--|/\*|create\s|insert\s|drop\s|set\s|begin\b|pragma\s)"
            rb".*?(?:create\s+table|insert\s+into)\s"
        ),
        "SQL statements; load them into a database and save the table as CSV or SQLite",
    ),
    (re.compile(rb"%YAML|---\s"), "a YAML file; save the table as JSON or CSV"),
    (re.compile(rb"(?:\S[^\n]*\n)?\|?[ :]*-{3,}[ :]*\|[ :|-]*\r?\n"), "a Markdown table; save it as CSV"),
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
    for pattern, meaning in _TEXTS:
        if pattern.match(start):
            raise WaznError(f"{name}: {meaning}")
    encoding = find_encoding(path, name)
    return Format(_kind_of_text(path, name, encoding), encoding)


def _kind_of_zip(path: Path, name: str) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            opendocument = False
            if "mimetype" in members:
                with archive.open("mimetype") as stream:
                    opendocument = stream.read(_HEAD).startswith(b"application/vnd.oasis")
    except Exception:  # a damaged zip raises what zlib, struct or zipfile raise
        raise WaznError(f"{name}: a damaged zip file; fetch or save it again") from None
    if opendocument:
        raise WaznError(f"{name}: an OpenDocument file; {_EXCEL}")
    if "[Content_Types].xml" not in members:
        return "zip"
    if "xl/workbook.xml" in members:
        return "xlsx"
    raise WaznError(f"{name}: an Office document, but no .xlsx workbook; {_EXCEL}")


def _kind_of_text(path: Path, name: str, encoding: str) -> Kind:
    with path.open(encoding=encoding) as file:
        lines = (line for line in file if line.strip())
        first = next(lines, "")
        if first.lstrip()[:1] not in ("[", "{"):
            _check_table(name, [first, *itertools.islice(lines, _FIRST_LINES)])
            return "delimited"
        try:
            value = json.loads(first)
        except (ValueError, RecursionError):
            return "json"
        if next(lines, None) is not None:
            return "jsonl"
    # One line: an object that holds the rows or the columns, a list of rows, or the only row.
    parts = value.values() if isinstance(value, dict) else ()
    holds_rows = any(isinstance(part, list) for part in parts) or all(
        isinstance(part, dict) for part in parts
    )
    return "json" if holds_rows else "jsonl"


def _check_table(name: str, lines: list[str]) -> None:
    """Refuse text whose first line has no separator, and which can be no table of one column either.

    Raises:
        WaznError: it is YAML, or text as people write it.
    """
    if any(separator in lines[0] for separator in SEPARATORS):
        return
    if len(lines) > 1 and all(_YAML.match(line) for line in lines):
        raise WaznError(f"{name}: a YAML file; save the table as JSON or CSV")
    if len(lines[0].split()) > _LONGEST_NAME:
        raise WaznError(
            f"{name}: text without a table; expected a first line with the names of columns, and a comma, "
            "tab, semicolon or bar between them"
        )
