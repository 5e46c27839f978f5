"""wazn finetune --dry-run: what a run would take is what it then takes, and nothing is written."""

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from architectures import KEYS, hub_folder
from commands import TEST, TRAIN, VALID, change, files_of, lay_out, paper_params, run

from pipeline.commands import dry_run as plan
from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.stages import base_model as base_model_stage
from pipeline.stages import finetune as stage
from pipeline.training import estimate
from pipeline.training.batching import MAX_PADDING


@pytest.fixture
def project(built, scored_table, tmp_path, monkeypatch):
    folder = lay_out(tmp_path / "project", built, scored_table(TRAIN + VALID, TEST))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def table(capsys):
    """What is printed for each model: its row's cells, or a sentence in one."""

    def planned(params, models=None):
        chosen = {name: params.registry[name] for name in models or params.models}
        plan.run(
            chosen,
            [17],
            arms={arm: params.arm_settings[arm] for arm in params.arms},
            finetune=params.finetune,
            resources=params.resources.finetune,
        )
        title, note, empty, head, *rows = capsys.readouterr().out.splitlines()
        assert note.startswith("Memory is the peak of the process, time that of the whole command")
        assert empty == ""
        assert head.split() == ["model", "steps", "tokens", "padding", "trained", "memory", "time"]
        return title, {row.split()[0]: re.split(r" {2,}", row)[1:] for row in rows}

    return planned


@pytest.fixture
def in_this_process(monkeypatch):
    """Models are measured here and not in processes of their own, whose imports take long."""

    def measure(model, *arguments):
        base = plan.paths.base_model(model)
        plan.require_model(base)
        seed, entry, arm, finetune, resources = arguments
        return estimate.estimate(base, seed, finetune, entry, arm, resources, time.time())

    monkeypatch.setattr(plan, "measure_finetune", measure)
    monkeypatch.setattr(estimate, "_SECONDS", 0.0)


def seconds(shown):
    number, unit = shown.split()
    return float(number) * {"s": 1, "min": 60, "h": 3600}[unit]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "full", "batch_size": 5, "epochs": 2},
        {"lora": {"r": 3}, "train_rows": 7, "tokens_per_microbatch": 100},
    ],
    ids=["lora", "full", "few"],
)
@pytest.mark.parametrize("model", ["tiny_gpt2", pytest.param("tiny_qwen2", marks=pytest.mark.slow)])
def test_plan_is_what_a_run_then_does(model, changes, project, table, in_this_process, capsys, monkeypatch):
    change(project, **changes)
    params = load(Path("params.yaml"))
    title, rows = table(params, [model])
    assert title.startswith(
        "2 fine-tunings: 1 models x 2 arms (uniform, weighting) x 1 seeds. "
        f"One of them: {params.finetune.method}, {params.finetune.epochs} epochs, "
    )
    steps, tokens, padding, trained, memory, time = rows[model]

    computed = []
    real = stage.load_trainable

    def counting(*arguments, **options):
        found = real(*arguments, **options)

        def count(module, inputs):
            if module.training and any(
                part is not None for part in inputs
            ):  # else it is the output layer's
                computed.append(inputs[0].numel())

        decoder = found.get_base_model() if hasattr(found, "get_base_model") else found
        decoder.base_model.register_forward_pre_hook(count)
        return found

    monkeypatch.setattr(stage, "load_trainable", counting)
    arm, resources = params.arm_settings["weighting"], params.resources.finetune
    stage.run(
        model,
        "weighting",
        17,
        finetune=params.finetune,
        entry=params.registry[model],
        weights=arm,
        resources=resources,
    )
    found = json.loads(Path(f"metrics/finetune/weighting/{model}/17.json").read_text(encoding="utf-8"))
    assert steps == f"{found['steps']:,}"
    assert trained == f"{found['trained_parameters']:,}"
    seen = params.finetune.epochs * found["tokens"]
    assert tokens == f"{seen:,}"
    assert padding == f"{1 - seen / sum(computed):.1%}"
    assert re.fullmatch(r"\d+\.\d GiB", memory)
    assert seconds(time) < 60


