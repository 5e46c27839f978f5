"""LoRA adapters and whole models: saved to the same bytes, loaded without changing a logit."""

import copy
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from architectures import ARCHITECTURES, random_model
from peft import AutoPeftModelForCausalLM, PeftConfig, PeftModel
from runs import TARGETS as RUN_TARGETS
from runs import trainable, trained, weights
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import Linear
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
from transformers.pytorch_utils import Conv1D

from pipeline.config.training import AdapterConfig
from pipeline.errors import WaznError
from pipeline.models.lora import add_lora, save_trained
from pipeline.models.origin import Origin, origin
from pipeline.models.runtime import float32_head
from pipeline.models.trained import add_adapter, load_trained
from pipeline.training.parallel import trained_state

TARGETS = {"gpt2": ["c_attn", "c_proj"], "qwen2": ["q_proj", "v_proj"]}
PLAIN = AdapterConfig(r=4, alpha=8.0, dropout=0.0)
FOLDER = Origin("models/base/m", None)
TOKENS = torch.tensor([[5, 17, 200, 42, 8], [9, 9, 61, 30, 7]])

SAVE = """
import sys
import torch
from pathlib import Path
from transformers import GenerationConfig
from pipeline.config.training import AdapterConfig
from pipeline.models.lora import add_lora, save_trained
from pipeline.models.origin import Origin
from pipeline.models.runtime import load_decoder
from pipeline.training.parallel import trained_state

torch.manual_seed(5)
targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
config = AdapterConfig(r=4, alpha=8.0, dropout=0.0)
model = add_lora(load_decoder(Path(sys.argv[1]), torch.float32, 8), targets, config)
base, settings = Origin("models/base/m", None), GenerationConfig(eos_token_id=[0])
save_trained(model, trained_state(model, None)["model"], Path(sys.argv[2]), base=base, settings=settings)
"""


def save(model, folder, base=FOLDER):
    """As `finetune` does."""
    settings = GenerationConfig(do_sample=False, eos_token_id=[0], pad_token_id=0, max_length=64)
    save_trained(model, trained_state(model, None)["model"], folder, base=base, settings=settings)


def adapted(model, architecture, **changes):
    """An adapter that does something: as put on, B is 0 and the adapter has no effect."""
    torch.manual_seed(7)
    config = AdapterConfig(**{"r": 4, "alpha": 8.0, "dropout": 0.1, **changes})
    found = add_lora(model, TARGETS[architecture], config)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return found.eval()


@pytest.mark.parametrize("architecture", TARGETS)
def test_only_adapters_on_the_targets_are_trained(architecture, decoder):
    model = add_lora(decoder(architecture), TARGETS[architecture], PLAIN)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == set(TARGETS[architecture])
    assert all(".lora_A." in name or ".lora_B." in name for name in trained)


@pytest.mark.parametrize("architecture", TARGETS)
def test_new_adapter_changes_nothing_yet(architecture, decoder):
    model = decoder(architecture)
    before = model(TOKENS).logits
    after = add_lora(model, TARGETS[architecture], PLAIN).eval()(TOKENS).logits
    assert torch.equal(after, before)


