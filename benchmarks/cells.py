"""python benchmarks/cells.py

Cells an hour of `wazn run` with 1 and 2 jobs beside `dvc repro`, and what a cell takes besides its command.

A clone of this repository (what is committed) is made ready with the embedded default: data, classifier,
two tiny base models, references. Copies of it then run what is left, the fine-tunings, evaluations and the
report: by the bare commands one after the other, by `dvc repro`, and by `wazn run`. The overhead of a cell
is the time beyond that of the bare commands, divided by the cells. Says too whether the outputs are the
same as those of `dvc repro`, byte for byte. --small tries it out on a few rows.
Aimed at: 2 jobs on 2 cores at least 1.5 times `dvc repro`; at most 4 s of overhead a cell.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import get_active_graph, plan_repro

ROOT = Path(__file__).resolve().parents[1]
READY = ("score", "embed_references", "base_model")
ROW = "{:<20} {:>8} {:>12} {:>14} {:>10} {:>12}"


def main() -> None:
    """Prepare a project, run copies of it, print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="cells at once")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17], help="trainings of each arm")
    parser.add_argument("--small", action="store_true", help="a few rows, to try this out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready"
        prepare(ready, arguments)
        cells = commands(ready)
        print(f"{len(cells)} cells, {len(os.sched_getaffinity(0))} cores\n")
        print(ROW.format("", "seconds", "cells/hour", "of dvc repro", "overhead", "same bytes"))
        # Each command is `python -m pipeline …`.
        bare, _ = timed(ready, *(command.split()[1:] for command in cells.values()))
        repro, lock = timed(ready, ["-m", "dvc", "repro"])
        show("commands alone", bare, cells, repro, bare, "")
        show("dvc repro", repro, cells, repro, bare, "")
        for jobs in arguments.jobs:
            seconds, found = timed(ready, ["-m", "pipeline", "run", "--jobs", str(jobs)])
            show(f"wazn run --jobs {jobs}", seconds, cells, repro, bare, "yes" if found == lock else "no")


def prepare(project: Path, arguments: argparse.Namespace) -> None:
    """A clone with everything made that the cells need."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["seeds"] = arguments.seeds
    if arguments.small:
        params["train_classifier"] |= {"epochs": 1}
        params["finetune"] |= {"epochs": 1, "train_rows": 16}
        params["evaluate"] |= {"test_rows": 6, "max_new_tokens": 4}
        for section in ("base_model", "base_encoder"):
            params[section]["tiny"] |= {"steps": 2}
    path.write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")
    execute(project, [sys.executable, "-m", "dvc", "repro", *READY])


def commands(project: Path) -> dict[str, str]:
    """The cells that are left, each with its command, in their order."""
    with Repo(str(project)) as repo, lock_repo(repo):
        stages = plan_repro(get_active_graph(repo.index.graph))
        return {stage.name: stage.cmd for stage in stages if stage.changed()}


def timed(ready: Path, *those: list[str]) -> tuple[float, Any]:
    """Seconds of calls of Python in a fresh copy of the project, and the outputs that DVC has noted."""
    project = ready.parent / "copy"
    shutil.copytree(ready, project, symlinks=True)
    start = time.perf_counter()
    for arguments in those:
        execute(project, [sys.executable, *arguments])
    seconds = time.perf_counter() - start
    lock = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    shutil.rmtree(project)
    return seconds, {cell: stage["outs"] for cell, stage in lock.items()}


def execute(project: Path, command: list[str]) -> None:
    """Run a command of the project's own code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}:\n{done.stdout[-3000:]}")


def show(name: str, seconds: float, cells: dict[str, str], repro: float, bare: float, same: str) -> None:
    """Print a row."""
    count = len(cells)
    overhead = f"{(seconds - bare) / count:.1f} s" if seconds > bare else ""
    row = (
        name,
        f"{seconds:.0f}",
        f"{3600 * count / seconds:.0f}",
        f"{repro / seconds:.2f}",
        overhead,
        same,
    )
    print(ROW.format(*row), flush=True)


if __name__ == "__main__":
    main()
