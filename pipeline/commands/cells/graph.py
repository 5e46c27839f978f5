"""What the cells of the pipeline are, what each needs, and which are out of date: DVC's own answers.

A cell is a stage of dvc.yaml, or one of its matrix, under the name that `dvc repro` takes.
"""

import logging
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import get_active_graph, plan_repro

from pipeline.errors import WaznError

Needs = dict[str, Collection[str]]
"""For each cell those that must be done before it; in an order in which they can run."""


class Graph:
    """The graph of the project in the working folder."""

    def __init__(self) -> None:
        """Open the project.

        Raises:
            WaznError: the folder is no project of DVC.
        """
        # DVC's bars and notes would come between our own lines.
        logging.getLogger("dvc").setLevel(logging.ERROR)
        try:
            self._repo = Repo()
        except NotDvcRepoError:
            raise WaznError("no DVC project here; run it in the folder with dvc.yaml") from None

    def needs(self) -> Needs:
        """Every cell with what it needs, in the order of `dvc repro`; a frozen one needs nothing.

        Raises:
            WaznError: DVC cannot read the project's files.
        """
        with self._locked():
            graph = get_active_graph(self._repo.index.graph)
            return {
                stage.addressing: [other.addressing for other in graph.successors(stage)]
                for stage in plan_repro(graph)
            }

    def changed(self, cells: Iterable[str]) -> set[str]:
        """Those of `cells` that are out of date as the files are now.

        A cell that another command of DVC is running counts as such, as it cannot be asked about: started,
        it ends with a sentence of DVC's that names that command.

        Raises:
            WaznError: as `needs`.
        """
        with self._locked():
            return {cell for cell in cells if self._is_changed(cell)}

    def _is_changed(self, cell: str) -> bool:
        try:
            return any(stage.changed() for stage in self._repo.stage.collect(cell))
        except LockError:
            return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold DVC's lock, for which another command may have to be waited for, and read the files anew."""
        with ExitStack() as held:
            try:
                self._lock(held)
                yield
            except DvcException as error:
                raise WaznError(f"DVC: {' '.join(str(error).split())}") from error

    def _lock(self, held: ExitStack) -> None:
        said = False
        while True:
            try:
                held.enter_context(lock_repo(self._repo))
                return
            except LockError:
                if not said:
                    print("another command of DVC holds its lock; waiting for it", file=sys.stderr)
                said = True
