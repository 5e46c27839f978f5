"""The processes of one run: how they are started, find each other, wait and add up."""

import os
import shlex
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import PartialState
from transformers.utils.logging import disable_progress_bar

from pipeline.errors import WaznError


def launch() -> None:
    """Run this command again through the launcher in WAZN_LAUNCH, such as `accelerate launch`.

    The launcher replaces this process, so whoever ends this process ends the launcher.

    Raises:
        WaznError: there is no such program.
    """
    # Removed, so that the processes that it starts do not launch again.
    launcher = shlex.split(os.environ.pop("WAZN_LAUNCH"))
    program = shutil.which(launcher[0]) or shutil.which(launcher[0], path=str(Path(sys.executable).parent))
    if program is None:
        raise WaznError(
            f"WAZN_LAUNCH: no program {launcher[0]}; write it as in: accelerate launch --num_processes 4"
        )
    sys.stdout.flush()
    os.execv(program, [program, *launcher[1:], "-m", "pipeline", *sys.argv[1:]])


def join_processes(backend: str | None = None) -> PartialState:
    """This process and those that `accelerate launch` (or torchrun) started with it; alone without a
    launcher.

    Each computes on a GPU of its own where there are GPUs. A process waits for another without a time
    limit: the launcher ends all of them when one fails.

    Args:
        backend: how they exchange tensors; None for nccl on GPUs and gloo on CPUs.
    """
    # LOCAL_RANK is set by torchrun; accelerate cannot be told a backend for a process that is alone.
    options = {"backend": backend} if backend and "LOCAL_RANK" in os.environ else {}
    processes = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=30), **options)
    if processes.num_processes == 1 and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        print(
            "accelerate has started one process only: for several on CPUs (or on one GPU) it takes "
            "--multi_gpu as well, and no --cpu"
        )
    if not processes.is_main_process:
        disable_progress_bar()
    return processes


def barrier(processes: PartialState) -> None:
    """Wait until every process calls this.

    Raises:
        WaznError: one of them has ended.
    """
    try:
        processes.wait_for_everyone()
    except RuntimeError as error:
        raise WaznError("another process of this run has ended early; its own message says why") from error


def all_reduce_min(values: torch.Tensor, processes: PartialState) -> torch.Tensor:
    """Take the least of each of `values` over the processes, in place; every process gets the same."""
    if processes.num_processes > 1:
        dist.all_reduce(values, dist.ReduceOp.MIN)
    return values


def all_reduce_sum(values: torch.Tensor, processes: PartialState) -> torch.Tensor:
    """Add `values` over the processes, in place; every process gets the same sums."""
    if processes.num_processes > 1:
        dist.all_reduce(values)
    return values
