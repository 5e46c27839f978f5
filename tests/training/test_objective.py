"""The loss of a micro-batch against the paper's equation, for every architecture; its peak of memory."""

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, random_model
from equation import answer_nlls, assert_close, gradients, paper_loss
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM

from pipeline.config.training import AdapterConfig
from pipeline.models.lora import add_lora
from pipeline.training import objective
from pipeline.training.batching import Batch, collate
from pipeline.training.loss import token_weights
from pipeline.training.objective import AnswerLoss, answer_loss

VOCABULARY = 384  # of random_model
MEANS = ("sequence", "token")


@pytest.fixture
def wide_softmax(monkeypatch):
    """Bloom takes its attention's softmax in float32 whatever its own type; here in that type.

    As it is, its gradients of padded and single sequences differ by 4e-9 in float64: the float32 result is
    rounded one way or the other.
    """
    real = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, dtype=None: real(x, dim=dim))


def step_coefficients(examples, mean):
    lengths = np.array([len(e.input_ids) - e.prompt_length for e in examples])
    return torch.tensor(token_weights(np.array([e.weight for e in examples]), lengths, mean))


def loss_of(model, examples, mean="sequence", groups=None):
    """The loss of a step over `examples`, in micro-batches of these `groups`; one of all if None."""
    factors = step_coefficients(examples, mean)
    groups = groups or [list(range(len(examples)))]
    return sum(answer_loss(model, collate([examples[i] for i in g]), factors[g])[0] for g in groups)


# ---- the equation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("mean", MEANS)
def test_loss_and_every_gradient_equal_the_equation(
    architecture, mean, examples, wide_softmax, monkeypatch
):
    """Every weight trained, head and embedding tied; whatever micro-batches and chunks."""
    model = random_model(architecture)
    expected = paper_loss(model, examples, mean)
    wanted = gradients(model, expected)
    assert wanted.keys() == dict(model.named_parameters()).keys()
    for groups, chunk in ((None, 10**6), (None, 7), ([[3, 0, 9], [1], [2, 4, 5, 6, 7, 8]], 50)):
        monkeypatch.setattr(objective, "MAX_LOGITS", chunk * VOCABULARY)
        found = loss_of(model, examples, mean, groups)
        assert found.item() == pytest.approx(expected.item(), abs=1e-10)
        assert_close(gradients(model, found), wanted, atol=1e-10)


