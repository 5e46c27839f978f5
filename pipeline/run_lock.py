"""Two runs of one stage must not write the same files: the second is refused."""

import errno
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import WaznError
from pipeline.os_errors import writing

# Where the launchers that accelerate knows put the number of a process of one run.
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
_HELD = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


@contextmanager
def run_lock(folder: Path, command: str) -> Iterator[None]:
    """Hold the lock of `folder` while the block runs.

    DVC, when it is killed, leaves the command of its stage alive, so a second one may be started beside it.
    The system frees the lock when its holder ends, however it ends. Of the processes of one run, which a
    launcher has started, the first holds it for all. A file system without locks is only spoken of.

    Args:
        folder: holds the file `lock`, which says who holds it; made if it is not there.
        command: what the holder runs, for messages, such as `score`.

    Raises:
        WaznError: another process holds the lock, or the folder cannot be written to.
    """
    if next((os.environ[name] for name in _RANKS if name in os.environ), "0") != "0":
        yield
        return
    path = folder / "lock"
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(file, path, command)
        yield
    finally:
        # Closing frees the lock; the file stays, since removing it would let in two at once.
        os.close(file)


def _acquire(file: int, path: Path, command: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            said = os.pread(file, 200, 0).decode("utf-8", "replace").partition("\n")[0]
            holder = said if said.isprintable() and said else "another process"
            raise WaznError(
                f"{path}: {holder} runs `{command}` already; wait for it or end it, then run the command "
                "again"
            ) from None
        if error.errno not in _NO_LOCKS:
            raise
        note = "this file system has no locks, so nothing keeps a second run away"
        print(f"{path}: {note}", file=sys.stderr)
    with writing(path):
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}, since {since},\n".encode(), 0)
