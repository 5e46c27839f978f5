"""Measure what a stage takes in a process of its own, and say it."""

import signal
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from transformers.utils.logging import disable_progress_bar

from pipeline.errors import WaznError

T = TypeVar("T")


def measured(function: Callable[..., T], *arguments: Any, name: str, section: str) -> T:
    """What `function` gives in a fresh process.

    Args:
        name: what is measured; section: of params.yaml, which says how much is computed at once.

    Raises:
        WaznError: what `function` raises, or the process was killed.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), _be_silent) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise WaznError(
                f"{name}: was killed while it was measured, perhaps for lack of memory; lower what "
                f"{section} allows at once"
            ) from error


def duration(seconds: float) -> str:
    """A time in the unit that reads well."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _be_silent() -> None:
    """Let Ctrl-C end this process without a word, and nothing of a library come between the rows."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    disable_progress_bar()