@pytest.mark.parametrize("architecture", TARGETS)
def test_adapter_goes_on_without_a_warning(architecture, decoder):
    """PEFT warns where it was told wrongly which way a layer's weight lies."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        add_lora(decoder(architecture), TARGETS[architecture], PLAIN)


def test_adapter_is_applied_as_alpha_over_r(decoder):
    """W x + (alpha / r) B A x, at one projection."""
    model = adapted(decoder("qwen2"), "qwen2", r=4, alpha=6.0)
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(1))
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.testing.assert_close(layer(x), layer.base_layer(x) + 6.0 / 4 * x @ a.T @ b.T)


@pytest.mark.parametrize(
    ("architecture", "targets", "wrong", "available"),
    [("gpt2", ["c_attn", "q_proj"], "q_proj", "c_attn.*c_proj"), ("qwen2", ["c_attn"], "c_attn", "q_proj")],
)
def test_unknown_target_names_the_modules_there_are(architecture, targets, wrong, available, decoder):
    with pytest.raises(WaznError, match=f"'{wrong}'.*{available}"):
        add_lora(decoder(architecture), targets, PLAIN)


@pytest.mark.parametrize("wrong", ["attn", "ln_1"])
def test_target_that_cannot_take_an_adapter_is_refused_in_a_sentence(wrong, decoder):
    with pytest.raises(WaznError, match=wrong):
        add_lora(decoder("gpt2"), [wrong], PLAIN)


@pytest.mark.parametrize("architecture", TARGETS)
def test_loaded_adapter_is_merged_into_the_same_logits(architecture, decoder, tmp_path):
    model = adapted(decoder(architecture), architecture)
    expected = model(TOKENS).logits
    plain = decoder(architecture)(TOKENS).logits
    assert (expected - plain).abs().max() > 0.1
    save(model, tmp_path)
    merged = add_adapter(decoder(architecture), tmp_path, merge=True)
    assert not isinstance(merged, PeftModel)
    assert not any("lora" in name for name, _ in merged.named_parameters())
    assert not merged.training
    torch.testing.assert_close(merged(TOKENS).logits, expected, rtol=0, atol=1e-5)


def test_saving_leaves_the_adapter_as_it_was(decoder, tmp_path):
    model = adapted(decoder("gpt2"), "gpt2")
    before = copy.deepcopy(model.state_dict())
    save(model, tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_adapter_is_safetensors_and_its_targets_are_sorted(decoder, tmp_path):
    save(adapted(decoder("gpt2"), "gpt2"), tmp_path)
    names = {path.name for path in tmp_path.iterdir()} - {"README.md"}
    assert names == {"adapter_model.safetensors", "adapter_config.json", "generation_config.json"}
    config = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["target_modules"] == ["c_attn", "c_proj"]


@pytest.mark.slow
def test_saved_bytes_repeat_in_another_process(built, tmp_path):
    """PEFT keeps the targets as a set, whose order goes by the process's hash seed."""
    saved = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-c", SAVE, str(built("qwen2")), str(folder)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        )
        names = ("adapter_config.json", "adapter_model.safetensors")
        saved.append([(folder / name).read_bytes() for name in names])
    assert saved[0] == saved[1]


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "empty folder"])
def test_missing_adapter_is_a_sentence_that_names_the_folder(there, decoder, tmp_path):
    folder = tmp_path / "uniform" / "tiny"
    if there:
        folder.mkdir(parents=True)
    with pytest.raises(WaznError, match=f"{folder}.*no adapter"):
        add_adapter(decoder("gpt2"), folder, merge=True)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_was_trained_is_loaded_on_its_base_to_the_same_logits(
    architecture, method, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    base, folder = tmp_path / "models/base/m", tmp_path / "models/weighting/m/17"
    trainable(architecture, "full").save_pretrained(base)
    model = trainable(architecture, method)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    save(model, folder)
    files = {path.name for path in folder.iterdir()}
    assert {"lora": "adapter_model.safetensors", "full": "model.safetensors"}[method] in files
    assert not any("bin" in name for name in files)
    before = load_trained("m", "base", None, torch.float32, 8)
    after = load_trained("m", "weighting", 17, torch.float32, 8)
    assert not after.training
    assert (before(TOKENS).logits - model.eval()(TOKENS).logits).abs().max() > 0.1
    torch.testing.assert_close(after(TOKENS).logits, model(TOKENS).logits, rtol=0, atol=1e-4)


def test_whole_model_is_saved_once_to_the_same_bytes(tmp_path):
    """A tied weight is not there twice."""
    model, saved = trainable("qwen2", "full"), []
    for folder in (tmp_path / "one", tmp_path / "two"):
        save(model, folder)
        saved.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert saved[0] == saved[1]
    assert load_file(tmp_path / "one/model.safetensors").keys() == dict(model.named_parameters()).keys()


def test_whole_model_that_is_not_tied_keeps_its_head(tmp_path):
    model = trainable("qwen2", "full", tie_word_embeddings=False)
    save(model, tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    assert torch.equal(found["lm_head.weight"], model.lm_head.weight)
    assert not torch.equal(found["lm_head.weight"], found["model.embed_tokens.weight"])


# ---- every target, merged and unmerged -----------------------------------------------------------

GEMMA = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "initializer_range": 0.3,
}


def any_model(architecture, *, tied):
    """A random model, the same at every call. Gemma's embedding is scaled as it is read."""
    names = ["tie_word_embeddings", *(["tie_embedding"] if architecture == "lfm2" else [])]
    changes = dict.fromkeys(names, tied)
    if architecture != "gemma3":
        return random_model(architecture, torch.float32, **changes)
    torch.manual_seed(5)
    config = AutoConfig.for_model("gemma3_text", **GEMMA, **changes)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gemma3"])
def test_every_target_is_refused_or_merged_to_the_logits_it_was_trained_to(architecture, tied, tmp_path):
    """Every module with a weight; merged, an adapter on a tied one would change the other end too."""
    model = any_model(architecture, tied=tied)
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    assert (ends[0].weight is ends[1].weight) == tied
    plain = model(TOKENS).logits
    modules = {name.rpartition(".")[2]: part for name, part in model.named_modules()}
    refused, taken = set(), set()
    for target in [name for name, part in modules.items() if hasattr(part, "weight")]:
        base = any_model(architecture, tied=tied)
        try:
            adapter = add_lora(base, [target], PLAIN)
        except WaznError as error:
            assert f"'{target}'" in str(error) or f"({target})" in str(error)
            refused.add(target)
            continue
        taken.add(target)
        with torch.no_grad():
            for name, parameter in adapter.named_parameters():
                if "lora_" in name:
                    parameter.normal_(std=0.2)
        expected = adapter.eval()(TOKENS).logits
        assert (expected - plain).abs().max() > 0.01, target
        save(adapter, tmp_path / target)
        with safe_open(tmp_path / target / "adapter_model.safetensors", "pt") as saved:
            assert all(".lora_" in name for name in saved.keys()), "frozen weights are saved too"  # noqa: SIM118
        for merge in (True, False):
            loaded = add_adapter(any_model(architecture, tied=tied), tmp_path / target, merge=merge)
            torch.testing.assert_close(loaded(TOKENS).logits, expected, rtol=1e-4, atol=1e-3)
    ends_names = {name for name, part in modules.items() if part in ends}
    assert ends_names <= (refused if tied else taken)
    assert {
        name for name, part in modules.items() if isinstance(part, Linear | Conv1D)
    } - ends_names <= taken


def test_a_tied_target_is_refused_in_a_sentence():
    with pytest.raises(WaznError, match=r"lora_targets names 'embed_tokens'.*one matrix"):
        add_lora(any_model("gemma3", tied=True), ["q_proj", "embed_tokens"], PLAIN)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gemma3"])
def test_an_adapter_on_an_embedding_of_its_own_trains(architecture, examples):
    """In one process, where an embedding that is trained itself has a sparse gradient."""
    model = any_model(architecture, tied=False)
    [target] = {n.rpartition(".")[2] for n, m in model.named_modules() if m is model.get_input_embeddings()}
    adapter = add_lora(model, [target], PLAIN)
    before = weights(adapter)
    trained(examples, adapter, epochs=1)
    for name, tensor in weights(adapter).items():
        assert not torch.equal(tensor, before[name]), name


# ---- what plain PEFT makes of it ------------------------------------------------------------------


@pytest.mark.parametrize(
    "base", [FOLDER, Origin("owner/name", "8f6a2a9cd5")], ids=["of a folder", "of the Hub"]
)
def test_adapter_names_its_base_and_its_commit(base, decoder, tmp_path):
    save(adapted(decoder("gpt2"), "gpt2"), tmp_path, base)
    config = PeftConfig.from_pretrained(tmp_path)
    assert (config.base_model_name_or_path, config.revision) == base


def test_the_origin_of_a_base_is_what_its_source_json_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("models/base/m")
    folder.mkdir(parents=True)
    for source, expected in (
        ({"source": "hub:owner/name@main", "commit": "8f6a"}, ("owner/name", "8f6a")),
        ({"source": "path:m"}, ("models/base/m", None)),
        ({"source": "tiny:gpt2"}, ("models/base/m", None)),
        ({"source": "gguf:pypi:model/file.gguf"}, ("models/base/m", None)),
    ):
        (folder / "source.json").write_text(json.dumps(source), encoding="utf-8")
        assert origin(folder) == expected
    (folder / "source.json").write_text("{}", encoding="utf-8")
    with pytest.raises(WaznError, match="source: is missing; remove models/base/m and run `dvc repro`"):
        origin(folder)


def test_plain_peft_loads_it_from_the_projects_folder(decoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    decoder("gpt2").save_pretrained(FOLDER.name)
    model = adapted(decoder("gpt2"), "gpt2")
    save(model, tmp_path / "models/weighting/m/17")
    loaded = AutoPeftModelForCausalLM.from_pretrained("models/weighting/m/17")
    torch.testing.assert_close(loaded(TOKENS).logits, model(TOKENS).logits, rtol=0, atol=1e-5)


# ---- number types -------------------------------------------------------------------------------


@pytest.fixture(params=ARCHITECTURES)
def small_change(request, tmp_path, monkeypatch):
    """The folder of a project whose adapter changes weights of 1.25 and more by 0.003, either way.

    In bfloat16 such weights lie 0.008 apart or more.
    """
    monkeypatch.chdir(tmp_path)
    base = random_model(request.param, torch.float32)
    with torch.no_grad():
        for name, module in base.named_modules():
            if name.rpartition(".")[2] in RUN_TARGETS[request.param]:
                module.weight += 1.25 * module.weight.sign()
    base.save_pretrained("models/base/m")
    model = add_lora(base, RUN_TARGETS[request.param], PLAIN)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                signs = torch.randn(parameter.shape).sign()
                parameter.zero_()
                if "lora_A" in name:
                    parameter[0] = signs[0]
                else:
                    parameter[:, 0] = 0.003 / (PLAIN.alpha / PLAIN.r) * signs[:, 0]
    save(model, tmp_path / "models/weighting/m/17")
    return tmp_path


def test_adapter_too_small_for_bfloat16_weights_still_changes_the_logits(small_change):
    """Merged into weights in bfloat16, it would be rounded away."""
    base, trained = (
        load_trained("m", arm, seed, torch.bfloat16, 8) for arm, seed in (("base", None), ("weighting", 17))
    )
    merged = add_adapter(
        load_trained("m", "base", None, torch.bfloat16, 8),
        small_change / "models/weighting/m/17",
        merge=True,
    )
    adapters = {name: p.dtype for name, p in trained.named_parameters() if "lora_" in name}
    assert adapters
    assert set(adapters.values()) == {torch.float32}
    others = {p.dtype for name, p in trained.named_parameters() if "lora_" not in name}
    assert others == {torch.bfloat16}
    with torch.no_grad(), float32_head(base), float32_head(merged), float32_head(trained):
        plain = base(TOKENS).logits
        assert torch.equal(merged(TOKENS).logits, plain), "not too small"
        assert not torch.equal(trained(TOKENS).logits, plain)


def test_adapter_merged_in_float32_is_the_unmerged_one_within_rounding(small_change):
    merged = load_trained("m", "weighting", 17, torch.float32, 8)
    base = load_trained("m", "base", None, torch.float32, 8)
    unmerged = add_adapter(
        load_trained("m", "base", None, torch.float32, 8),
        small_change / "models/weighting/m/17",
        merge=False,
    )
    assert not any("lora" in name for name, _ in merged.named_parameters())
    assert any("lora" in name for name, _ in unmerged.named_parameters())
    assert not unmerged.training
    with torch.no_grad():
        found, expected = merged(TOKENS).logits, unmerged(TOKENS).logits
        change = (expected - base(TOKENS).logits).abs().max()
    assert (found - expected).abs().max() < 0.05 * change
