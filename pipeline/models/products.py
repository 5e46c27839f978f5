"""Matrix products of linear layers by oneDNN on a CPU.

torch takes MKL for products of float32, which does not use the widest vector instructions of processors
that are not Intel's. The oneDNN in every build of torch does, and reads a weight as it lies, in either
order. The type stays float32; sums are added up in another order. docs/training.md has figures.
"""

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

_AVAILABLE = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`states @ weight.T + bias` by oneDNN: (…, I) and (O, I) to (…, O), float32 on a CPU, no gradient.

    Either may be a transposed view.
    """
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
    return result


def linear(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`torch.nn.functional.linear`, by oneDNN where that can compute it: float32 on a CPU."""
    if not usable(states, weight):
        return torch.nn.functional.linear(states, weight, bias)
    if torch.is_grad_enabled():
        result: torch.Tensor = _Product.apply(states, weight, bias)  # type: ignore[no-untyped-call]
        return result
    return product(states, weight, bias)


def usable(states: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether `product` can compute these: plain float32 tensors on a CPU, and not under autocast."""
    return (
        _AVAILABLE
        and states.dtype == weight.dtype == torch.float32
        and states.device.type == weight.device.type == "cpu"
        and states.dim() > 1
        and states.numel() > 0
        and type(weight) in (torch.Tensor, torch.nn.Parameter)
        and not torch.is_autocast_enabled("cpu")
    )


class _Product(torch.autograd.Function):
    """A linear layer whose gradients are products by oneDNN too."""

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        # A frozen weight needs no states for its gradient.
        ctx.save_for_backward(states if ctx.needs_input_grad[1] else None, weight)
        return product(states, weight, bias)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (states, weight), gradient = ctx.saved_tensors, upstream[0]
        rows = gradient.flatten(0, -2)
        of_states = product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        of_weight = product(rows.t(), states.flatten(0, -2).t()) if ctx.needs_input_grad[1] else None
        return of_states, of_weight, rows.sum(dim=0) if ctx.needs_input_grad[2] else None


class OneDnnLinear(torch.nn.Linear):
    """A linear layer computed by `linear`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(…, I) to (…, O)."""
        return linear(input, self.weight, self.bias)


class OneDnnConv1D(Conv1D):  # type: ignore[misc]  # transformers gives it no type
    """GPT-2's linear layer, whose weight is (I, O), computed by `linear`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, I) to (…, O)."""
        return linear(x, self.weight.t(), self.bias)


def use_onednn(model: torch.nn.Module) -> None:
    """Have the linear layers of `model` computed by oneDNN, where that can."""
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = OneDnnLinear
        elif type(module) is Conv1D:
            module.__class__ = OneDnnConv1D
