"""wazn profile: a complete, commented params.yaml from what differs."""

import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.commands import profile
from pipeline.config.params import check, load
from pipeline.errors import WaznError

ROOT = Path(__file__).resolve().parents[2]
PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the profiles."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(project, name):
    profile.run(name, project / "params.yaml")
    return project / "params.yaml"


def merged(values, overlay):
    """`overlay` over `values`, mappings key by key."""
    return {
        **values,
        **{
            key: merged(values[key], value)
            if isinstance(value, dict) and isinstance(values.get(key), dict)
            else value
            for key, value in overlay.items()
        },
    }


def differences(values, overlay, path=()):
    """The keys of `overlay` that say what `values` say already."""
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            yield from differences(values[key], value, (*path, key))
        elif key in values and values[key] == value:
            yield (*path, key)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_gives_a_complete_file_with_its_values(project, name):
    path = written(project, name)
    load(path)
    default, overlay, complete = (
        yaml.safe_load(file.read_text(encoding="utf-8"))
        for file in (project / "profiles/default.yaml", project / f"profiles/{name}.yaml", path)
    )
    assert complete == merged(default, overlay)
    assert load(path) == check(complete, "complete")


def test_the_parameters_of_the_project_are_the_default_profile(project):
    text = written(project, "default").read_text(encoding="utf-8")
    assert text == (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert text == (ROOT / "profiles/default.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "default"])
def test_a_profile_holds_only_what_differs(name):
    default, overlay = (
        yaml.safe_load((ROOT / f"profiles/{file}.yaml").read_text(encoding="utf-8"))
        for file in ("default", name)
    )
    assert list(differences(default, overlay)) == []


def test_comments_and_order_of_the_default_stay(project):
    default = (project / "profiles/default.yaml").read_text(encoding="utf-8").splitlines()
    lines = written(project, "paper").read_text(encoding="utf-8").splitlines()
    comments = [line for line in default if line.lstrip().startswith("#")]
    kept = [line for line in lines if line in set(comments)]
    assert kept == comments
    keys = [line for line in lines if line and line[0].isalpha()]
    assert keys == [line for line in default if line and line[0].isalpha()]


def test_the_paper_profile_has_the_arms_of_the_paper(project):
    params = load(written(project, "paper"))
    assert params.arms == ["uniform", "mild", "weighting", "strong"]
    settings = {name: (arm.alpha, arm.beta, arm.gamma) for name, arm in params.arm_settings.items()}
    assert settings == {
        "uniform": (1.0, 1.0, 1.0),
        "mild": (0.75, 1.0, 1.25),
        "weighting": (0.5, 1.0, 1.5),
        "strong": (0.25, 1.0, 1.75),
    }
    assert len(params.models) == 10


def test_a_profile_that_is_not_there_names_those_that_are(project):
    with pytest.raises(
        WaznError, match=r"no profile 'papr' in profiles/; the nearest known one is paper; it has"
    ):
        profile.run("papr", project / "params.yaml")
    assert not (project / "params.yaml").exists()


def test_a_profile_with_a_mistake_leaves_the_parameters_as_they_are(project):
    path = written(project, "default")
    before = path.read_bytes()
    (project / "profiles/mine.yaml").write_text("finetune:\n  epochs: 0\n", encoding="utf-8")
    with pytest.raises(WaznError, match=r"profiles/mine.yaml: finetune.epochs"):
        profile.run("mine", path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ("seeds:\n  - 1\n  - 2\n", ("seeds", [1, 2])),
        ("# why\nseeds: [3]\n", ("seeds", [3])),
        (
            "mild:\n  alpha: 0.9\n",
            ("mild", {"alpha": 0.9, "beta": 1.0, "gamma": 1.25, "renormalise": False, "permute": None}),
        ),
        (
            "own:\n  alpha: 0.0\n  beta: 1.0\n  gamma: 2.0\n  renormalise: true\n",
            ("own", {"alpha": 0.0, "beta": 1.0, "gamma": 2.0, "renormalise": True}),
        ),
        ("normalise:\n  rules_off:\n    classifier:\n      - html\n", ("normalise", None)),
    ],
)
def test_lists_values_and_new_sections_are_taken_over(project, overlay, expected):
    (project / "profiles/mine.yaml").write_text(overlay, encoding="utf-8")
    values = yaml.safe_load(written(project, "mine").read_text(encoding="utf-8"))
    default = yaml.safe_load((project / "profiles/default.yaml").read_text(encoding="utf-8"))
    key, value = expected
    if value is None:
        assert values[key]["rules_off"]["classifier"] == ["html"]
        value = values[key]
    assert values == {**default, key: value}


@pytest.mark.parametrize(
    "text",
    [
        "finetune: {epochs: 5}\n",
        "'finetune':\n  epochs: 5\n",
        "finetune: &a\n  epochs: 5\nbase_model:\n  seed: 3\n  tiny: {steps: 1}\n",
        "? report\n: examples: 3\n",
        "report: {examples: 3}  # all of it\nfinetune: {\n  epochs: 5\n}\n",
    ],
    ids=["braces", "quotes", "anchor", "question mark", "braces over lines"],
)
def test_profile_in_another_style_is_merged_right_or_refused(text, project):
    """Never is what it says lost in silence."""
    (project / "profiles/mine.yaml").write_text(text, encoding="utf-8")
    try:
        path = written(project, "mine")
    except WaznError as error:
        assert str(error).startswith("profiles/mine.yaml: write it as profiles/default.yaml is")
        assert not (project / "params.yaml").exists()
    else:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert values == merged(
            yaml.safe_load((project / "profiles/default.yaml").read_text(encoding="utf-8")),
            yaml.safe_load(text),
        )
