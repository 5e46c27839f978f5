"""Hashes of files and folders, read a block at a time."""

import hashlib
import json
from pathlib import Path
from typing import Any

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


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the files in `folder`, in the order of their names."""
    state = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        state.update(f"{path.relative_to(folder).as_posix()}\0{digest(path, 'sha256')}\0".encode())
    return state.hexdigest()


def json_digest(value: Any) -> str:
    """SHA-256 over a value as JSON whose keys are sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
