"""dvc.yaml says the truth about what each stage depends on, and fits on a few screens."""

import ast

import pytest
import yaml
from root import ROOT

from pipeline.code_hashes import stage_names
from pipeline.config.params import Params, load

TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
DVC = yaml.safe_load(TEXT)
STAGES = {name: stage for name, stage in DVC["stages"].items() if name != "code"}


def command(stage: str) -> str:
    """The command that a stage runs: its name, but `evaluate_base` has no arms and seeds."""
    return STAGES[stage]["cmd"].split()[3]


def parameters(stage: str) -> set[str]:
    """The keys of params.yaml that a stage depends on."""
    return {item for item in STAGES[stage]["params"] if isinstance(item, str)}


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 235


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_hash_of_its_own_code(stage):
    code = [item["code.yaml"] for item in STAGES[stage]["params"] if isinstance(item, dict)]
    # The page shows the hash of every stage.
    assert code == [None if stage == "report" else [command(stage)]]
    assert not [path for path in STAGES[stage]["deps"] if path.startswith("pipeline")]


def test_the_hashes_follow_from_all_of_the_code():
    assert DVC["stages"]["code"]["deps"] == ["pipeline"]
    assert DVC["stages"]["code"]["outs"] == [{"code.yaml": {"cache": False}}]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_a_module_a_command_and_described(stage):
    assert command(stage) == stage or (stage, command(stage)) == ("evaluate_base", "evaluate")
    assert (ROOT / f"pipeline/stages/{command(stage)}.py").is_file()
    assert STAGES[stage]["cmd"].startswith(f"python -m pipeline {command(stage)}")
    assert STAGES[stage]["desc"]


def test_every_stage_module_is_a_stage():
    assert set(stage_names()) == {command(stage) for stage in STAGES}


# What a stage's run() is given by the command line, in the words of dvc.yaml.
PARAMETERS = {
    "entry": {"registry.${item.model}"},
    "encoder_entry": {"registry.${train_classifier.encoder}"},
    "weights": {"${item.arm}"},
    "test_rows": {"evaluate.test_rows"},
    "test_seed": {"evaluate.seed"},
    "primary": {"report.primary"},
    # Speed and memory only.
    "resources": set(),
}
MATRIX = {"model", "arm", "seed"}


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "report"])
def test_a_stage_declares_exactly_the_parameters_it_is_given(stage):
    tree = ast.parse((ROOT / f"pipeline/stages/{command(stage)}.py").read_text(encoding="utf-8"))
    run = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run")
    given = {argument.arg for argument in (*run.args.args, *run.args.kwonlyargs)} - MATRIX
    assert parameters(stage) == set().union(*(PARAMETERS.get(name, {name}) for name in given))


def test_the_report_depends_on_all_parameters_of_results():
    """Those of the arms reach it by the results of the arms."""
    commands_alone = {"ask", "review", "resources", "arm_settings"}
    assert parameters("report") == Params.model_fields.keys() - commands_alone


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_depends_on_resources(stage):
    assert not [name for name in parameters(stage) if name.startswith("resources")]


def test_every_section_of_the_parameters_belongs_to_a_stage_or_is_shared():
    shared = {"models", "encoders", "arms", "arm_settings", "seeds", "severity", "resources", "registry"}
    # Of a command that is no stage. `wazn review`, which is none either, has the name of one.
    shared |= {"ask"}
    assert Params.model_fields.keys() - shared == {command(stage) for stage in STAGES}


def test_resources_are_those_of_stages():
    assert load(ROOT / "params.yaml").resources.model_dump().keys() <= {*STAGES, "slurm"}


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


def test_plots_are_drawn_from_what_the_stages_write():
    outputs = {output for stage in STAGES.values() for output in stage.get("outs", [])}
    for plot in DVC["plots"]:
        for settings in plot.values():
            assert set(settings["y"]) <= outputs
            assert (ROOT / settings["template"]).is_file()
