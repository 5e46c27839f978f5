"""Take the one table out of a gzip or zip file, within bounds."""

import gzip
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.data.tables.choice import choose
from pipeline.data.tables.expansion import Expansion
from pipeline.data.tables.formats import Format
from pipeline.data.tables.names import shown_names
from pipeline.errors import WaznError

_BLOCK = 1 << 20
_ENCRYPTED = 0x1


@contextmanager
def unpacked(
    path: Path, name: str, kind: str, wanted: str | None, max_mb: int
) -> Iterator[tuple[Path, str]]:
    """Unpack the table of a gzip or zip file into a temporary file outside the project.

    Args:
        path: the gzip or zip file.
        name: what messages call it.
        kind: gzip or zip.
        wanted: name or pattern of the zip's member; None if there is one only.
        max_mb: what it may expand to, in MiB.

    Yields:
        The temporary file, which is gone afterwards, and what the zip's member is called in messages
        ("" for gzip).

    Raises:
        WaznError: damaged, encrypted, too large when unpacked, a member with a path that leads out of
            the archive, or not exactly one member is meant.
    """
    with tempfile.TemporaryDirectory(prefix="wazn-") as folder:
        target = Path(folder) / "table"
        if kind == "gzip":
            with _readable(name), gzip.open(path) as stream:
                _copy(stream, target, name, max_mb)
            yield target, ""
        else:
            with _readable(name), zipfile.ZipFile(path) as archive:
                member = _member(archive, name, wanted)
                with archive.open(member) as stream:
                    _copy(stream, target, name, max_mb)
            [shown] = shown_names([member.filename], "file")
            yield target, shown


def check_expansion(path: Path, name: str, file_format: Format, max_mb: int) -> None:
    """Refuse a workbook, which is a zip, that would expand beyond `max_mb` MiB.

    Raises:
        WaznError: it would.
    """
    if file_format.kind == "xlsx":
        with _readable(name), zipfile.ZipFile(path) as archive:
            # zipfile reads no more of a member than the size that is declared here.
            Expansion(name, max_mb).add(sum(member.file_size for member in archive.infolist()))


def _member(archive: zipfile.ZipFile, name: str, wanted: str | None) -> zipfile.ZipInfo:
    for member in archive.infolist():
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        if ".." in parts or member.filename.startswith(("/", "\\")) or member.filename[1:2] == ":":
            raise WaznError(
                f"{name}: a member of the zip has a path that leads out of it; do not trust this file"
            )
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not any(
            part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(member.filename).parts
        )
    ]
    named = [([member.filename, PurePosixPath(member.filename).name], member) for member in members]
    chosen = choose(named, wanted, f"{name} (zip)")
    if chosen.flag_bits & _ENCRYPTED:
        raise WaznError(f"{name}: the zip is encrypted; unpack it and give the file itself")
    return chosen


def _copy(stream: "IO[bytes] | gzip.GzipFile", target: Path, name: str, max_mb: int) -> None:
    expansion = Expansion(name, max_mb)
    with target.open("wb") as out:
        while block := stream.read(_BLOCK):
            expansion.add(len(block))
            out.write(block)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn the errors, of many kinds, that a damaged archive raises into a sentence."""
    try:
        yield
    except WaznError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise WaznError(
                f"{name}: could not be unpacked ({error.strerror}); is the disk full?"
            ) from None
        raise WaznError(f"{name}: damaged; fetch or save it again") from None
    except NotImplementedError:
        raise WaznError(
            f"{name}: packed by a method that is not known here; unpack it and give the file itself"
        ) from None
    except Exception as error:
        raise WaznError(f"{name}: damaged; fetch or save it again ({type(error).__name__})") from None
