"""The processes of one run: how they find each other, and keep other runs away."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import PartialState
from filelock import FileLock, Timeout
from transformers.utils.logging import disable_progress_bar

from pipeline.errors import WaznError
from pipeline.files import replacing, writing


def join_processes(backend: str | None = None) -> PartialState:
    """This process and those that `accelerate launch` (or torchrun) started with it; alone without one.

    Each computes on a GPU of its own where there are GPUs. There is no bound on how long one waits for
    another: the launcher ends all when one fails.

    Args:
        backend: what they exchange by; nccl on GPUs and gloo on CPUs if None.
    """
    # torchrun's mark; accelerate cannot be told a backend for a process alone.
    options = {"backend": backend} if backend and "LOCAL_RANK" in os.environ else {}
    here = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=30), **options)
    if here.num_processes == 1 and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        print(
            "accelerate has started one process only: for several on CPUs (or on one GPU) it takes "
            "--multi_gpu as well, and no --cpu"
        )
    if not here.is_main_process:
        disable_progress_bar()
    return here


def together(here: PartialState) -> None:
    """Wait until every process is here.

    Raises:
        WaznError: one of them has ended.
    """
    try:
        here.wait_for_everyone()
    except RuntimeError as error:
        raise WaznError("another process of this run has ended early; its own message says why") from error


@contextmanager
def exclusively(folder: Path, doing: str) -> Iterator[None]:
    """Keep other runs of a stage away: DVC, when killed, leaves its command alive.

    Args:
        folder: holds the lock; made if need be.
        doing: what a process that has it is said to do.

    Raises:
        WaznError: another process holds `folder`.
    """
    lock, holder = FileLock(folder / "lock"), folder / "lock.pid"
    with writing(folder):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            process = f"process {holder.read_text()}" if holder.is_file() else "another process"
            raise WaznError(
                f"{folder}: {process} is {doing} already; wait for it or end it, then run the stage again"
            ) from None
    try:
        with replacing(holder) as temporary:
            temporary.write_text(str(os.getpid()))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
