"""OMP_NUM_THREADS=1 python benchmarks/vocabulary_loss.py

Milliseconds of the loss of tokens over a large vocabulary and of its gradient: ours beside torch's own
`linear_cross_entropy` and, where it is installed, the package cut-cross-entropy. Each gives the loss of
each token, which the severity weights multiply. All compute the same numbers, and the largest differences
from ours in float64 stand beside the times, relative to the largest number. On a CPU, where
cut-cross-entropy has no kernel, it compiles an ordinary loss instead.
"""

import argparse
import importlib
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from pipeline.models.products import linear
from pipeline.training.loss import chunked_linear_cross_entropy
from pipeline.training.objective import max_logits

Tokens = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Hidden states (M, H), the matrix of the lm_head (V, H), labels (M,)."""
Loss = Callable[[Tokens, torch.Tensor], torch.Tensor]
"""The weighted sum of the tokens' losses, from tokens and their weights (M,)."""


def main() -> None:
    """Print a row for each contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--vocabulary", type=int, default=64_000)
    parser.add_argument("--trained", action="store_true", help="the lm_head is trained too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    hidden = torch.randn(options.tokens, options.hidden, device=device)
    head = torch.randn(options.vocabulary, options.hidden, device=device) / options.hidden**0.5
    labels = torch.randint(options.vocabulary, (options.tokens,), device=device)
    weights = torch.rand(options.tokens, device=device) / options.tokens
    dtype = getattr(torch, options.dtype)
    inputs = [hidden.to(dtype), head.to(dtype)]  # rounded alike for all
    exact = gradients(ours, [each.double() for each in inputs], labels, weights.double(), options.trained)
    for name, loss in contestants(max_logits(device) // options.vocabulary).items():
        times = []
        for _ in range(options.rounds + 1):  # the first one warms up
            start = time.perf_counter()
            found = gradients(loss, inputs, labels, weights, options.trained)
            times.append(time.perf_counter() - start)
        differences = [
            ((one.double() - other).abs().max() / other.abs().max()).item()
            for one, other in zip(found, exact, strict=True)
        ]
        print(f"{name:<36} {1000 * statistics.median(times[1:]):8.0f} ms   {max(differences):.0e}")


def contestants(chunk: int) -> dict[str, Loss]:
    """The losses by their names; `chunk` tokens have their logits at once where that can be set."""
    found = {"wazn": ours}
    for name, options in {
        "torch, as many tokens at once": {"batch_chunk_size": chunk, "chunking_method": None},
        "torch, as it is": {},
    }.items():
        found[name] = lambda tokens, weights, options=options: (
            functional.linear_cross_entropy(
                *tokens, reduction="none", options=torch.nn.LinearCrossEntropyOptions(**options)
            )
            * weights
        ).sum()
    try:
        fused = importlib.import_module("cut_cross_entropy").linear_cross_entropy
    except ImportError as error:
        print(f"without cut-cross-entropy: {error}")
        return found
    kind = "cce" if torch.cuda.is_available() else "torch_compile"
    found[f"cut-cross-entropy, {kind}"] = lambda tokens, weights: (
        fused(*tokens, reduction="none", impl=kind) * weights
    ).sum()
    return found


def ours(tokens: Tokens, weights: torch.Tensor) -> torch.Tensor:
    """The loss that `finetune` computes."""
    hidden, head, labels = tokens
    trained = [head] if head.requires_grad else []
    chunk = max_logits(hidden.device) // len(head)
    return chunked_linear_cross_entropy(
        hidden, labels, weights, lambda states: linear(states, head), trained, chunk
    )[0]


def gradients(
    loss: Loss, inputs: list[torch.Tensor], labels: torch.Tensor, weights: torch.Tensor, trained: bool
) -> list[torch.Tensor]:
    """The loss and its gradients."""
    hidden, head = (each.clone().requires_grad_() for each in inputs)
    head.requires_grad_(trained)
    value = loss((hidden, head, labels), weights)
    value.backward()
    if hidden.is_cuda:
        torch.cuda.synchronize()
    return [value.detach(), *(each.grad for each in (hidden, head) if each.grad is not None)]


if __name__ == "__main__":
    main()
