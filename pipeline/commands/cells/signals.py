"""Ctrl-C and the signals that end a process, at a moment when that loses nothing."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """While it is entered, the first signal raises, though not within `hold`; others are only noted.

    SIGINT raises KeyboardInterrupt, SIGTERM and SIGHUP SystemExit with 128 + their number. One that was
    ignored stays so, but not in the processes that are started meanwhile.

    Attributes:
        noted: how many have come.
    """

    def __init__(self) -> None:
        self.noted = 0
        self._held = False
        self._pending: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _ENDING:
            ignored = signal.getsignal(number) == signal.SIG_IGN
            # What is ignored would be so in a process that is started, what has a handler is not.
            self._before[number] = signal.signal(number, _ignore if ignored else self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Within the block nothing is raised; the signal that came first is raised at its end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending is not None:
            number, self._pending = self._pending, None
            raise _exception(number)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.noted += 1
        if self.noted > 1:
            return
        if self._held:
            self._pending = number
        else:
            raise _exception(number)


def _ignore(*_: object) -> None:
    pass


def _exception(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
