"""What the cells of the pipeline are, what each needs, and which are out of date: DVC's own answers.

A cell is a stage of dvc.yaml, or one of its matrix, under the name that `dvc repro` takes.
"""

import logging
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from dvc.env import DVC_ROOT, DVC_STAGE
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.stage import PipelineStage, Stage
from dvc.stage.cache import RunCacheNotFoundError

from pipeline.commands.cells.job import Work
from pipeline.errors import WaznError
from pipeline.hashes import json_digest

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

        A cell that cannot be asked about counts as such: another command of DVC is running it, or dvc.yaml
        has it no more. Started, it ends with a sentence of DVC's that says so.

        Raises:
            WaznError: as `needs`.
        """
        with self._locked():
            # Read once: `collect` reads every file of the project again for each cell.
            stages = {stage.addressing: stage for stage in self._repo.index.stages}
            return {cell for cell in cells if cell not in stages or _is_changed(stages[cell])}

    def prepare(self, cell: str) -> Work | None:
        """Do what `dvc repro` does before it runs the commands of a cell that is out of date.

        Its outputs are removed, and taken from the cache if an equal run is known there.

        Returns:
            What is to be run then, and to be recorded; None if the cell is done.

        Raises:
            WaznError: something that the cell needs is missing, or another command of DVC has it.
        """
        with self._locked():
            (stage,) = self._repo.stage.collect(cell)
            if stage.frozen or not stage.cmd:
                self._repo.reproduce(cell, single_item=True)
                return None
            # Of another object, as `restore` compares this one's with the files.
            inputs = _inputs(self._repo.stage.collect(cell)[0])
            stage.remove_outs()
            try:
                self._repo.stage_cache.restore(stage)
            except RunCacheNotFoundError:
                return Work(
                    cell=cell,
                    commands=stage.cmd if isinstance(stage.cmd, list) else stage.cmd.splitlines(),
                    folder=stage.wdir,
                    outputs=[output.fs_path for output in stage.outs if not output.persist],
                    variables={DVC_ROOT: self._repo.root_dir, DVC_STAGE: cell},
                    inputs=inputs,
                )
            self._repo.commit(cell, force=True)
            return None

    def inputs(self, cell: str) -> str:
        """The hash of all that a cell depends on, as the files are now; see `Work`.

        Raises:
            WaznError: something of that is missing.
        """
        with self._locked():
            return _inputs(self._repo.stage.collect(cell)[0])

    def record(self, cell: str, inputs: str) -> None:
        """Record a cell whose commands have been run outside DVC, as `dvc commit --force` does.

        Args:
            inputs: of the commands; what they made of other files is not what DVC would be told.

        Raises:
            WaznError: an output is missing, or the inputs are others now.
        """
        with self._locked():
            if inputs != _inputs(self._repo.stage.collect(cell)[0]):
                raise WaznError(
                    "what it depends on has changed since it was started, so it is not recorded"
                )
            self._repo.commit(cell, force=True)

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


def _is_changed(stage: Stage) -> bool:
    try:
        return bool(stage.changed())
    except LockError:
        return True


def _inputs(stage: PipelineStage) -> str:
    stage.save_deps()
    return json_digest([stage.cmd, [dependency.dumpd() for dependency in stage.deps]])
