"""What is trained of a base model, in which number types, and with how much memory."""

from types import SimpleNamespace

import pytest
import torch
from architectures import ARCHITECTURES, random_model
from equation import assert_close, gradients
from runs import TARGETS, settings, trainable, trained, weights
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

from pipeline.config.training import AdapterConfig
from pipeline.errors import WaznError
from pipeline.models import methods
from pipeline.models.methods import count_trainable, load_trainable
from pipeline.models.runtime import load_decoder, torch_dtype
from pipeline.training import objective
from pipeline.training.batching import collate
from pipeline.training.dropout import checkpoint_activations
from pipeline.training.objective import AnswerLoss


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of a random model of an architecture."""

    def folder(architecture):
        path = tmp_path_factory.getbasetemp() / f"base-{architecture}"
        if not path.exists():
            random_model(architecture, torch.float32).save_pretrained(path)
        return path

    return folder


def loaded(base, architecture="gpt2", method="lora", checkpointing=False, dtype=torch.float32, dropout=0.0):
    folder = base(architecture)  # which draws random numbers when it is the first to ask
    torch.manual_seed(3)
    lora = AdapterConfig(r=4, alpha=8.0, dropout=dropout)
    config, _, _ = settings(method=method, lora=lora, max_length=200)
    model = load_trainable(folder, config, TARGETS[architecture], dtype)
    if checkpointing:
        checkpoint_activations(model)
    return model


# ---- what is trained ------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lora_trains_float32_adapters_on_weights_of_the_type_asked_for(architecture, dtype, base):
    model = loaded(base, architecture, dtype=dtype)
    assert {name.partition(".lora_")[0].rpartition(".")[2] for name in weights(model)} == set(
        TARGETS[architecture]
    )
    assert {tensor.dtype for tensor in weights(model).values()} == {torch.float32}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {dtype}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_trains_every_weight_in_float32_whatever_the_type_asked_for(architecture, base):
    model = loaded(base, architecture, "full", dtype=torch.bfloat16)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert_close(weights(model), weights(random_model(architecture, torch.float32)), atol=0)


def test_trained_parameters_are_counted_by_hand(base):
    """gpt2, width 32, two layers; rank 4 at c_attn (32 to 96) and both c_proj (32 and 128 to 32)."""
    assert count_trainable(loaded(base)) == 2 * 4 * ((32 + 96) + (32 + 32) + (128 + 32))
    assert count_trainable(loaded(base, "qwen2", "full")) == sum(
        p.numel() for p in random_model("qwen2").parameters()
    )


def test_qlora_without_a_gpu_is_refused_with_the_remedy(base):
    with pytest.raises(WaznError, match=r"finetune\.method: qlora .* NVIDIA GPU.*set it to lora"):
        loaded(base, method="qlora")


def test_qlora_without_its_package_is_refused_with_the_remedy(base, monkeypatch):
    folder = base("gpt2")
    monkeypatch.setattr(methods, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(methods.importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(WaznError, match=r"finetune\.method: qlora .*pip install bitsandbytes.*to lora"):
        loaded(lambda _: folder, method="qlora")


# ---- gradient checkpointing -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradient_checkpointing_computes_layers_twice_and_changes_no_gradient(
    architecture, method, base, examples
):
    """With dropout, which must fall alike both times."""
    batch, found = collate(examples), []
    for checkpointing in (False, True):
        model = loaded(base, architecture, method, checkpointing, dropout=0.2)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.1)
        module, calls = AnswerLoss(model).train(), []
        layers = module.decoder._no_split_modules
        first = next(part for part in module.modules() if type(part).__name__ in layers)
        next(first.children()).register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(11)
        loss, _ = module(batch, torch.full((len(examples),), 0.1))
        found.append((len(calls), loss.item(), gradients(module, loss), len(calls)))
    (_, loss, plain, once), (_, again, anew, twice) = found
    assert (once, twice) == (1, 2)
    assert again == loss
    assert plain
    assert_close(anew, plain, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_run_with_gradient_checkpointing_is_that_without(method, base, examples):
    runs = [trained(examples, loaded(base, "gpt2", method, anew), epochs=1) for anew in (False, True)]
    (plain, plain_steps), (anew, steps) = runs
    assert [s.loss for s in steps] == pytest.approx([s.loss for s in plain_steps], rel=1e-6)
    if method == "lora":
        assert_close(weights(anew), weights(plain), atol=1e-6)


# ---- attention ------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "bloom"])
def test_how_attention_is_computed_changes_speed_and_memory_only(architecture, base, examples):
    """With dropout, in attention too where the model has it, whose masks must be the same."""
    folder, found = base(architecture), []
    for kind in ("eager", "sdpa"):
        torch.manual_seed(3)
        recipe, _, _ = settings(method="full", max_length=200)
        model = load_trainable(folder, recipe, [], torch.float32, kind)
        assert model.config._attn_implementation == kind
        for module in model.modules():
            if isinstance(module, GPT2Attention):
                module.attn_dropout.p = 0.2
        found.append(trained(examples, model, epochs=1)[1])
    eager, sdpa = ([step.loss for step in steps] for steps in found)
    assert eager == pytest.approx(sdpa, rel=1e-4)


def test_attention_that_an_architecture_lacks_is_one_sentence(base):
    with pytest.raises(
        WaznError, match=r"no sdpa for this architecture; set attn_implementation in resour"
    ):
        load_decoder(base("bloom"), torch.float32, 8, "sdpa")


# ---- number types ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        (None, torch.float32),
        ((7, 0), torch.float16),  # V100
        ((7, 5), torch.float16),  # T4
        ((8, 0), torch.bfloat16),  # A100
        ((9, 0), torch.bfloat16),  # H100
    ],
)
def test_auto_is_bfloat16_where_the_hardware_has_it(capability, expected, monkeypatch):
    """By torch's own rule, which calls an older GPU able too, unless it is asked about the hardware."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    properties = SimpleNamespace(major=(capability or (0,))[0])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)
    assert torch.cuda.is_bf16_supported() == (capability is not None)
    assert torch_dtype("auto") == expected
    named = [torch_dtype(name) for name in ("float32", "bfloat16", "float16")]
    assert named == [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sixteen_bits_compute_a_float32_loss_near_the_exact_one(
    architecture, method, dtype, base, examples
):
    _, exact_steps = trained(examples, loaded(base, architecture, method), epochs=1)
    model = loaded(base, architecture, method, dtype=dtype)
    _, steps = trained(examples, model, more={"dtype": dtype}, epochs=1)
    assert [s.loss for s in steps] == pytest.approx([s.loss for s in exact_steps], rel=0.05)
    assert [s.loss for s in steps] != [s.loss for s in exact_steps], "computed in float32 all the same"
    assert {tensor.dtype for tensor in weights(model).values()} == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in weights(model).values())


