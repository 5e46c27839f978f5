"""Gemma 3 270M, a project with it, and what that fine-tunes: each is made once in a test run."""

from types import SimpleNamespace

import pytest
from real_models import gemma_folder, made_once
from real_project import TRAIN, VALID, finetune, lay_out, link


@pytest.fixture(scope="session")
def gemma(tmp_path_factory):
    """The folder of the model before fine-tuning."""
    return gemma_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def project(gemma, tmp_path_factory, scored_table):
    """The folder of a project in which nothing has run."""
    return made_once(
        tmp_path_factory,
        "gemma-project",
        lambda folder: lay_out(folder, gemma, scored_table(TRAIN + VALID, 0)),
    )


@pytest.fixture(scope="session")
def trained(project, tmp_path_factory):
    """The `folder` of a project that has fine-tuned the arm `uniform`, and what that printed, `out`."""

    def make(folder):
        link(project, folder)
        (folder / "printed.txt").write_text(finetune(folder, "uniform"), encoding="utf-8")

    folder = made_once(tmp_path_factory, "gemma-trained", make)
    return SimpleNamespace(folder=folder, out=(folder / "printed.txt").read_text(encoding="utf-8"))
