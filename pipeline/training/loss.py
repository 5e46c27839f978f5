"""The severity-aware loss of arXiv:2604.06346.

For an optimiser step over N pairs, L_i answer tokens in pair i and its weight w_i:

    L = (1/N) * sum_i w_i * (1/L_i) * sum_t -log P(y_it | y_i<t, x_i)
"""

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from pipeline.training.batching import Batch


def answer_nll(model: PreTrainedModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Negative log-likelihood of the answer tokens, teacher-forced, in nats.

    The vocabulary projection is computed at answer positions only.

    Args:
        model: a causal language model whose logits are its output embedding of its last hidden
            state; layers that PEFT put in place are run.
        batch: B sequences of T tokens.

    Returns:
        Sum over each pair's answer tokens, (B,), float32 or wider, with gradient; and the number
        of those tokens, (B,).
    """
    hidden = model.base_model(batch.tokens, attention_mask=batch.mask, use_cache=False)[0]
    # The state at a position predicts the token after it.
    predicts = batch.answers[:, 1:]
    logits = model.get_output_embeddings()(hidden[:, :-1][predicts])
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    nll = cross_entropy(logits, batch.tokens[:, 1:][predicts], reduction="none")
    rows = torch.nonzero(predicts)[:, 0]
    sums = torch.zeros(len(batch.tokens), dtype=nll.dtype, device=nll.device)
    return sums.index_add(0, rows, nll), predicts.sum(dim=1)


def weighted_loss(
    nll: torch.Tensor, lengths: torch.Tensor, weights: torch.Tensor, sequences: int
) -> torch.Tensor:
    """What one micro-batch adds to the loss of its optimiser step.

    Args:
        nll: summed negative log-likelihood of each pair's answer, (B,).
        lengths: answer tokens of each pair, (B,), at least 1.
        weights: severity weight of each pair, (B,).
        sequences: N, the pairs of the whole step. Dividing by it, and not by B, is what makes
            the sum over micro-batches the loss of the step, however it is cut.

    Returns:
        A scalar.
    """
    return (weights.to(nll.dtype) * nll / lengths).sum() / sequences
