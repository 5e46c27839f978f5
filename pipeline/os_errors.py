"""What the operating system refused, in one sentence that says what to do about it."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import WaznError

_PERMISSION = "ask for permission, or give the folder to the user who runs this"
_IN_THE_WAY = "move away what stands there under this name"
_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "remove what you no longer need, or ask for a larger quota",
    errno.EFBIG: "the file is larger than this file system or `ulimit -f` allows; use another disk",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: "use a disk that can be written to",
    errno.ENAMETOOLONG: "give the model or the arm, or the folders above, a shorter name",
    errno.EISDIR: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTEMPTY: _IN_THE_WAY,
    errno.ENOENT: "it was there and is gone; see whether something else removes files here",
    errno.EMFILE: "allow more open files with `ulimit -n`",
    errno.ENFILE: "close what else has files open on this machine",
    errno.EIO: "the disk reports a fault; use another one",
}


def system_error(error: BaseException) -> OSError | None:
    """The error of the operating system that `error` is or quotes; None if there is none in it.

    Libraries in Rust (safetensors, tokenizers) raise kinds of their own that quote its number.
    """
    if isinstance(error, OSError):
        return error if error.errno else None
    quoted = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(quoted[1]), os.strerror(int(quoted[1]))) if quoted else None


def refused(path: Path | str, what: str, error: OSError) -> WaznError:
    """The error for a file that the system refused to read or write.

    Args:
        path: of the file.
        what: could not be done, such as `written`.
        error: with a number.
    """
    number = error.errno or 0
    advice = _ADVICE.get(number, "see to it")
    return WaznError(
        f"{path}: could not be {what} ({os.strerror(number)}); {advice}, then run the command again"
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a refused write in the block into one sentence.

    Raises:
        WaznError: the disk refused a write (full, read-only, no permission).
    """
    try:
        yield
    except WaznError:
        raise
    except Exception as error:
        # What names another file was not about this one: `main` tells it.
        system = system_error(error)
        if system is None or not _is_of(path, system.filename):
            raise
        raise refused(path, "written", system) from error


def _is_of(path: Path, filename: Any) -> bool:
    """Whether an error that names `filename` is about writing `path`, its folders or what is in it."""
    if not isinstance(filename, str | bytes):
        return True
    named = Path(filename if isinstance(filename, str) else filename.decode(errors="replace"))
    return any(
        named == one or named in one.parents or one in named.parents for one in (path, part_of(path))
    )


def part_of(path: Path) -> Path:
    """Where a file or folder is written before it takes its place."""
    return path.with_name(f".{path.name}.part")
