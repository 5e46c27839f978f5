"""Two runs of one stage must not write the same files: the second is refused."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import WaznError
from pipeline.files import replacing, writing


@contextmanager
def run_lock(folder: Path, activity: str) -> Iterator[None]:
    """Hold the lock of `folder` while the block runs.

    DVC, when it is killed, leaves the command of its stage alive, so a second one may be started beside it.

    Args:
        folder: holds the lock; made if it is not there.
        activity: what the holder does, for the message, such as "scoring".

    Raises:
        WaznError: another process holds the lock.
    """
    lock, holder = FileLock(folder / "lock"), folder / "lock.pid"
    with writing(folder):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            process = f"process {holder.read_text()}" if holder.is_file() else "another process"
            raise WaznError(
                f"{folder}: {process} is {activity} already; wait for it or end it, then run the stage "
                "again"
            ) from None
    try:
        with replacing(holder) as temporary:
            temporary.write_text(str(os.getpid()))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
