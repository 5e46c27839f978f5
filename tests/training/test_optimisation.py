"""8-bit AdamW: where it can be had it is bitsandbytes' own, elsewhere one sentence."""

import importlib.util
import sys
from types import ModuleType

import pytest
import torch
from runs import settings, trainable, trained, weights

from pipeline.errors import WaznError
from pipeline.models import methods
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.optimisation import create_optimiser, state_bytes

real = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
SETTINGS = settings(optimiser="adamw_8bit", learning_rate=0.01, weight_decay=0.1)[0]


@pytest.fixture
def gpu(monkeypatch):
    """Stands for a machine with one; bitsandbytes computes this on a CPU too."""
    monkeypatch.setattr(methods, "device", lambda: torch.device("cuda"))


def parameters():
    return [torch.nn.Parameter(torch.randn(64, 128)), torch.nn.Parameter(torch.randn(16))]


def test_without_a_gpu_it_is_refused_with_the_remedy():
    with pytest.raises(
        WaznError, match=r"adamw_8bit takes an NVIDIA GPU, .*set it to adamw, or to adafactor"
    ):
        create_optimiser(parameters(), SETTINGS)


def test_without_its_package_it_is_refused_with_the_remedy(gpu, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(
        WaznError, match=r"adamw_8bit needs the package bitsandbytes; install it .* to adamw"
    ):
        create_optimiser(parameters(), SETTINGS)


def test_it_gets_the_parameters_the_rate_and_the_decay(gpu, monkeypatch):
    package, part, made = ModuleType("bitsandbytes"), ModuleType("bitsandbytes.optim"), []
    part.AdamW8bit = lambda given, **options: (
        made.append((given, options)) or torch.optim.AdamW(given, **options)
    )
    monkeypatch.setitem(sys.modules, "bitsandbytes", package)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", part)
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: object())
    given = parameters()
    create_optimiser(given, SETTINGS)
    assert made == [(given, {"lr": 0.01, "weight_decay": 0.1})]


@real
def test_its_states_take_what_arithmetic_says(gpu):
    given = parameters()
    optimiser = create_optimiser(given, SETTINGS)
    for parameter in given:
        parameter.grad = torch.randn_like(parameter)
    optimiser.step()
    taken = sum(
        tensor.nbytes
        for state in optimiser.state.values()
        for name, tensor in state.items()
        if isinstance(tensor, torch.Tensor) and "qmap" not in name  # one table of 1 kB for all
    )
    assert taken == state_bytes("adamw_8bit", given)


@real
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_training_with_it_is_near_adamw_and_can_be_taken_up_again(dtype, gpu, examples, tmp_path):
    def start(optimiser, steps=None, checkpoints=None):
        model = trainable("qwen2", "full", dtype=torch.float32, hidden_size=64)
        more = {"checkpoints": checkpoints, "dtype": dtype}
        return trained(
            examples, model, steps, more, optimiser=optimiser, learning_rate=1e-3, checkpoint_every=3
        )

    _, exact = start("adamw")
    whole, expected = start("adamw_8bit")
    losses = [[step.loss for step in steps] for steps in (expected, exact)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]
    start("adamw_8bit", 5, Checkpoints(tmp_path))
    again, steps = start("adamw_8bit", None, Checkpoints(tmp_path))
    assert steps == expected
    assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(again).items())
