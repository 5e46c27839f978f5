"""Hashes of files, read a block at a time."""

import hashlib
from pathlib import Path

_BLOCK = 1 << 20


def digest(path: Path, kind: str) -> str:
    """The hexadecimal `kind` hash of a file: gitblob, or any name that `hashlib` knows.

    `gitblob` is what `git hash-object` prints: SHA-1 of "blob", the size in bytes, a NUL, the bytes.
    """
    if kind == "gitblob":
        state = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    else:
        state = hashlib.new(kind)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()


def matches(path: Path, expected: str) -> bool:
    """Whether a file has the hash `expected`, written as `<kind>:<digits>`."""
    kind, _, digits = expected.partition(":")
    return digest(path, kind) == digits
