"""How a command ends when it cannot go on: with one line, or none, and an exit code."""

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from pipeline.errors import WaznError
from pipeline.os_errors import refused, system_error

_MEMORY = (
    "there is not enough memory; close other programs, or lower what `resources` allows at once (for the "
    "classifier's training train_classifier.batch_size)"
)


def run(command: Callable[[], object]) -> None:
    """Run a command of the command line.

    A `WaznError`, what the system refuses and a lack of memory are one line on stderr and exit code 2.
    Without a word, Ctrl-C gives exit code 130, and a reader of the output that has gone (`| head`) 1.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has no Arabic gets escapes.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except WaznError as error:
        _end(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Python would try again to write what is left when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if (system := system_error(error)) is None:
            raise
        _end(str(refused(system.filename or "a file", "read or written", system)))
    except MemoryError:
        _end(_MEMORY)
    except RuntimeError as error:
        # As torch says it, which is not imported here. What can be cut smaller is, by models/budgets.py.
        if any(text in str(error) for text in (" out of memory", "can't allocate memory", "_ALLOC_FAILED")):
            _end(_MEMORY)
        operator, found, _ = str(error).partition(" does not have a deterministic implementation")
        if not found:
            raise
        _end(f"{operator} gives no results that repeat on this device; hide it (CUDA_VISIBLE_DEVICES=)")


def interruptible() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt, unless it is ignored: what is open gets closed."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(sentence: str) -> NoReturn:
    print(f"wazn: {sentence}", file=sys.stderr)
    sys.exit(2)
