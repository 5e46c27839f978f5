"""Linear layers by oneDNN are the layers that they stand for, in value and in gradient."""

import copy

import pytest
import torch
from architectures import ARCHITECTURES, random_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from pipeline.models import products
from pipeline.models.products import OneDnnConv1D, OneDnnLinear, use_onednn

needs_onednn = pytest.mark.skipif(not products._AVAILABLE, reason="this build of torch has no oneDNN")


def layer(kind, bias):
    torch.manual_seed(0)
    made = Conv1D(24, 40) if kind is Conv1D else nn.Linear(40, 24, bias=bias)
    nn.init.normal_(made.weight)
    return made


def values_and_gradients(module, states):
    """In float64: the output, and the gradients of its weighted sum for the input and each parameter."""
    states = states.clone().requires_grad_()
    out = module(states)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    wanted = [states, *(p for p in module.parameters() if p.requires_grad)]
    return [
        tensor.double() for tensor in (out.detach(), *torch.autograd.grad((weight * out).sum(), wanted))
    ]


@needs_onednn
@pytest.mark.parametrize("shape", [(40,), (7, 40), (2, 7, 40), (1, 1, 40)])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("kind", "bias"), [(nn.Linear, True), (nn.Linear, False), (Conv1D, True)])
def test_values_and_gradients_are_those_of_the_layer(kind, bias, frozen, shape):
    module, states = layer(kind, bias).requires_grad_(not frozen), torch.randn(shape)
    exact = values_and_gradients(copy.deepcopy(module).double(), states.double())
    use_onednn(module)
    assert type(module) is (OneDnnConv1D if kind is Conv1D else OneDnnLinear)
    for found, expected in zip(values_and_gradients(module, states), exact, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@needs_onednn
def test_it_is_onednn_that_computes(monkeypatch):
    module = layer(nn.Linear, True)
    use_onednn(module)
    calls, real = [], products.product
    monkeypatch.setattr(products, "product", lambda *given: calls.append(given) or real(*given))
    module(torch.randn(3, 40)).sum().backward()
    assert len(calls) == 2  # forward; the gradient of the weight, as the input needs none


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_computed_as_before(dtype):
    module, states = layer(nn.Linear, True).to(dtype), torch.randn(3, 40, dtype=dtype)
    expected = module(states)
    use_onednn(module)
    assert torch.equal(module(states), expected)


def test_autocast_and_empty_input_are_computed_as_before():
    module = layer(nn.Linear, True)
    use_onednn(module)
    with torch.autocast("cpu", torch.bfloat16):
        assert module(torch.randn(3, 40)).dtype == torch.bfloat16
    assert module(torch.randn(0, 40)).shape == (0, 24)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_says_the_same(architecture):
    model = random_model(architecture, torch.float32)
    tokens = torch.randint(5, 300, (2, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(tokens).logits
        use_onednn(model)
        found = model(tokens).logits
    assert not any(type(module) in (nn.Linear, Conv1D) for module in model.modules())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
