"""dvc.yaml says the truth about what each stage depends on."""

from pathlib import Path

import pytest
import yaml
from imports import ROOT, imported_files

from pipeline.config.params import Params, load

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = DVC["stages"]


def command(stage: str) -> str:
    """The command that a stage runs: its name, save that `evaluate_base` has no seeds to multiply by."""
    return STAGES[stage]["cmd"].split()[3]


def declared(stage: str) -> set[Path]:
    """The code that a stage declares: Python files, and the folder of the plots' templates."""
    paths = {Path(dep) for dep in STAGES[stage]["deps"] if dep.startswith("pipeline/")}
    return {path / "__init__.py" if (ROOT / path).is_dir() else path for path in paths}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_modules_it_imports(stage):
    imported = imported_files(Path(f"pipeline/stages/{command(stage)}.py"))
    assert {path for path in declared(stage) if path.suffix == ".py"} == imported


def test_report_depends_on_its_template_and_its_plots():
    assert "pipeline/report/page.html" in STAGES["report"]["deps"]
    assert "pipeline/report/plots" in STAGES["report"]["deps"]


def test_download_depends_on_the_terms_by_which_the_lexicon_labels():
    assert "pipeline/severity/lexicon.yaml" in STAGES["download"]["deps"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_a_module_a_command_and_described(stage):
    assert command(stage) == stage or (stage, command(stage)) == ("evaluate_base", "evaluate")
    assert (ROOT / f"pipeline/stages/{command(stage)}.py").is_file()
    assert STAGES[stage]["cmd"].startswith(f"python -m pipeline {command(stage)}")
    assert STAGES[stage]["desc"]


def test_every_stage_module_is_a_stage():
    modules = {path.stem for path in (ROOT / "pipeline/stages").glob("*.py")} - {"__init__"}
    assert modules == {command(stage) for stage in STAGES}


# What a stage's run() is given by the command line, in the words of dvc.yaml.
PARAMETERS = {
    "entry": "registry.${item.model}",
    "weights": "${item.loss}",
    "params": "params.yaml",
    "test_rows": "evaluate.test_rows",
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_parameters_it_is_given(stage):
    import ast

    tree = ast.parse((ROOT / f"pipeline/stages/{command(stage)}.py").read_text(encoding="utf-8"))
    run = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run")
    given = {argument.arg for argument in (*run.args.args, *run.args.kwonlyargs)} - {
        "model",
        "loss",
        "run",
        "seed",
    }
    names = {next(iter(item)) if isinstance(item, dict) else item for item in STAGES[stage]["params"]}
    assert names == {PARAMETERS.get(name, name) for name in given}


@pytest.mark.parametrize("profile", ["params.yaml", "profiles/paper.yaml"])
def test_every_section_of_the_parameters_belongs_to_a_stage_or_is_shared(profile):
    params = load(ROOT / profile)
    shared = {"models", "encoders", "seeds", "weighting", "uniform", "severity", "presets", "registry"}
    assert set(Params.model_fields) - shared == {command(stage) for stage in STAGES}
    assert set(params.models).isdisjoint(params.encoders)


def test_whatever_a_stage_writes_is_the_output_of_that_stage_alone():
    outputs = []
    for stage in STAGES.values():
        for kind in ("outs", "metrics", "plots"):
            outputs += [next(iter(o)) if isinstance(o, dict) else o for o in stage.get(kind, [])]
    # Both base stages write models/base/<model>; the schema keeps their models apart.
    assert len(outputs) - len(set(outputs)) == 1


def test_the_small_metrics_stay_in_git():
    metrics = [output for stage in STAGES.values() for output in stage.get("metrics", [])]
    assert metrics
    assert all(settings == {"cache": False} for output in metrics for settings in output.values())
