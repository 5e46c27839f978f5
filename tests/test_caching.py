"""DVC, run for real on a reduced configuration: what reruns after a change, and nothing else.

A run takes half a minute to minutes, so all of these are slow.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from root import ROOT

pytestmark = pytest.mark.slow

MODELS = ("tiny_gpt2", "tiny_qwen2")
ARMS = ("uniform", "weighting")


def stages_of(model):
    return {
        f"base_model@{model}",
        f"evaluate_base@{model}",
        *(f"{stage}@{model}-{arm}-17" for stage in ("finetune", "evaluate") for arm in ARMS),
    }


def cells(*arms, seed=17, stages=("finetune", "evaluate")):
    """The trainings and evaluations of arms, of every model."""
    return {f"{stage}@{model}-{arm}-{seed}" for stage in stages for model in MODELS for arm in arms}


# The review reads the answers, and without ratings says at once that there are none.
REPORTS = {"review", "report"}
EVERY_STAGE = {
    *("code", "download", "normalise", "base_encoder@tiny_bert", "train_classifier", "score"),
    *("embed_references", "review", "report"),
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

    def replace(self, path, old, new):
        text = self.read(path)
        assert old in text
        (self.folder / path).write_text(text.replace(old, new, 1), encoding="utf-8")

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
    assert finished.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."


def test_another_alpha_reruns_only_what_the_weights_reach(project):
    result = project.run("dvc", "exp", "run", "-S", "weighting.alpha=0.25", "--name", "quarter")
    assert ran(result.stdout) == cells("weighting") | REPORTS
    # DVC compares experiments by the summary, and by nothing beside it.
    changed = project.run("dvc", "metrics", "diff", "HEAD", "--json").stdout
    assert "metrics/summary.json" in changed


def test_another_seed_trains_and_evaluates_with_it_and_keeps_what_is_there(project):
    project.edit(lambda params: params["seeds"].append(18))
    assert project.repro() == cells(*ARMS, seed=18) | REPORTS


def test_another_arm_runs_that_arm_and_the_report(project):
    """One that the file defines already, and one of the user's own."""
    project.edit(lambda params: params["arms"].append("strong"))
    assert project.repro() == cells("strong") | REPORTS
    own = {"alpha": 0.0, "beta": 1.0, "gamma": 3.0, "renormalise": True}
    project.edit(lambda params: params.update(own=own) or params["arms"].append("own"))
    assert project.repro() == cells("own") | REPORTS
    summary = yaml.safe_load(project.read("metrics/summary.json"))
    assert list(summary["tiny_gpt2"]) == ["base", "uniform", "weighting", "strong", "own"]
    # An arm that is changed reruns alone; one that is taken off leaves the report.
    project.edit(lambda params: params["own"].update(permute=4))
    assert project.repro() == cells("own") | REPORTS
    project.edit(lambda params: params["arms"].remove("own"))
    assert project.repro() == {"report"}
    assert "own" not in yaml.safe_load(project.read("metrics/summary.json"))["tiny_gpt2"]


def test_a_comment_or_a_docstring_reruns_the_hashing_of_code_only(project):
    project.replace("pipeline/errors.py", "class WaznError", "# A comment.\nclass WaznError")
    assert project.repro() == {"code"}
    project.replace("pipeline/training/loss.py", '"""', '"""Said in other words. ')
    assert project.repro() == {"code"}
    assert project.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."


def test_a_line_of_the_loss_reruns_fine_tuning_evaluation_and_report(project):
    path = "pipeline/training/loss.py"
    project.replace(path, "import torch\n", "import torch\n\n_CHANGED = 1\n")
    bases = {f"evaluate_base@{model}" for model in MODELS}
    done = project.repro()
    assert done == {"code", "report"} | cells(*ARMS) | bases, "the answers are the same, so is their review"


