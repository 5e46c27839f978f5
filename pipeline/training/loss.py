"""The severity-aware loss of arXiv:2604.06346, from weights to gradients.

For an optimiser step over N pairs, L_i answer tokens in pair i and its weight w_i (`severity/weights.py`)
the loss is one of

    sequence    L = (1/N) * sum_i w_i * (1/L_i) * sum_t -log P(y_it | y_i<t, x_i)
    token       L = sum_i w_i * sum_t -log P(y_it | y_i<t, x_i) / sum_i L_i

`sequence` is the paper's. Both are sums over tokens of a token weight times that token's negative
log-likelihood, and the token weight is known before the forward pass. So a step may be cut into
micro-batches, and the tokens of a micro-batch into chunks, in any way: the sum stays the loss of the step,
and the logits of all tokens never exist at once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

LmHead = Callable[[torch.Tensor], torch.Tensor]


def token_weights(weights: np.ndarray, lengths: np.ndarray, loss_reduction: str) -> np.ndarray:
    """The number by which the negative log-likelihood of each answer token of a pair is multiplied.

    Args:
        weights: w of the N pairs of the whole optimiser step, (N,). Not of a micro-batch: only so is the
            sum over micro-batches and processes the loss of the step.
        lengths: answer tokens L of each pair, (N,), at least 1.
        loss_reduction: `sequence` or `token`.

    Returns:
        (N,), float64; all tokens of a pair have the same.
    """
    return np.asarray(weights / (lengths * len(weights) if loss_reduction == "sequence" else lengths.sum()))


def chunked_linear_cross_entropy(
    hidden: torch.Tensor,
    labels: torch.Tensor,
    token_weight: torch.Tensor,
    lm_head: LmHead,
    parameters: Sequence[torch.Tensor],
    chunk: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted sum of the cross-entropy of tokens, with the logits of one chunk of tokens at a time.

    As the token weights are known, the gradient of each chunk is computed together with its loss. Nothing
    of the vocabulary's size is kept for the backward pass or computed twice.

    Args:
        hidden: last hidden states, (M, H).
        labels: ids of the tokens that they predict, (M,).
        token_weight: (M,).
        lm_head: hidden states (m, H) to logits (m, V).
        parameters: what `lm_head` uses and is to be trained.
        chunk: m at most.

    Returns:
        `sum(token_weight * nll)`, a scalar with gradient for `hidden` and `parameters`; and the nll of
        each token in nats, (M,), float32 or wider, without gradient.
    """
    loss_and_nll: tuple[torch.Tensor, torch.Tensor] = _ChunkedLinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, labels, token_weight, lm_head, chunk, *parameters
    )
    return loss_and_nll


class _ChunkedLinearCrossEntropy(torch.autograd.Function):
    """Computes loss and gradients in the forward pass; the backward pass hands the gradients on."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        labels: torch.Tensor,
        token_weight: torch.Tensor,
        lm_head: LmHead,
        chunk: int,
        *parameters: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        needs_gradient = ctx.needs_input_grad[0]
        hidden_gradients: list[torch.Tensor] = []
        parameter_gradients: list[torch.Tensor] = []
        nlls = []
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            nll, gradients = _chunk_nll_and_gradients(
                hidden[part].detach().requires_grad_(needs_gradient),
                labels[part],
                token_weight[part],
                lm_head,
                parameters,
            )
            nlls.append(nll)
            hidden_gradients += gradients[:1]
            for total, gradient in zip(parameter_gradients, gradients[1:], strict=False):
                total.add_(gradient)
            parameter_gradients = parameter_gradients or gradients[1:]
        nll = torch.cat(nlls) if nlls else hidden.new_zeros(0)
        saved = [torch.cat(hidden_gradients), *parameter_gradients] if needs_gradient else []
        ctx.save_for_backward(*saved)
        ctx.mark_non_differentiable(nll)
        return (token_weight.to(nll.dtype) * nll).sum(), nll

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # In place: these tensors are as large as the vocabulary, and nothing else refers to them.
        hidden, *parameters = (gradient.mul_(upstream[0]) for gradient in ctx.saved_tensors)
        return (hidden, None, None, None, None, *parameters)


def _chunk_nll_and_gradients(
    hidden: torch.Tensor,
    labels: torch.Tensor,
    token_weight: torch.Tensor,
    lm_head: LmHead,
    parameters: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The nll of m tokens; and the gradient of `sum(token_weight * nll)` for `hidden` and `parameters`.

    The gradient is written out by hand from the logits on, so that beside the logits there is one tensor of
    their size: first log p, then the gradient token_weight * (p - onehot(labels)). There are no gradients
    if `hidden` requires none.
    """
    with torch.set_grad_enabled(hidden.requires_grad):
        logits = lm_head(hidden)
    half = logits.dtype in (torch.float16, torch.bfloat16)
    table = logits.detach().log_softmax(dim=1, dtype=torch.float32 if half else None)
    own_label = torch.arange(len(labels), device=labels.device), labels
    nll = -table[own_label]
    if not hidden.requires_grad:
        return nll, []
    table.exp_()
    table[own_label] = torch.expm1(-nll)
    table.mul_(token_weight.to(table.dtype)[:, None])
    return nll, list(torch.autograd.grad(logits, [hidden, *parameters], table.to(logits.dtype)))
