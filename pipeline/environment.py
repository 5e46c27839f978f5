"""What must be in a process's environment before Python, its allocator or a library starts."""

import os
import signal
import sys

SETTINGS = {
    # Sums of a matrix product in one order, whatever the memory's alignment and the machine's load.
    "MKL_CBWR": "AUTO,STRICT",
    "MKL_DYNAMIC": "FALSE",
    # oneDNN keeps a kernel for each shape of matrices, some 0.3 MB each, and torch what stands around it:
    # 1024 of either if not told.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "64",
    # bert-score batches texts in the order of a set, and that of strings follows the hash seed.
    "PYTHONHASHSEED": "0",
    # glibc would hand every large tensor back to the kernel and have its successor zeroed page by page;
    # kept, and in large pages, they make training on a CPU half as fast again (benchmarks/finetune.py).
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "1000000000000",
    "THP_MEM_ALLOC_ENABLE": "1",
}


def lacking() -> dict[str, str]:
    """The settings that this process's environment does not name; the hash seed must be ours."""
    return {
        name: value
        for name, value in SETTINGS.items()
        if name not in os.environ or (name == "PYTHONHASHSEED" and os.environ[name] != value)
    }


def establish() -> None:
    """Start `python -m pipeline` anew with the settings in its environment, if they are not."""
    if more := lacking():
        os.environ.update(more)
        # Ctrl-C waits until the new Python is ready for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.execv(sys.executable, [sys.executable, "-m", "pipeline", *sys.argv[1:]])