def added_in_place(model, examples, groups):
    """What is added to gradients that were 1 before."""
    module, factors = AnswerLoss(model, in_place=True), step_coefficients(examples, "sequence")
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for group in groups:
        module(collate([examples[i] for i in group]), factors[group])[0].backward()
    return {name: parameter.grad - 1 for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_added_in_place_are_the_equations(
    architecture, tied, examples, wide_softmax, monkeypatch
):
    names = ["tie_word_embeddings", *(["tie_embedding"] if architecture == "lfm2" else [])]
    model = random_model(architecture, **dict.fromkeys(names, tied))
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
    wanted = gradients(model, paper_loss(model, examples))
    for groups, chunk in (([list(range(10))], 10**6), ([[3, 0, 9], [1], [2, 4, 5, 6, 7, 8]], 50)):
        monkeypatch.setattr(objective, "MAX_LOGITS", chunk * VOCABULARY)
        assert_close(added_in_place(model, examples, groups), wanted, atol=1e-10)


@pytest.mark.parametrize("mean", MEANS)
def test_bloom_as_it_is_equals_the_equation_one_sequence_at_a_time(mean, examples):
    """Without `wide_softmax`, so in micro-batches of one, which round as the reference does."""
    model = random_model("bloom")
    expected = paper_loss(model, examples, mean)
    wanted = gradients(model, expected)
    found = loss_of(model, examples, mean, groups=[[i] for i in range(len(examples))])
    assert found.item() == pytest.approx(expected.item(), abs=1e-10)
    assert_close(gradients(model, found), wanted, atol=1e-10)


def test_adapters_on_attention_and_head_get_the_equations_gradient(examples, monkeypatch):
    base = random_model("qwen2", tie_word_embeddings=False)
    model = add_lora(base, ["q_proj", "lm_head"], AdapterConfig(r=4, alpha=8.0, dropout=0.0)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
    wanted = gradients(model, paper_loss(model, examples))
    monkeypatch.setattr(objective, "MAX_LOGITS", 20 * VOCABULARY)
    found = gradients(model, loss_of(model.get_base_model(), examples))
    assert {name.partition(".lora_")[0].rpartition(".")[2] for name in found} == {"lm_head", "q_proj"}
    assert_close(found, wanted, atol=1e-10)


AFTER_PROJECTION = {
    "gemma2": {"final_logit_softcapping": 5.0, "head_dim": 16, "sliding_window": 64},
    "granite": {"logits_scaling": 3.0},
    "cohere": {"logit_scale": 0.3},
}


@pytest.mark.parametrize("architecture", AFTER_PROJECTION)
def test_what_a_model_does_after_the_projection_is_done(architecture, examples, wide_softmax, monkeypatch):
    """Caps and scales its logits; against the model's own, in loss and gradient."""
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    shape |= {"num_key_value_heads": 1, "vocab_size": VOCABULARY, "initializer_range": 0.3}
    shape |= {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    config = AutoConfig.for_model(architecture, **shape, **AFTER_PROJECTION[architecture])
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").double().eval()
    with torch.no_grad():
        tokens = torch.tensor([examples[0].input_ids])
        states = model.base_model(tokens)[0]
        assert (model(tokens).logits - model.get_output_embeddings()(states)).abs().max() > 0.1
    monkeypatch.setattr(objective, "MAX_LOGITS", 20 * VOCABULARY)
    expected = paper_loss(model, examples)
    wanted = gradients(model, expected)
    found = loss_of(model, examples, groups=[[i] for i in range(len(examples))])
    assert found.item() == pytest.approx(expected.item(), abs=1e-10)
    assert_close(gradients(model, found), wanted, atol=1e-10)
    in_place = added_in_place(model, examples, [[i] for i in range(len(examples))])
    assert_close(in_place, wanted, atol=1e-10)
    assert model(tokens).logits.shape == (*tokens.shape, VOCABULARY), "its decoder is itself again"


def test_decoder_is_itself_again_where_a_projection_fails(examples, monkeypatch):
    model = random_model("gpt2")
    before = model(torch.tensor([[5, 6]])).logits
    with monkeypatch.context() as patched:
        patched.setattr(model.lm_head, "forward", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loss_of(model, examples)
    assert torch.equal(model(torch.tensor([[5, 6]])).logits, before)


# ---- weights, labels, padding ---------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.25, 3.0])
@pytest.mark.parametrize("mean", MEANS)
def test_scaling_all_weights_scales_the_gradient(factor, mean, examples):
    # GPT-2, as the others compute their norms in float32 whatever their dtype.
    model = random_model("gpt2")
    scaled = [dataclasses.replace(e, weight=factor * e.weight) for e in examples]
    once = gradients(model, loss_of(model, examples, mean))
    times = gradients(model, loss_of(model, scaled, mean))
    assert_close(times, {name: factor * g for name, g in once.items()}, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("mean", MEANS)
def test_row_of_weight_0_leaves_no_trace_in_the_gradient(mean, examples):
    """Trap 2, through the model: mixed weights would let the silenced row speak, and halve the other."""
    model = random_model("gpt2")
    kept, silenced = examples[1], dataclasses.replace(examples[2], weight=0.0)
    found = gradients(model, loss_of(model, [kept, silenced], mean))
    share = {"sequence": 1 / 2, "token": len(kept.input_ids) - kept.prompt_length}[mean]
    if mean == "token":
        share /= sum(len(e.input_ids) - e.prompt_length for e in (kept, silenced))
    alone = gradients(model, loss_of(model, [kept], mean))
    assert_close(found, {name: share * g for name, g in alone.items()}, atol=1e-12)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_positions_that_predict_an_answer_token_are_projected(architecture, examples):
    """Trap 1: neither prompt nor padding can be in a loss for which no logits are computed."""
    model, batch = random_model(architecture, torch.float32), collate(examples)
    rows = []
    head = model.get_output_embeddings()
    hook = head.register_forward_hook(lambda _, inputs, output: rows.append(output[0].detach()))
    loss, _ = answer_loss(model, batch, torch.ones(len(examples)))
    hook.remove()
    assert sum(map(len, rows)) == sum(len(e.input_ids) - e.prompt_length for e in examples)
    with torch.no_grad():
        expected = torch.cat(
            [model(torch.tensor([e.input_ids])).logits[0, e.prompt_length - 1 : -1] for e in examples]
        )
    torch.testing.assert_close(torch.cat(rows), expected, rtol=0, atol=1e-3)
    assert loss.isfinite()


def test_padding_that_is_end_of_text_is_no_label_but_the_closing_one_is(examples, tokenizer):
    """Trap 1: the notebooks' padding is end-of-text, and all of it is in their loss."""
    end = tokenizer.eos_token_id
    model = random_model("gpt2", eos_token_id=end, pad_token_id=end)
    assert all(example.input_ids[-1] == end for example in examples)
    batch = padded(examples, 9, end)
    _, found = answer_loss(model, batch, torch.ones(len(examples)))
    expected = [sum(answer_nlls(model, e)).item() for e in examples]
    assert found.tolist() == pytest.approx(expected, abs=1e-10)
    unclosed = [dataclasses.replace(e, input_ids=e.input_ids[:-1]) for e in examples]
    _, without = answer_loss(model, collate(unclosed), torch.ones(len(examples)))
    assert (found - without > 1e-3).all(), "the closing end-of-text is not in the loss"


def padded(examples, columns, token):
    """A batch of them with `columns` more columns of padding, all padding written as `token`."""
    batch = collate(examples)
    tokens, answers = (functional.pad(tensor, (0, columns)) for tensor in vars(batch).values())
    for row, example in enumerate(examples):
        tokens[row, len(example.input_ids) :] = token
    return Batch(tokens, answers)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("columns", [0, 1, 17])
def test_amount_and_id_of_padding_change_nothing(architecture, columns, examples, tokenizer, wide_softmax):
    """Though no mask is given: what stands to the right of a token is not seen, in every architecture."""
    model, factors = random_model(architecture), step_coefficients(examples, "sequence")
    loss, nll = answer_loss(model, collate(examples), factors)
    wanted = gradients(model, loss)
    token = tokenizer.eos_token_id if columns == 17 else 0
    again, found = answer_loss(model, padded(examples, columns, token), factors)
    torch.testing.assert_close(found, nll, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(again, loss, rtol=1e-10, atol=1e-10)
    assert_close(gradients(model, again), wanted, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_mask_is_the_mask_of_the_padding_and_the_mask_of_ones(architecture, examples):
    """LFM2 sets states of padding to 0 before its convolution, and Bloom counts positions by the mask."""
    model, batch = random_model(architecture, torch.float32), collate(examples)
    padding = torch.zeros_like(batch.input_ids)
    for row, example in enumerate(examples):
        padding[row, : len(example.input_ids)] = 1

    def nll(mask):
        with torch.no_grad():
            logits = model(batch.input_ids, attention_mask=mask).logits
        found = functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), batch.input_ids[:, 1:].flatten(), reduction="none"
        )
        return found.view(len(examples), -1)[batch.completion_mask[:, 1:]]

    none = nll(None)
    assert torch.equal(nll(torch.ones_like(padding)), none)
    torch.testing.assert_close(nll(padding), none, rtol=1e-5, atol=1e-5)


class Attentions(TorchFunctionMode):
    """Notes how torch's fused attention is called."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_function__(self, function, types, arguments=(), named=None):
        if function is functional.scaled_dot_product_attention:
            self.found.append((named["attn_mask"], named["is_causal"]))
        return function(*arguments, **(named or {}))


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "bloom"])
def test_attention_gets_no_mask_though_there_is_padding(architecture, examples):
    """FlashAttention, as torch has it, takes none: with one a GPU would compute by a slower kernel."""
    model = random_model(architecture, torch.float32)
    with Attentions() as attentions:
        answer_loss(model, collate(examples), torch.ones(len(examples)))[0].backward()
    layers = getattr(model.config, "layer_types", None) or ["full_attention"] * 2
    assert attentions.found == [(None, True)] * layers.count("full_attention")


# Operators that torch has in no form that repeats on a GPU, by the documentation of
# `use_deterministic_algorithms`, as far as a language model could call one; and cumsum, where of floats.
UNREPEATABLE = {"bincount", "histc", "median", "nll_loss2d_forward", "put_", "resize_", "scatter_reduce"}


class Unrepeatable(TorchDispatchMode):
    """Notes operators, forward or backward, that would not repeat on a GPU."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        made = function(*arguments, **(named or {}))
        name = function.overloadpacket.__name__
        if name in UNREPEATABLE or (name == "cumsum" and made.is_floating_point()):
            self.found.add(name)
        return made


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_operator_of_a_training_repeats_on_a_gpu(architecture, examples):
    """Bloom's ALiBi was once a cumulative sum of a mask in float32."""
    model = random_model(architecture, torch.float32)
    with Unrepeatable() as operators:
        torch.ones(3).cumsum(0)
        assert operators.found == {"cumsum"}
        operators.found.clear()
        answer_loss(model, collate(examples), torch.ones(len(examples)))[0].backward()
    assert operators.found == set()


def test_order_of_rows_does_not_matter(examples):
    model = random_model("gpt2")
    turned = loss_of(model, examples[::-1])
    assert turned.item() == pytest.approx(loss_of(model, examples).item(), abs=1e-10)


def test_bfloat16_model_gives_a_float32_loss(examples):
    exact, rough = (
        answer_loss(random_model("gpt2", dtype), collate(examples), torch.ones(len(examples)))
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert {tensor.dtype for tensor in rough} == {torch.float32}
    torch.testing.assert_close(rough[1], exact[1], rtol=0.1, atol=0.0)


# ---- memory ---------------------------------------------------------------------------------------


class Sizes(TorchDispatchMode):
    """Notes the shape of every tensor that an operation makes, forward or backward."""

    def __init__(self):
        super().__init__()
        self.shapes = set()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        made = function(*arguments, **(named or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.shapes.add(tuple(tensor.shape))
        return made


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("trained", [False, True], ids=["frozen head", "trained head"])
def test_no_tensor_has_more_logits_than_a_chunk(architecture, trained, examples, monkeypatch):
    vocabulary, chunk = 1013, 11  # as no other size here
    model = random_model(architecture, torch.float32, vocabulary=vocabulary)
    model.get_output_embeddings().weight.requires_grad_(trained)
    monkeypatch.setattr(objective, "MAX_LOGITS", chunk * vocabulary)
    batch, factors = collate(examples), step_coefficients(examples, "sequence")
    with Sizes() as sizes:
        answer_loss(model, batch, factors)[0].backward()
    over = {shape for shape in sizes.shapes if vocabulary in shape}
    weight = model.get_output_embeddings().weight.shape
    assert {np.prod(s) for s in over - {weight, weight[::-1]}} <= {
        rows * vocabulary for rows in range(1, chunk + 1)
    }
    assert any(chunk in shape for shape in over)


class Buffers(TorchDispatchMode):
    """Notes the addresses of dense tensors of `count` numbers that an operation makes or writes."""

    def __init__(self, count):
        super().__init__()
        self.count, self.found = count, set()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        made = function(*arguments, **(named or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor) and not tensor.is_sparse and tensor.numel() == self.count:
                self.found.add(tensor.data_ptr())
        return made


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_added_in_place_need_no_tensor_of_the_vocabularys_size(
    architecture, in_place, examples, monkeypatch
):
    vocabulary, chunk = 1013, 11
    model = random_model(architecture, torch.float32, vocabulary=vocabulary)
    monkeypatch.setattr(objective, "MAX_LOGITS", chunk * vocabulary)
    module = AnswerLoss(model, in_place=in_place)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    weight = model.get_output_embeddings().weight
    with Buffers(weight.numel()) as buffers:
        module(collate(examples), step_coefficients(examples, "sequence"))[0].backward()
    others = buffers.found - {weight.data_ptr(), weight.grad.data_ptr()}
    assert bool(others) != in_place, "without, there are some: else this would see nothing"


@pytest.mark.parametrize("architecture", ["gpt2", "qwen2"])
def test_under_autocast_the_vocabularys_size_is_taken_once_not_for_every_chunk(
    architecture, examples, monkeypatch
):
    """Once: the weight in bfloat16. Its gradient in bfloat16 is added a few rows at a time."""
    vocabulary, batch = 1013, collate(examples)
    monkeypatch.setattr(objective, "_ROWS", 100)
    made = {}
    for chunk in (11, 1000):
        monkeypatch.setattr(objective, "MAX_LOGITS", chunk * vocabulary)
        module = AnswerLoss(random_model(architecture, torch.float32, vocabulary=vocabulary), in_place=True)
        for parameter in module.parameters():
            parameter.grad = torch.zeros_like(parameter)
        weight = module.decoder.get_output_embeddings().weight
        # Kept alive, so that no address is used twice.
        with Made(weight.numel()) as tensors, torch.autocast("cpu", torch.bfloat16):
            module(batch, step_coefficients(examples, "sequence"))[0].backward()
        own = {weight.data_ptr(), weight.grad.data_ptr()}
        made[chunk] = len({tensor.data_ptr() for tensor in tensors.found} - own)
        if chunk == 11:
            cut = weight.grad.clone()
    assert made[11] == made[1000] == 1
    torch.testing.assert_close(cut, weight.grad, rtol=0.05, atol=0.05 * weight.grad.abs().max().item())


class Made(Buffers):
    """Keeps dense tensors of `count` numbers that an operation makes or writes."""

    def __init__(self, count):
        super().__init__(count)
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        made = function(*arguments, **(named or {}))
        if isinstance(made, torch.Tensor) and not made.is_sparse and made.numel() == self.count:
            self.found.append(made)
        return made


@pytest.mark.parametrize(("gigabytes", "tokens"), [(16, 398), (80, 1992)])
def test_chunks_of_logits_follow_the_memory_of_a_gpu(gigabytes, tokens, monkeypatch):
    """Of Bloom's vocabulary a CPU computes 133 tokens at once."""
    memory = SimpleNamespace(total_memory=gigabytes * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: memory)
    assert objective.max_logits(torch.device("cpu")) // 250_880 == 133
    assert objective.max_logits(torch.device("cuda")) // 250_880 == tokens


PEAK = """
import sys
import torch
from transformers import BloomConfig, BloomForCausalLM
from pipeline.training.batching import Batch
from pipeline.training.objective import answer_loss

def kilobytes(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))

torch.manual_seed(0)
shape = {"hidden_size": int(sys.argv[1]), "n_layer": 1, "n_head": 8, "hidden_dropout": 0.0}
with torch.device("meta"):
    model = BloomForCausalLM(BloomConfig(vocab_size=250_880, **shape))
model = model.to_empty(device="cpu")
model.tie_weights()
for parameter in model.parameters():
    parameter.requires_grad_(False).fill_(0.01)  # every page of it is there
model.transformer.h[0].self_attention.dense.weight.requires_grad_(True)  # as an adapter below the head
loaded = kilobytes("VmRSS")
tokens = torch.randint(250_880, (int(sys.argv[2]), 512))
answers = torch.ones_like(tokens, dtype=torch.bool)
answers[:, 0] = False
loss, nll = answer_loss(model, Batch(tokens, answers), torch.full((len(tokens),), 1 / answers.sum()))
loss.backward()
assert abs(loss.item() - 12.43) < 0.01, loss  # ln 250880: equal logits
assert model.transformer.h[0].self_attention.dense.weight.grad is not None
print(loaded, kilobytes("VmHWM"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "rows", "most"), [(64, 1, 0.75), (1024, 8, 1.5)])
def test_peak_memory_of_a_large_vocabulary(hidden, rows, most):
    """Of 8 x 512 tokens over Bloom's vocabulary the logits alone would be 4.1 GB, their gradient as much.

    VmHWM is the peak of this very program; what getrusage says may be that of the one that started it.
    """
    command = [sys.executable, "-c", PEAK, str(hidden), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded, peak = (1024 * int(kilobytes) for kilobytes in done.stdout.split())
    assert loaded > 250_880 * hidden * 4
    assert peak - loaded < most * 2**30
