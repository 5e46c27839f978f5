"""Which cell runs when: a graph of them over a number of slots. Nothing here knows DVC or a process."""

from bisect import insort
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from typing import Protocol


class State(StrEnum):
    """How a cell ended. What needs one that did not end well is not run."""

    DONE = "done"
    UP_TO_DATE = "up to date"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LEFT = "left running"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Ended:
    """A cell that has ended.

    Attributes:
        seconds: how long it ran; None if it did not.
        error: the first line of what was wrong, or empty.
    """

    cell: str
    state: State
    seconds: float | None = None
    error: str = ""


class Runner(Protocol):
    """What starts cells, on this machine or elsewhere."""

    def start(self, cell: str) -> None:
        """Start a cell, for which there is a slot."""

    def wait(self) -> list[Ended]:
        """Wait a little; the cells that have ended since the last call."""

    def stop(self) -> list[Ended]:
        """End all that runs, and wait for that."""


def reached(needs: Mapping[str, Collection[str]], changed: Collection[str]) -> dict[str, list[str]]:
    """The part of a graph that a change may reach: the cells in `changed`, and what needs them.

    Args:
        needs: as `graph.Needs`, in an order in which the cells can run.
    """
    found: dict[str, list[str]] = {}
    for cell, needed in needs.items():
        inside = [other for other in needed if other in found]
        if inside or cell in changed:
            found[cell] = inside
    return found


class Schedule:
    """The cells of a graph in its order, at most so many at once.

    A cell is freed when all that it needs have ended well. Whoever asks for the freed ones says of each
    whether it is to run (`queue`) or has ended (`end`). Of those that are queued the first in the order of
    the graph comes next.
    """

    def __init__(self, needs: Mapping[str, Collection[str]], slots: int) -> None:
        """Take a graph, in an order in which its cells can run, and the number of slots, at least 1."""
        self._sorter = TopologicalSorter(needs)
        self._sorter.prepare()
        self._place = {cell: place for place, cell in enumerate(needs)}
        self._slots = slots
        self._queued: list[str] = []
        self._running: set[str] = set()
        self._ended: dict[str, Ended] = {}

    def freed(self) -> list[str]:
        """The cells that have become free since the last call, in the order of the graph."""
        return sorted(self._sorter.get_ready(), key=self._place.__getitem__)

    def queue(self, cell: str) -> None:
        """Let a freed cell run when its turn comes."""
        insort(self._queued, cell, key=self._place.__getitem__)

    def next(self) -> str | None:
        """The cell to start now, which takes a slot; None if all slots are taken or no cell is queued."""
        if not self._queued or len(self._running) >= self._slots:
            return None
        cell = self._queued.pop(0)
        self._running.add(cell)
        return cell

    def end(self, ended: Ended) -> None:
        """Take note of a freed or running cell that has ended."""
        self._running.discard(ended.cell)
        self._ended[ended.cell] = ended
        if ended.state in (State.DONE, State.UP_TO_DATE):
            self._sorter.done(ended.cell)

    @property
    def finished(self) -> bool:
        """Whether no cell runs or is queued; the freed ones must have been asked for."""
        return not self._running and not self._queued

    def results(self) -> list[Ended]:
        """Every cell as it ended, in the order of the graph."""
        return [self._ended.get(cell, Ended(cell, State.NOT_RUN)) for cell in self._place]


def execute(
    schedule: Schedule,
    changed: Callable[[Collection[str]], Collection[str]],
    runner: Runner,
    note: Callable[[Ended], None],
) -> None:
    """Run the cells of a schedule to the end of those that can run.

    Whatever ends this early, Ctrl-C for one, stops the cells that run; those that then end well count.

    Args:
        changed: those of some cells that are out of date. A cell is asked about when what it needs is done:
            where that came out the same, nothing has to run.
        note: is told of each cell that has ended.
    """

    def end(those: Iterable[Ended]) -> None:
        for ended in those:
            schedule.end(ended)
            note(ended)

    try:
        while True:
            while freed := schedule.freed():
                out_of_date = changed(freed)
                end(Ended(cell, State.UP_TO_DATE) for cell in freed if cell not in out_of_date)
                for cell in freed:
                    if cell in out_of_date:
                        schedule.queue(cell)
            while following := schedule.next():
                runner.start(following)
            if schedule.finished:
                return
            end(runner.wait())
    finally:
        end(runner.stop())


def makespan(needs: Mapping[str, Collection[str]], slots: int, seconds: Mapping[str, float]) -> float:
    """Seconds from the first start to the last end, if each cell takes what `seconds` says, or nothing."""
    schedule, now = Schedule(needs, slots), 0.0
    running: list[tuple[float, str]] = []
    while True:
        for cell in schedule.freed():
            schedule.queue(cell)
        while following := schedule.next():
            heappush(running, (now + seconds.get(following, 0.0), following))
        if not running:
            return now
        now, cell = heappop(running)
        schedule.end(Ended(cell, State.DONE))
