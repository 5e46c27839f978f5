"""wazn pin: commits in place of branches, against a server that plays the Hub; nothing else changes."""

import os
import shutil
import subprocess
import sys

import pytest
from hub_server import SHA, TOKEN, Hub, Repository
from root import ROOT

from pipeline.commands.profile import complete
from pipeline.config.params import check, parse_yaml

MODELS = [
    entry["source"].removeprefix("hub:").removesuffix("@main")
    for entry in parse_yaml((ROOT / "profiles/paper.yaml").read_text(encoding="utf-8"), "")[
        "registry"
    ].values()
]
# Every way to write a source, and what must stay: comments, other sources, what only looks like one.
OWN = f"""\
# hub:wazn/model@main stays in a comment.
registry:
  one:
    title: hub:wazn/model@main
    source: hub:wazn/model@main
    lora_targets: null

  two:   {{title: two, source: "hub:wazn/model@v1.0", lora_targets: null}}
  three:
    source: 'hub:wazn/model@refs/pr/1'   # why this one
  four:
    source: hub:wazn/other@{SHA}
  five:
    source: tiny:gpt2
  six: &six
    source: hub:before/model@main
  seven: *six
download:
  pairs:
    - source: hf:wazn/data@main:train
      question: q
    - {{source: hf:wazn/data@main}}
    - source: data.csv
"""
PINNED = f"""\
# hub:wazn/model@main stays in a comment.
registry:
  one:
    title: hub:wazn/model@main
    source: hub:wazn/model@{SHA}  # main
    lora_targets: null

  two:   {{title: two, source: "hub:wazn/model@{SHA}", lora_targets: null}}
  three:
    source: 'hub:wazn/model@{SHA}'   # why this one
  four:
    source: hub:wazn/other@{SHA}
  five:
    source: tiny:gpt2
  six: &six
    source: hub:before/model@{SHA}  # main
  seven: *six
download:
  pairs:
    - source: hf:wazn/data@{SHA}:train  # main
      question: q
    - {{source: hf:wazn/data@{SHA}}}
    - source: data.csv
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """With the paper's models, some of the test's own, and those that refuse."""
    empty = tmp_path_factory.mktemp("repository")
    names = [*MODELS, "wazn/model", "wazn/other", "datasets/wazn/data", "datasets/wazn/chat"]
    repositories = {name: Repository(empty) for name in names}
    repositories |= {f"wazn/{how}": Repository(empty, how) for how in ("private", "broken")}
    with Hub(repositories, renamed={"before/model": "wazn/model"}).running() as hub:
        yield hub


def pin(hub, path, **variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "pin", "--params", path.name],
        cwd=path.parent,
        env={
            **kept,
            "PYTHONPATH": str(ROOT),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(path.parent),
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_a_source_is_pinned_however_it_is_written_and_all_else_stays(hub, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN, encoding="utf-8")
    hub.asked.clear()
    done = pin(hub, path)
    assert done.returncode == 0, done.stderr
    assert path.read_text(encoding="utf-8") == PINNED
    assert len([request for request in hub.asked if "wazn/model/revision/main" in request]) == 2, (
        "once by each name"
    )
    assert "hub:before/model@main: is called wazn/model now" in done.stdout
    again = pin(hub, path)
    assert "stays as it is" in again.stdout
    assert path.read_text(encoding="utf-8") == PINNED


@pytest.mark.parametrize("file", ["params.yaml", "profiles/paper.yaml"])
def test_the_papers_models_are_pinned(hub, tmp_path, file, monkeypatch):
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / file
    if file == "params.yaml":
        path.write_text(complete("paper"), encoding="utf-8")
    before = path.read_text(encoding="utf-8")
    done = pin(hub, path)
    assert done.returncode == 0, done.stderr
    after = path.read_text(encoding="utf-8")
    changed = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert len(changed) == len(MODELS) == 12
    assert all(b == a.replace("@main", f"@{SHA}  # main") for a, b in changed)
    text = after if file == "params.yaml" else complete("paper")
    params = check(parse_yaml(text, file), file)
    sources = [params.registry[name].source for name in (*params.models, *params.encoders)]
    assert all(source.endswith(f"@{SHA}") for source in sources)


@pytest.mark.parametrize(
    ("name", "variables", "expected"),
    [
        ("wazn/unknown@main", {}, "no such model at"),
        ("wazn/private@main", {}, "no such model at"),
        ("wazn/model@nowhere", {}, "the model is there, but it has no such branch, tag or commit"),
        ("wazn/model@main", {"HF_TOKEN": "hf_no_such"}, "the Hub refuses the token"),
        ("wazn/model@main", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set, so the Hub is not asked"),
        ("wazn/model@main", {"HF_ENDPOINT": "http://127.0.0.1:1"}, "could not be fetched from"),
    ],
)
def test_what_cannot_be_looked_up_is_one_sentence_and_nothing_is_written(
    hub, tmp_path, name, variables, expected
):
    path = tmp_path / "own.yaml"
    own = OWN.replace("tiny:gpt2", f"hub:{name}")
    path.write_text(own, encoding="utf-8")
    done = pin(hub, path, **variables)
    assert done.returncode == 2
    assert done.stderr.startswith("wazn: hub:wazn/model@main: " if variables else f"wazn: hub:{name}: ")
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert path.read_text(encoding="utf-8") == own
    assert list(tmp_path.glob(".own*")) == []


def test_a_private_model_is_pinned_with_a_token(hub, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("registry:\n  mine:\n    source: hub:wazn/private@main\n", encoding="utf-8")
    done = pin(hub, path, HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert f"source: hub:wazn/private@{SHA}  # main\n" in path.read_text(encoding="utf-8")
    assert TOKEN not in done.stdout + done.stderr