@pytest.mark.parametrize("chunk", [7, 1000])
def test_bfloat16_chunks_of_a_trained_head(chunk, examples, monkeypatch):
    """Autocast keeps its copy of the head from chunk to chunk; each one's gradient must reach the head."""
    monkeypatch.setattr(objective, "MAX_LOGITS", chunk * 384)
    module, batch = AnswerLoss(trainable("qwen2", "full")), collate(examples)
    factors = torch.full((len(examples),), 0.1)
    exact = gradients(module, module(batch, factors)[0])
    with torch.autocast("cpu", torch.bfloat16):
        loss, nll = module(batch, factors)
    assert (loss.dtype, nll.dtype) == (torch.float32, torch.float32)
    found = gradients(module, loss)
    for name in ("model.model.embed_tokens.weight", "model.model.norm.weight"):
        error = (found[name] - exact[name]).norm() / exact[name].norm()
        assert error < 0.1, name
    module = AnswerLoss(module.model, in_place=True)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with torch.autocast("cpu", torch.bfloat16):
        same, _ = module(batch, factors)
    same.backward()
    assert same.item() == loss.item()
    weight = module.decoder.get_output_embeddings().weight
    expected = found["model.model.embed_tokens.weight"]
    assert (weight.grad - expected).norm() < 0.01 * expected.norm()