def test_nothing_is_written(project, table, in_this_process):
    before = files_of(project)
    table(load(Path("params.yaml")))
    assert files_of(project) == before
    assert not Path(".checkpoints").exists()


@pytest.mark.slow
def test_each_model_is_measured_in_a_process_of_its_own(project):
    before = files_of(project)
    done = run(project, "finetune", "--dry-run")
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines() if line.startswith("tiny_") and "GiB" in line]
    assert [row[0] for row in rows] == ["tiny_gpt2", "tiny_qwen2"]
    assert all(float(row[5]) > 0 for row in rows)
    assert files_of(project) == before


def killed(*_):
    os._exit(9)


@pytest.mark.slow
def test_model_whose_process_is_killed_is_said_so_in_its_row(project, table, monkeypatch):
    """As the system does where there is too little memory."""
    monkeypatch.setattr(plan, "estimate", killed)
    with pytest.raises(WaznError, match=r"^models/base/tiny_gpt2: was killed while it was measured"):
        table(load(Path("params.yaml")), ["tiny_gpt2"])


def test_model_that_is_not_there_yet_is_said_so_in_its_row(project, table, in_this_process):
    shutil.rmtree("models/base/tiny_gpt2")
    _, rows = table(load(Path("params.yaml")))
    assert rows["tiny_gpt2"] == ["models/base/tiny_gpt2: no model there; run `dvc repro`, which makes it"]
    assert len(rows["tiny_qwen2"]) == 6


def test_no_model_there_at_all_is_one_sentence(project, table):
    shutil.rmtree("models/base")
    with pytest.raises(WaznError, match=r"^models/base/tiny_gpt2: no model there"):
        table(load(Path("params.yaml")))


def test_unscored_pairs_are_one_sentence(project, table):
    Path("data/scored/pairs.parquet").unlink()
    with pytest.raises(WaznError, match=r"^data/scored/pairs.parquet: no such file"):
        table(load(Path("params.yaml")))


def test_module_that_a_model_has_not_is_said_so_in_its_row(project, table, in_this_process):
    params = load(Path("params.yaml"))
    entry = params.registry["tiny_gpt2"].model_copy(update={"lora_targets": ["q_proj"]})
    registry = {**params.registry, "tiny_gpt2": entry}
    _, rows = table(params.model_copy(update={"registry": registry}))
    assert rows["tiny_gpt2"][0].startswith("models/base/tiny_gpt2: lora_targets names 'q_proj'")
    assert len(rows["tiny_qwen2"]) == 6


def test_ten_models_of_the_paper_pass_it_with_its_profile(project, table, in_this_process):
    """Minute ones of their architectures, as base_model takes them from the Hub's files."""
    shutil.rmtree("models/base")
    params = paper_params()
    assert set(params.models) == set(KEYS)
    for key in KEYS:
        hub_folder(key, Path(params.base_model.folder) / key)
        entry = params.registry[key].model_copy(update={"source": f"path:{key}"})
        base_model_stage.run(key, base_model=params.base_model, entry=entry)
    _, rows = table(params)
    assert list(rows) == list(params.models)
    for name, (steps, _, padding, trained, *_) in rows.items():
        assert int(steps.replace(",", "")) == params.finetune.epochs * -(
            -TRAIN // params.finetune.batch_size
        )
        assert float(padding.rstrip("%")) <= 100 * MAX_PADDING
        assert int(trained.replace(",", "")) > 0, name


def test_times_are_shown_in_the_unit_that_reads_well():
    shown = [plan.duration(seconds) for seconds in (0.4, 89, 600, 5000, 7200)]
    assert shown == ["0 s", "89 s", "10 min", "83 min", "2.0 h"]
