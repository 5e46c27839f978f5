"""What a fine-tuning takes at least, by arithmetic: held to what is there, and said of 8 B models."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from architectures import random_model
from runs import TARGETS, settings

from pipeline.config.training import AdapterConfig
from pipeline.errors import WaznError
from pipeline.models.methods import load_trainable
from pipeline.training import least_memory as module
from pipeline.training.least_memory import check_memory, least_memory
from pipeline.training.optimisation import create_optimiser, state_bytes

LORA = AdapterConfig(r=16, alpha=32.0, dropout=0.0)
# Llama 3 8B, as its repository on the Hub has it.
LLAMA = {
    "model_type": "llama",
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}
PARAMETERS = 8_030_261_248
HEAD = 128_256 * 4096
LINEAR = 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14_336 * 4096)
# q_proj and v_proj, rank 16.
ADAPTERS = 32 * 16 * ((4096 + 4096) + (4096 + 1024))


@pytest.fixture
def llama(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    return tmp_path


def taken(folder, method, optimiser="adamw", dtype=torch.bfloat16):
    config, _, _ = settings(method=method, optimiser=optimiser, lora=LORA)
    return least_memory(folder, config, TARGETS["qwen2"], dtype)


@pytest.mark.parametrize("optimiser", ["adamw", "adafactor"])
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("architecture", ["gpt2", "qwen2", "lfm2"])
def test_it_is_what_weights_gradients_and_states_take(architecture, method, optimiser, tmp_path):
    folder = tmp_path / "base"
    random_model(architecture, torch.float32).save_pretrained(folder)
    config, _, _ = settings(method=method, optimiser=optimiser, lora=LORA, max_length=200)
    model = load_trainable(folder, config, TARGETS[architecture], torch.bfloat16)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    made = create_optimiser(trained, config)
    made.step()
    states = sum(
        tensor.nbytes for state in made.state.values() for name, tensor in state.items() if name != "step"
    )
    weights = sum(parameter.nbytes for parameter in model.parameters())
    expected = weights + sum(parameter.grad.nbytes for parameter in trained) + states
    assert least_memory(folder, config, TARGETS[architecture], torch.bfloat16) == expected


@pytest.mark.parametrize(
    ("method", "optimiser", "expected"),
    [
        ("lora", "adamw", 2 * PARAMETERS + 16 * ADAPTERS),
        ("qlora", "adamw", 2 * (PARAMETERS - LINEAR) + LINEAR * 4.127 / 8 + 16 * ADAPTERS),
        ("full", "adamw", 16 * PARAMETERS),
        ("full", "adamw_8bit", 8 * PARAMETERS + 2 * PARAMETERS * (1 + 4 / 256)),
        ("full", "adafactor", 8 * PARAMETERS),
    ],
)
def test_8_b_parameters_by_hand(method, optimiser, expected, llama):
    """16.2, 5.8, 128, 80.6 and 64.3 GB."""
    assert taken(llama, method, optimiser) == pytest.approx(expected, rel=0.001)


@pytest.mark.parametrize(
    ("method", "optimiser", "fits"),
    [
        ("lora", "adamw", True),
        ("qlora", "adamw", True),
        ("full", "adafactor", True),
        ("full", "adamw", False),
    ],
)
def test_what_one_gpu_of_80_gb_cannot_hold_is_refused_before_it_is_loaded(
    method, optimiser, fits, llama, monkeypatch
):
    monkeypatch.setattr(module, "device", lambda: torch.device("cuda"))
    there = SimpleNamespace(total_memory=85_097_971_712)  # of an H100
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: there)
    config, _, _ = settings(method=method, optimiser=optimiser, lora=LORA)
    if fits:
        check_memory(llama, config, TARGETS["qwen2"], torch.bfloat16)
        return
    said = "take 120 GiB with method: full and optimiser: adamw, and the GPU has 79 GiB; take lora or qlora"
    with pytest.raises(WaznError, match=said):
        check_memory(llama, config, TARGETS["qwen2"], torch.bfloat16)


def test_on_a_cpu_nothing_is_refused():
    check_memory(Path("there/is/none"), settings()[0], [], torch.float32)


def test_small_tensors_keep_moments_in_float32():
    small, large = torch.nn.Parameter(torch.zeros(4095)), torch.nn.Parameter(torch.zeros(64, 1000))
    assert state_bytes("adamw_8bit", [small]) == 2 * 4 * 4095
    assert state_bytes("adamw_8bit", [large]) == 2 * (64_000 + 4 * 250)
