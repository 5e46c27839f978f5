"""docs/walkthrough.md, followed to the letter: every command of it, and what it prints."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from root import ROOT

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs/walkthrough.md"
BLOCK = re.compile(r"^```(console|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n?)*)", re.MULTILINE)
ANYTHING = "…"


def blocks():
    """Kind and text of each block of the page."""
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def laid_out(folder):
    """A clone of the project as it is here, committed, with nothing that a run has made."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\0"
    ):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "here")):
        subprocess.run((*git, *words), cwd=folder, check=True)


def merged(values, changes):
    """The parameters with those of a block in the place of their own."""
    for key, value in changes.items():
        values[key] = merged(values[key], value) if isinstance(value, dict) and key in values else value
    return values


def fits(shown, printed):
    """Whether what a command printed is what the page shows, where `…` stands for anything."""
    lines = [re.escape(line).replace(ANYTHING, ".*") for line in shown.strip("\n").splitlines()]
    pattern = "\n".join("(?:.*\n)*?.*" if line == ".*" else line for line in lines)
    return re.fullmatch(pattern, printed.strip("\n")) is not None


def test_the_page_is_true(tmp_path):
    project = tmp_path / "wazn"
    laid_out(project)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = os.environ | {
        "PATH": path,
        "PYTHONPATH": str(project),
        "COLUMNS": "120",
        "DVC_NO_ANALYTICS": "1",
    }
    for kind, text in blocks():
        if kind == "yaml":
            params = project / "params.yaml"
            values = merged(yaml.safe_load(params.read_text(encoding="utf-8")), yaml.safe_load(text))
            params.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), encoding="utf-8")
            continue
        for command, shown in COMMAND.findall(text):
            done = subprocess.run(
                ["bash", "-c", command], cwd=project, env=given, capture_output=True, text=True, check=False
            )
            printed = done.stdout.replace(str(project.parent), ANYTHING)
            assert done.returncode == 0, f"{command}\n{printed}\n{done.stderr}"
            assert fits(shown, printed), f"{command}\n{printed}\n{done.stderr}"


def test_a_page_that_is_not_true_is_found():
    assert fits("a\n…\nd", "a\nb\nc\nd\n")
    assert fits("a\n…\nd", "a\nd\n") is False
    assert fits("took … s", "took 3.5 s")
    assert not fits("a 1", "a 2")
