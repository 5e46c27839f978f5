"""The severity-aware loss of arXiv:2604.06346, from probabilities to gradients.

For an optimiser step over N pairs, L_i answer tokens in pair i, its severity probabilities and weight

    w_i = alpha * p_non_critical + beta * p_neutral + gamma * p_critical

the loss is one of

    sequence    L = (1/N) * sum_i w_i * (1/L_i) * sum_t -log P(y_it | y_i<t, x_i)
    token       L = sum_i w_i * sum_t -log P(y_it | y_i<t, x_i) / sum_i L_i

`sequence` is the paper's. Both are sums over tokens of a coefficient, known beforehand, times that token's
negative log-likelihood. So a step may be cut into micro-batches, and a micro-batch's tokens into chunks, in
any way: the sum stays the loss of the step, and the logits of all tokens never exist at once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

Project = Callable[[torch.Tensor], torch.Tensor]


def coefficients(weights: np.ndarray, lengths: np.ndarray, mean: str) -> np.ndarray:
    """What the answer tokens of each pair are multiplied by in the loss of an optimiser step.

    Args:
        weights: w of the N pairs of the whole step (not of a micro-batch: that is what makes the sum over
            micro-batches and processes the loss of the step), (N,).
        lengths: their answer tokens L, (N,), at least 1.
        mean: `sequence` or `token`.

    Returns:
        (N,), float64.
    """
    return np.asarray(weights / (lengths * len(weights) if mean == "sequence" else lengths.sum()))


def chunked_nll(
    hidden: torch.Tensor,
    labels: torch.Tensor,
    coefficient: torch.Tensor,
    project: Project,
    parameters: Sequence[torch.Tensor],
    chunk: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted sum of negative log-likelihoods, with the logits of one chunk of tokens at a time.

    As the coefficients are known, each chunk's gradient is computed together with its loss; nothing of the
    vocabulary's size is kept for the backward pass or computed twice.

    Args:
        hidden: last hidden states, (M, H).
        labels: ids of the tokens that they predict, (M,).
        coefficient: (M,).
        project: hidden states (m, H) to logits (m, V).
        parameters: what `project` uses and is to be trained.
        chunk: m at most.

    Returns:
        `sum(coefficient * nll)`, a scalar with gradient for `hidden` and `parameters`; and the nll of
        each token in nats, (M,), float32 or wider, without gradient.
    """
    found: tuple[torch.Tensor, torch.Tensor] = _ChunkedNLL.apply(  # type: ignore[no-untyped-call]
        hidden, labels, coefficient, project, chunk, *parameters
    )
    return found


class _ChunkedNLL(torch.autograd.Function):
    """Computes loss and gradients in the forward pass; the backward pass hands the gradients on."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        labels: torch.Tensor,
        coefficient: torch.Tensor,
        project: Project,
        chunk: int,
        *parameters: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = ctx.needs_input_grad[0]
        gradients: list[torch.Tensor] = []
        pieces, nlls = [], []
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            nll, found = _of_chunk(
                hidden[part].detach().requires_grad_(wanted),
                labels[part],
                coefficient[part],
                project,
                parameters,
            )
            nlls.append(nll)
            pieces += found[:1]
            for total, more in zip(gradients, found[1:], strict=False):
                total.add_(more)
            gradients = gradients or found[1:]
        nll = torch.cat(nlls) if nlls else hidden.new_zeros(0)
        ctx.save_for_backward(*([torch.cat(pieces), *gradients] if wanted else []))
        ctx.mark_non_differentiable(nll)
        return (coefficient.to(nll.dtype) * nll).sum(), nll

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # In place, as they are of the vocabulary's size and nobody else has them.
        hidden, *parameters = (gradient.mul_(upstream[0]) for gradient in ctx.saved_tensors)
        return (hidden, None, None, None, None, *parameters)


def _of_chunk(
    hidden: torch.Tensor,
    labels: torch.Tensor,
    coefficient: torch.Tensor,
    project: Project,
    parameters: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The nll of m tokens; and the gradient of `sum(coefficient * nll)` for `hidden` and `parameters`.

    By hand from the logits on, so that besides them there is one tensor of their size: first log p, then
    the gradient coefficient * (p - onehot(labels)). No gradients if `hidden` requires none.
    """
    with torch.set_grad_enabled(hidden.requires_grad):
        logits = project(hidden)
    half = logits.dtype in (torch.float16, torch.bfloat16)
    table = logits.detach().log_softmax(dim=1, dtype=torch.float32 if half else None)
    at = torch.arange(len(labels), device=labels.device), labels
    nll = -table[at]
    if not hidden.requires_grad:
        return nll, []
    table.exp_()
    table[at] = torch.expm1(-nll)
    table.mul_(coefficient.to(table.dtype)[:, None])
    return nll, list(torch.autograd.grad(logits, [hidden, *parameters], table.to(logits.dtype)))
