"""wazn finetune --dry-run: what a run would take is what it then takes, and nothing is written."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from architectures import KEYS, hub_folder
from commands import TEST, TRAIN, VALID, change, files_of, lay_out, paper_params

from pipeline.commands import dry_run as plan
from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.models.runtime import load_tokenizer
from pipeline.stages import base_model as base_model_stage
from pipeline.stages import finetune as stage
from pipeline.training.batching import MAX_PADDING
from pipeline.training.dataset import load_data


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
        title, empty, head, *rows = capsys.readouterr().out.splitlines()
        assert empty == ""
        assert head.split() == ["model", "steps", "tokens", "padding", "trained", "memory", "time"]
        return title, {row.split()[0]: re.split(r" {2,}", row)[1:] for row in rows}

    return planned


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
def test_plan_is_what_a_run_then_does(model, changes, project, table, capsys, monkeypatch):
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
    tokenizer = load_tokenizer(Path("models/base") / model)
    data = load_data(tokenizer, params.finetune, arm)
    lengths = [(len(e.input_ids), len(e.input_ids) - e.prompt_length) for e in data.examples]
    todo = plan.work(lengths, params.finetune, resources, 17)
    assert (todo.steps, todo.tokens, todo.padded) == (found["steps"], seen, sum(computed))
    assert todo.largest == max(computed)
    assert todo.answers == params.finetune.epochs * sum(answer for _, answer in lengths)
    assert tokens == f"{seen:,}"
    assert padding == f"{1 - seen / sum(computed):.1%}"
    assert re.fullmatch(r"\d+\.\d GiB", memory)
    assert seconds(time) < 60


def test_nothing_is_written_and_nothing_trained(project, table, monkeypatch):
    before = files_of(project)
    monkeypatch.setattr(torch.Tensor, "backward", lambda *_: pytest.fail("trained"))
    table(load(Path("params.yaml")))
    assert files_of(project) == before
    assert not Path(".checkpoints").exists()


def test_model_that_is_not_there_yet_is_said_so_in_its_row(project, table):
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


def test_module_that_a_model_has_not_is_said_so_in_its_row(project, table):
    params = load(Path("params.yaml"))
    entry = params.registry["tiny_gpt2"].model_copy(update={"lora_targets": ["q_proj"]})
    registry = {**params.registry, "tiny_gpt2": entry}
    _, rows = table(params.model_copy(update={"registry": registry}))
    assert rows["tiny_gpt2"][0].startswith("models/base/tiny_gpt2: lora_targets names 'q_proj'")
    assert len(rows["tiny_qwen2"]) == 6


def test_ten_models_of_the_paper_pass_it_with_its_profile(project, table):
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


def sizes(project, **changes):
    change(project, **changes)
    params = load(Path("params.yaml"))
    found = plan.size(Path("models/base/tiny_gpt2"), params.finetune, params.registry["tiny_gpt2"])
    todo = plan.work([(100, 40)] * 64, params.finetune, params.resources.finetune, 17)
    return found, todo, params.finetune, params.resources.finetune


def test_size_is_that_of_the_configuration(project):
    found, *_ = sizes(project)
    config = json.loads(Path("models/base/tiny_gpt2/config.json").read_text(encoding="utf-8"))
    shape = (config["n_layer"], config["n_embd"], config["vocab_size"])
    assert (found.layers, found.hidden, found.vocabulary) == shape
    # GPT-2's embedding of positions is no part of what PyTorch calls the input embedding.
    assert found.total - found.body == config["vocab_size"] * config["n_embd"], "tied, so counted once"


def test_memory_and_operations_grow_with_what_they_come_from(project):
    plain = sizes(project)
    size, todo, *_ = plain
    # 2 for each weight forward, 2 for the gradient of the activations: no less than that of the body.
    assert plan.operations(*plain) > 4 * size.body * todo.tokens
    needed = plan.memory(*plain, torch.float32)
    assert needed > 4 * size.total
    assert plan.memory(*plain, torch.bfloat16) < needed
    again = sizes(project, gradient_checkpointing=True)
    for changes, more in (
        ({"gradient_checkpointing": False, "tokens_per_microbatch": 10_000, "batch_size": 32}, True),
        ({"tokens_per_microbatch": 200}, False),
    ):
        assert (plan.memory(*sizes(project, **changes), torch.float32) > needed) == more
    assert plan.operations(*again) > plan.operations(*plain)
    full = sizes(project, method="full", tokens_per_microbatch=4096, batch_size=4)
    assert full[0].trained == full[0].total
    assert plan.operations(*full) > plan.operations(*plain)
    adafactor = sizes(project, optimiser="adafactor")
    saved = plan.memory(*full, torch.float32) - plan.memory(*adafactor, torch.float32)
    assert saved == 8 * full[0].total


def test_times_are_shown_in_the_unit_that_reads_well():
    shown = [plan._duration(seconds) for seconds in (0.4, 89, 600, 5000, 7200)]
    assert shown == ["0 s", "89 s", "10 min", "83 min", "2.0 h"]
