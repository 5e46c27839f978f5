"""What a fine-tuning takes, measured on a part of it."""

import gc
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import TEST, TRAIN, VALID, change, files_of, lay_out
from root import ROOT
from transformers import GPT2Config, GPT2LMHeadModel

from pipeline import environment
from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.models.microbatches import padded_tokens
from pipeline.training import estimate as module
from pipeline.training.steps import Run


@pytest.fixture
def project(built, scored_table, tmp_path, monkeypatch):
    folder = lay_out(tmp_path / "project", built, scored_table(TRAIN + VALID, TEST))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    return folder


def estimated(project, model="tiny_gpt2", **changes):
    change(project, **changes)
    params = load(Path("params.yaml"))
    return module.estimate(
        Path("models/base") / model,
        17,
        params.finetune,
        params.registry[model],
        params.arm_settings["weighting"],
        params.resources.finetune,
        time.time(),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "full", "checkpoint_selection": "best"},
        {"method": "full", "optimiser": "adafactor", "gradient_checkpointing": True},
        {"gradient_checkpointing": True, "checkpoint_every": 1},
    ],
    ids=["lora", "full", "adafactor", "checkpointing"],
)
def test_measures_every_method_and_writes_nothing(project, changes):
    change(project, **changes)
    before = files_of(project)
    got = estimated(project)
    assert (got.steps, got.seconds > 0, got.memory > 0) == (12, True, True)
    assert files_of(project) == before


def test_measures_where_there_is_one_pair_and_nothing_to_validate_on(project, scored_table):
    table = scored_table(1, 1)
    table.to_parquet("data/scored/pairs.parquet", index=False)
    got = estimated(project, epochs=2)
    assert (got.steps, got.padding) == (2, 0)


def test_no_gradient_is_left(project):
    estimated(project, method="full")
    gc.collect()
    assert not [
        thing for thing in gc.get_objects() if type(thing) is torch.nn.Parameter and thing.grad is not None
    ]


class Clock:
    """A clock that goes on as the computations of a pretended run say."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def pretended(examples, decoder, monkeypatch):
    """A run whose every micro-batch takes 2 s a padded token, and every step 7 s more."""
    clock = Clock()
    monkeypatch.setattr(module.time, "perf_counter", clock)

    def backward(self, number, indices, token_weight):
        clock.now += 2.0 * padded_tokens(indices, self.lengths)
        return np.ones(len(indices))

    monkeypatch.setattr(Run, "_backward", backward)
    real = torch.nn.utils.clip_grad_norm_

    def clip(*arguments):
        clock.now += 7.0
        return real(*arguments)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    params = load(ROOT / "params.yaml")
    config = params.finetune.model_copy(update={"epochs": 4, "batch_size": 3})
    resources = params.resources.finetune.model_copy(update={"tokens_per_microbatch": 150})
    monkeypatch.setattr(module, "_SECONDS", 1e9)
    return module._TimedRun(decoder("gpt2"), examples, config, resources, 17, "test", torch.float32)


def test_time_is_that_of_all_micro_batches_by_their_padded_tokens(pretended):
    todo = module.work(pretended)
    assert sorted(index for group in todo.groups for index in group) == sorted([*range(10)] * 4)
    assert todo.steps == 16
    first, backward, step = pretended.measure(todo)
    assert first == 0
    assert backward == pytest.approx(2.0 * todo.computed.sum())
    assert step == pytest.approx(7.0)


def test_what_the_first_step_takes_longer_counts_once(pretended, monkeypatch):
    """As it makes gradients and the optimiser's states."""
    real = pretended.step

    def step(number, group):
        module.time.perf_counter.now += 100.0 * (number == 1)
        return real(number, group)

    monkeypatch.setattr(pretended, "step", step)
    todo = module.work(pretended)
    first, backward, step = pretended.measure(todo)
    assert first == pytest.approx(100.0)
    assert backward == pytest.approx(2.0 * todo.computed.sum())
    assert step == pytest.approx(7.0)


def test_largest_micro_batch_is_always_computed(pretended, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    computed = []
    real = pretended.step
    pretended.step = lambda number, group: computed.append(group) or real(number, group)
    todo = module.work(pretended)
    pretended.measure(todo)
    sizes = [padded_tokens(group, pretended.lengths) for group in computed]
    assert sizes[0] == sizes[1] == todo.computed.max()
    assert len(sizes) == 2 + module._LEAST


def test_sample_is_spread_evenly_wherever_it_ends():
    assert list(module._evenly(7)) == [0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]
    for count in range(1, 70):
        places = [int(place * count) for place in module._evenly(count)]
        assert min(places) >= 0
        assert max(places) < count


def test_evaluation_is_extended_to_all_validation_pairs(pretended, examples, monkeypatch):
    monkeypatch.setattr(module, "_LEAST", 2)

    def evaluate(self, valid, number):
        lengths = [len(example.input_ids) for example in valid.examples]
        groups = module.split_across_ranks(range(len(lengths)), lengths, self.budget.size, 1)[0]
        module.time.perf_counter.now += 3.0 * sum(padded_tokens(group, lengths) for group in groups)

    monkeypatch.setattr(Run, "evaluate", evaluate)
    valid = module.Validation(list(examples), ["neutral"] * len(examples))
    lengths = [len(example.input_ids) for example in examples]
    groups = module.split_across_ranks(range(len(lengths)), lengths, pretended.budget.size, 1)[0]
    assert len(groups) > 2
    whole = 3.0 * sum(padded_tokens(group, lengths) for group in groups)
    assert pretended.measure_evaluation(valid) == pytest.approx(whole, rel=0.1)


def test_gpu_without_enough_memory_is_one_sentence(project, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Run, "step", full)
    with pytest.raises(
        WaznError, match=r"^models/base/tiny_gpt2: the GPU has too little memory; lower tok"
    ):
        estimated(project)


# As benchmarks/estimate.py measures what a run takes.
COMMAND = """
import sys
from pipeline.__main__ import main
from pipeline.training.estimate import peak_memory
try:
    main()
finally:
    print(peak_memory())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("method", ["lora", "full"])
def test_memory_is_what_a_run_then_takes(project, method):
    """On a model whose weights, gradients and logits are most of the process."""
    base = Path("models/base/tiny_gpt2")
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    shape = {"n_embd": 768, "n_layer": 6, "n_head": 12, "vocab_size": 50_000}
    GPT2LMHeadModel(GPT2Config(**{**config, **shape})).save_pretrained(base)
    change(project, method=method, dtype="float32")
    shutil.rmtree("models/base/tiny_qwen2")

    def wazn(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment.SETTINGS},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    lines = wazn("-m", "pipeline", "finetune", "--dry-run", "tiny_gpt2")
    row = next(line.split() for line in lines if line.startswith("tiny_gpt2 "))
    taken = int(wazn("-c", COMMAND, "finetune", "tiny_gpt2", "uniform")[-1])
    assert float(row[5]) * 2**30 == pytest.approx(taken, rel=0.25)
