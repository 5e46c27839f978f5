"""What a run of cells shows: on a terminal a line for each that runs, elsewhere its start and its end."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from tabulate import tabulate

from pipeline.commands.cells.runner import Running, last_line, log_of
from pipeline.commands.cells.schedule import Ended, State

# Seconds between two drawings.
_INTERVAL = 0.5


class Screen:
    """The lines about the cells of a run, on standard output."""

    def __init__(self, count: int) -> None:
        """Take the number of cells that may run."""
        self._console = Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._count, self._ended = count, 0
        self._drawn = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._console.is_interactive:
            self._live = self._stack.enter_context(
                Live(console=self._console, auto_refresh=False, transient=True)
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def started(self, running: Running) -> None:
        """See `runner.Watcher`."""
        if self._live is None:
            self._print(f"{running.cell}: started {running.place}; {running.log}")

    def running(self, those: Sequence[Running]) -> None:
        """See `runner.Watcher`; draws twice a second."""
        if self._live is None or time.monotonic() - self._drawn < _INTERVAL:
            return
        self._drawn = time.monotonic()
        lines = [f"{self._ended} of {self._count} cells have ended"]
        lines += [f"{one.cell}  {one.place}  {clock(one.seconds)}  {last_line(one.log)}" for one in those]
        rows = [Text(line, no_wrap=True, overflow="ellipsis") for line in lines]
        self._live.update(Group(*rows), refresh=True)

    def ended(self, ended: Ended) -> None:
        """Say how a cell ended; of one that is up to date nothing is said."""
        self._ended += 1
        if ended.state != State.UP_TO_DATE:
            time_ = "" if ended.seconds is None else f", {clock(ended.seconds)}"
            self._print(f"{ended.cell}: {ended.state}{time_}{': ' * bool(ended.error)}{ended.error}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, emoji=False)
        self._console.file.flush()


def table(results: Sequence[Ended], seconds: float) -> str:
    """The cells of a run in their order with state and time, then what was wrong with each that failed."""
    shown = [ended for ended in results if ended.state != State.UP_TO_DATE]
    rows = [
        (ended.cell, str(ended.state), "" if ended.seconds is None else clock(ended.seconds))
        for ended in shown
    ]
    counts = Counter(ended.state for ended in results)
    lines = [tabulate(rows, ["cell", "state", "time"], colalign=("left", "left", "right")), ""]
    lines += [
        f"{ended.cell}: {ended.error} ({log_of(ended.cell)})"
        for ended in shown
        if ended.state == State.FAILED
    ]
    lines.append(f"{', '.join(f'{count} {state}' for state, count in counts.items())}; {clock(seconds)}")
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """A time as 0:41 or 2:00:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