def test_a_line_of_the_style_reruns_the_report(project):
    style = project.folder / "pipeline/report/page.css"
    style.write_text(style.read_text(encoding="utf-8") + "\nh1 { letter-spacing: 0; }\n", encoding="utf-8")
    assert project.repro() == {"code", "report"}
    assert "letter-spacing: 0" in project.read("report/index.html")


def test_resources_rerun_nothing(project):
    def change(params):
        params["resources"] = {
            "score": {"tokens_per_batch": 64},
            "finetune": {
                "tokens_per_microbatch": 100,
                "gradient_checkpointing": True,
                "checkpoint_every": 1,
            },
            "evaluate": {"batch_size": 3, "bertscore_batch_size": 5},
        }

    project.edit(change)
    assert project.repro() == set()


def test_one_registry_entry_reruns_that_model(project):
    project.edit(lambda params: params["registry"]["tiny_gpt2"].update(lora_targets=["c_attn"]))
    assert (
        project.repro()
        == stages_of("tiny_gpt2")
        - {
            # The base model comes out the same, so what depends on it alone stays.
            "evaluate_base@tiny_gpt2"
        }
        | REPORTS
    )


def test_a_normalisation_rule_reruns_everything_after_it(project):
    project.edit(lambda params: params["normalise"]["rules_off"].update(language_model=["ya"]))
    assert project.repro() == EVERY_STAGE - {"code", "download"}


def test_the_page_template_reruns_the_report(project):
    project.replace("pipeline/report/page.html", "How sure?", "How surely?")
    assert project.repro() == {"code", "report"}
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


def test_another_primary_endpoint_reruns_the_report(project):
    project.edit(lambda params: params["report"]["primary"].update(group="all"))
    assert project.repro() == REPORTS


def test_other_test_rows_rerun_references_evaluations_and_report(project):
    ids = "data/generated/uniform/tiny_gpt2/17.parquet"
    before = pd.read_parquet(project.folder / ids)["id"]
    project.edit(lambda params: params["evaluate"].update(seed=18))
    evaluations = {stage for stage in EVERY_STAGE if stage.startswith("evaluate")}
    assert project.repro() == {"embed_references"} | REPORTS | evaluations
    after = pd.read_parquet(project.folder / ids)["id"]
    assert len(after) == len(before) == 6
    assert set(after) != set(before)


def test_a_changed_source_file_is_noticed(project):
    sample = project.folder / "data/sample/complaints.jsonl"
    lines = sample.read_text(encoding="utf-8").splitlines(keepends=True)
    sample.write_text("".join(lines[:-1]), encoding="utf-8")
    assert "download" in ran(project.run("dvc", "repro", "download").stdout)


def test_two_runs_from_a_clean_checkout_give_the_same_hashes(finished, tmp_path):
    again = checkout(tmp_path / "again")
    assert again.repro() == EVERY_STAGE
    first, second = (yaml.safe_load(project.read("dvc.lock"))["stages"] for project in (finished, again))
    assert first == second


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
    # Whether there is anything to review anew depends on the answers, which may be the same.
    assert project.repro() - {"review"} == every - done | {"report"}


def test_the_queue_runs_a_grid_on_the_whole_pipeline(project):
    """Each of the queue's tasks runs in a copy of what git tracks."""
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "results")
    project.run("dvc", "exp", "run", "--queue", "-S", "weighting.alpha=0.25,0.75")
    project.run("dvc", "queue", "start", "--jobs", "1")
    deadline = time.monotonic() + 250
    while (status := project.run("dvc", "queue", "status").stdout).count("Success") < 2:
        assert "Failed" not in status
        assert time.monotonic() < deadline, status
        time.sleep(2)
    shown = json.loads(project.run("dvc", "exp", "show", "--json").stdout)
    alphas = {
        experiment["revs"][0]["data"]["params"]["params.yaml"]["data"]["weighting"]["alpha"]
        for revision in shown
        for experiment in revision["experiments"] or []
    }
    assert alphas == {0.25, 0.75}
