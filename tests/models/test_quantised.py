"""An adapter that was trained on 4-bit weights is evaluated on the same ones.

bitsandbytes computes 4-bit weights on a CPU too, so where it is installed all of it is run; where it is
not, only what it would be asked for is looked at.
"""

import contextlib
import importlib.util
import json
from pathlib import Path

import pytest
import torch
from architectures import random_model
from equation import assert_close
from runs import TARGETS, settings, trained
from transformers import GenerationConfig

from pipeline.config.training import AdapterConfig
from pipeline.errors import WaznError
from pipeline.models import methods
from pipeline.models import trained as module
from pipeline.models.lora import QUANTISED, add_lora, save_trained
from pipeline.models.methods import check_quantised, load_trainable
from pipeline.models.origin import Origin
from pipeline.models.trained import load_trained
from pipeline.training.parallel import trained_state
from pipeline.training.usage import usage

ARCHITECTURES = ("gpt2", "qwen2", "lfm2")
real = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
LORA = AdapterConfig(r=4, alpha=8.0, dropout=0.0)
TOKENS = torch.randint(1, 300, (2, 9), generator=torch.Generator().manual_seed(7))


def save(model, folder):
    save_trained(
        model,
        trained_state(model, None)["model"],
        folder,
        base=Origin("models/base/m", None),
        settings=GenerationConfig(),
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a base model in float32, on a machine that may compute in 4 bits."""

    def laid_out(architecture):
        # On a CPU bitsandbytes computes no row that is shorter than a block of 64.
        width = (
            {"n_embd": 128} if architecture == "gpt2" else {"hidden_size": 128, "intermediate_size": 128}
        )
        random_model(architecture, torch.float32, **width).save_pretrained(tmp_path / "models/base/m")
        return tmp_path / "models/weighting/m/17"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(methods, "check_quantised", lambda: None)
    monkeypatch.setattr(module, "check_quantised", lambda: None)
    return laid_out


def four_bit_weights(model):
    """What the 4-bit weights of a model stand for, by the shape and order of its layers."""
    from bitsandbytes.functional import dequantize_4bit  # an extra
    from bitsandbytes.nn import Linear4bit

    return [
        dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()
        for layer in model.modules()
        if isinstance(layer, Linear4bit)
    ]


@real
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_evaluated_on_the_weights_that_were_trained_on(architecture, dtype, project, examples):
    """Though the base model is stored in float32, and likelihood is computed in it."""
    folder = project(architecture)
    torch.manual_seed(3)
    config, _, _ = settings(method="qlora", lora=LORA, max_length=200)
    model = load_trainable(Path("models/base/m"), config, TARGETS[architecture], dtype)
    model, steps = trained(examples, model, more={"dtype": dtype}, learning_rate=0.01)
    assert steps[-1].loss < steps[0].loss
    save(model, folder)
    expected = four_bit_weights(model)
    assert expected
    again, exact = (load_trained("m", "weighting", 17, kind, 8) for kind in (dtype, torch.float32))
    for loaded in (again, exact):
        found = four_bit_weights(loaded)
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    (folder / QUANTISED).unlink()
    on_plain_weights = load_trained("m", "weighting", 17, torch.float32, 8)
    with torch.no_grad():
        right, rough, other = (each(TOKENS).logits.float() for each in (exact, again, on_plain_weights))
        assert exact(TOKENS).logits.dtype == torch.float32
        with torch.autocast("cpu", dtype):
            trained_on = model(TOKENS).logits.float()
    scale = right.std()
    assert (rough - trained_on).abs().max() < 0.2 * scale
    assert (right - trained_on).norm() < 0.5 * (other - trained_on).norm()


@real
def test_checkpoint_of_a_training_on_4_bit_weights_is_taken_up(project, examples, tmp_path):
    from pipeline.training.checkpoints import Checkpoints

    project("qwen2")
    config, _, _ = settings(method="qlora", lora=LORA, max_length=200)

    def start(steps, checkpoints):
        torch.manual_seed(3)
        model = load_trainable(Path("models/base/m"), config, TARGETS["qwen2"], torch.float32)
        return trained(examples, model, steps, {"checkpoints": checkpoints}, checkpoint_every=3)

    whole, expected = start(None, None)
    start(5, Checkpoints(tmp_path / "kept"))
    again, steps = start(None, Checkpoints(tmp_path / "kept"))
    assert steps == expected
    assert_close(
        {name: p for name, p in again.named_parameters() if p.requires_grad},
        {name: p for name, p in whole.named_parameters() if p.requires_grad},
        atol=0,
    )


def noted(folder, monkeypatch):
    """An adapter with the note of a training in bfloat16, and what the loader is asked for from now on."""
    model = add_lora(random_model("qwen2", torch.float32), TARGETS["qwen2"], LORA)
    save(model, folder)
    note = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    note |= {"bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16"}
    (folder / QUANTISED).write_text(json.dumps(note))
    asked = []

    def load(base, dtype, tokens, attention, **options):
        asked.append((dtype, options["quantization_config"]))
        return random_model("qwen2", dtype)

    monkeypatch.setattr(module, "load_decoder", load)
    return asked


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_quantised_from_the_type_of_the_training(dtype, project, monkeypatch):
    """And computed in that of the evaluation; the adapter stays beside them, as they cannot be added to."""
    folder = project("qwen2")
    asked = noted(folder, monkeypatch)
    model = load_trained("m", "weighting", 17, dtype, 8)
    [(made_from, config)] = asked
    assert made_from == torch.bfloat16
    assert config.bnb_4bit_compute_dtype == dtype
    assert (config.load_in_4bit, config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant) == (
        True,
        "nf4",
        True,
    )
    adapters = {name: p.dtype for name, p in model.named_parameters() if "lora_" in name}
    assert set(adapters.values()) == {torch.float32}
    assert {p.dtype for name, p in model.named_parameters() if name not in adapters} == {dtype}


def test_evaluation_without_a_gpu_is_one_sentence(project, monkeypatch):
    folder = project("qwen2")
    noted(folder, monkeypatch)
    monkeypatch.setattr(module, "check_quantised", check_quantised)
    with pytest.raises(WaznError, match=r"qlora takes an NVIDIA GPU.* evaluated with it too"):
        load_trained("m", "weighting", 17, torch.float32, 8)


@pytest.mark.parametrize("text", ["{}", '{"quant_method": "bitsandbytes", "load_in_4bit": 3}', "{", "[1]"])
def test_damaged_note_is_one_sentence(text, project, monkeypatch):
    folder = project("qwen2")
    noted(folder, monkeypatch)
    (folder / QUANTISED).write_text(text)
    with pytest.raises(WaznError, match=QUANTISED):
        load_trained("m", "weighting", 17, torch.float32, 8)


@real
def test_the_cards_lines_load_the_weights_that_were_trained_on(project, examples, tokenizer):
    folder = project("qwen2")
    torch.manual_seed(3)
    config, _, _ = settings(method="qlora", lora=LORA, max_length=200)
    model = load_trainable(Path("models/base/m"), config, TARGETS["qwen2"], torch.bfloat16)
    model, _ = trained(examples, model, more={"dtype": torch.bfloat16}, learning_rate=0.01)
    save(model, folder)
    tokenizer.save_pretrained(folder)
    relative, base = Path("models/weighting/m/17"), Origin("models/base/m", None)
    text = usage(
        relative, base, tokenizer, GenerationConfig(eos_token_id=[0], max_length=64), method="qlora"
    )
    lines = text.split("```python\n")[1].split("written =")[0]
    given = {}
    with contextlib.chdir(folder):
        exec(lines, given)
    found = four_bit_weights(given["model"])
    assert found
    assert all(torch.equal(*pair) for pair in zip(found, four_bit_weights(model), strict=True))
    with torch.no_grad():
        ours = load_trained("m", "weighting", 17, torch.bfloat16, 8)(given["tokens"]).logits
        torch.testing.assert_close(given["model"](given["tokens"]).logits, ours)
