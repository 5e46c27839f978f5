"""DVC, run for real on a reduced configuration: what reruns after a change, and nothing else."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from imports import ROOT

MODELS = ("tiny_gpt2", "tiny_qwen2")
LOSSES = ("uniform", "weighting")


def stages_of(model):
    return {
        f"base_model@{model}",
        f"evaluate_base@{model}",
        *(f"{stage}@{model}-{loss}-17" for stage in ("finetune", "evaluate") for loss in LOSSES),
    }


EVERY_STAGE = {
    *("download", "normalise", "base_encoder@tiny_bert", "train_classifier", "score"),
    *("embed_references", "report"),
    *stages_of("tiny_gpt2"),
    *stages_of("tiny_qwen2"),
}


def reduce(params):
    """The embedded default, as small as every stage still does its job."""
    for section in ("base_model", "base_encoder"):
        params[section]["tiny"] |= {"vocabulary": 300, "hidden": 16, "layers": 1, "heads": 2, "steps": 2}
    params["train_classifier"] |= {"epochs": 1}
    params["finetune"] |= {"epochs": 1, "train_rows": 16}
    params["evaluate"] |= {"test_rows": 6, "max_new_tokens": 4}
    params["embed_references"]["layer"] = 1
    params["report"]["examples"] = 2


class Project:
    """A checkout of its own, with a DVC cache of its own."""

    def __init__(self, folder):
        self.folder = folder

    def environment(self):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "DVC_SITE_CACHE_DIR": str(self.folder / ".dvc/tmp/site")}

    def start(self, *command):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment(), start_new_session=True, **quiet
        )

    def run(self, *command, check=True):
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def repro(self, *options):
        """Run `dvc repro`; the names of the stages that ran."""
        return ran(self.run("dvc", "repro", *options).stdout)

    def edit(self, change):
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(params)
        path.write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def read(self, path):
        return (self.folder / path).read_text(encoding="utf-8")


def ran(output):
    return set(re.findall(r"^Running stage '([^']+)'", output, flags=re.MULTILINE))


def checkout(folder):
    """The project as the working tree has it, committed in a repository of its own, reduced."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
        # A lock of another configuration says nothing here.
        if name and name != "dvc.lock" and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    lines = (folder / "data/sample/complaints.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "data/sample/complaints.jsonl").write_text("".join(lines[::6]), encoding="utf-8")
    project = Project(folder)
    project.edit(reduce)
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    project.run("git", *identity, "commit", "--quiet", "--message", "start")
    project.run("git", "config", "user.name", "test")
    project.run("git", "config", "user.email", "test@localhost")
    return project


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project whose every stage has run once."""
    project = checkout(tmp_path_factory.mktemp("finished") / "project")
    assert project.repro() == EVERY_STAGE
    return project


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished project, to change at will."""
    shutil.copytree(finished.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_nothing_reruns_after_nothing(finished):
    assert finished.repro() == set()


def test_another_alpha_reruns_only_what_the_weights_reach(project):
    result = project.run("dvc", "exp", "run", "-S", "weighting.alpha=0.25", "--name", "quarter")
    expected = {f"{stage}@{model}-weighting-17" for stage in ("finetune", "evaluate") for model in MODELS}
    assert ran(result.stdout) == expected | {"report"}
    # DVC compares experiments by the summary, and by nothing beside it.
    changed = project.run("dvc", "metrics", "diff", "HEAD", "--json").stdout
    assert "metrics/summary.json" in changed


def test_another_seed_trains_and_evaluates_with_it_and_keeps_what_is_there(project):
    project.edit(lambda params: params["seeds"].append(18))
    new = {
        f"{stage}@{model}-{loss}-18"
        for stage in ("finetune", "evaluate")
        for model in MODELS
        for loss in LOSSES
    }
    assert project.repro() == new | {"report"}


def test_one_registry_entry_reruns_that_model(project):
    project.edit(lambda params: params["registry"]["tiny_gpt2"].update(lora_targets=["c_attn"]))
    assert project.repro() == stages_of("tiny_gpt2") - {
        # The base model comes out the same, so what depends on it alone stays.
        "evaluate_base@tiny_gpt2"
    } | {"report"}


@pytest.mark.slow
def test_a_normalisation_rule_reruns_everything_after_it(project):
    folded = {"alef": True, "ta_marbuta": True}
    project.edit(lambda params: params["normalise"]["rules"]["language_model"].update(folded))
    assert project.repro() == EVERY_STAGE - {"download"}


def test_the_page_template_reruns_the_report(project):
    page = project.folder / "pipeline/report/page.html"
    page.write_text(page.read_text(encoding="utf-8").replace("How sure?", "How surely?"), encoding="utf-8")
    assert project.repro() == {"report"}
    assert "How surely?" in project.read("report/index.html")


def test_a_model_taken_off_the_list_leaves_the_report_and_reruns_nothing_else(project):
    project.edit(lambda params: params["models"].remove("tiny_qwen2"))
    assert project.repro() == {"report"}
    assert "tiny_qwen2" not in project.read("metrics/summary.json")
    assert "Tiny Qwen2" not in project.read("report/index.html").split("params.yaml")[0]


def test_report_names_an_expected_file_that_is_missing(project):
    (project.folder / "data/generated/uniform/tiny_gpt2/17.parquet").unlink()
    result = project.run(sys.executable, "-m", "pipeline", "report", check=False)
    assert result.returncode == 2
    assert "data/generated/uniform/tiny_gpt2/17.parquet" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_changed_source_file_is_noticed(project):
    sample = project.folder / "data/sample/complaints.jsonl"
    lines = sample.read_text(encoding="utf-8").splitlines(keepends=True)
    sample.write_text("".join(lines[:-1]), encoding="utf-8")
    assert "download" in ran(project.run("dvc", "repro", "download").stdout)


@pytest.mark.slow
def test_two_runs_from_a_clean_checkout_give_the_same_hashes(finished, tmp_path):
    again = checkout(tmp_path / "again")
    assert again.repro() == EVERY_STAGE
    first, second = (yaml.safe_load(project.read("dvc.lock"))["stages"] for project in (finished, again))
    for stages in (first, second):
        # The page names the commit, whose hash tells the time.
        [page] = [out for out in stages["report"]["outs"] if out["path"] == "report/index.html"]
        stages["report"]["outs"].remove(page)
    assert first == second


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_after_the_last_finished_run(project):
    """Of several evaluations that a change reaches, those that DVC has recorded are not made again."""

    def evaluated():
        try:
            stages = yaml.safe_load(project.read("dvc.lock"))["stages"]
        except (yaml.YAMLError, TypeError, KeyError):
            return set()  # just being written
        settings = {
            name: stage["params"]["params.yaml"] for name, stage in stages.items() if "evaluate" in name
        }
        return {name for name, params in settings.items() if params["evaluate"]["max_new_tokens"] == 5}

    project.edit(lambda params: params["evaluate"].update(max_new_tokens=5))
    assert evaluated() == set()
    repro = project.start("dvc", "repro")
    deadline = time.monotonic() + 200
    while len(evaluated()) < 2:
        assert time.monotonic() < deadline, "no evaluation ended"
        time.sleep(0.2)
    os.killpg(repro.pid, signal.SIGKILL)
    repro.wait()
    done = evaluated()
    every = {stage for stage in EVERY_STAGE if stage.startswith("evaluate")}
    assert done < every
    assert project.repro() == every - done | {"report"}


@pytest.mark.slow
def test_sweep_makes_the_three_experiments_and_leaves_the_parameters(project):
    before = project.read("params.yaml")
    project.run(sys.executable, "-m", "pipeline", "sweep")
    assert project.read("params.yaml") == before
    names = project.run("dvc", "exp", "list", "--name-only").stdout.split()
    assert sorted(names) == ["balanced", "mild", "strong"]
    # The workspace is back at the results of its own parameters.
    assert project.repro() == set()
    # And the same command again computes nothing anew.
    assert ran(project.run(sys.executable, "-m", "pipeline", "sweep").stdout) == set()


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_still_leaves_the_parameters(project):
    before = project.read("params.yaml")
    sweep = project.start(sys.executable, "-m", "pipeline", "sweep")
    deadline = time.monotonic() + 120
    while project.read("params.yaml") == before:
        assert time.monotonic() < deadline, "the sweep never began"
        time.sleep(0.2)
    time.sleep(5)
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.wait()
    assert project.read("params.yaml") != before
    project.run(sys.executable, "-m", "pipeline", "sweep")
    assert project.read("params.yaml") == before
    assert len(project.run("dvc", "exp", "list", "--name-only").stdout.split()) == 3


@pytest.mark.slow
def test_sweep_hands_the_three_to_the_queue(project):
    project.run(sys.executable, "-m", "pipeline", "sweep", "--queue")
    queued = project.run("dvc", "queue", "status").stdout
    assert all(name in queued for name in ("mild", "balanced", "strong"))
