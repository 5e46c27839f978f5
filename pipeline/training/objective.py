"""The loss of a micro-batch, of a model of transformers and its sequences."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from pipeline.training.batching import Batch
from pipeline.training.loss import Project, chunked_nll

# Logits that exist at once: a chunk has this many over the vocabulary's size, in tokens. Three buffers of
# this many float32 are the peak: logits, their log-softmax, their gradient (0.4 GB).
LOGITS = 1 << 25


class AnswerLoss(torch.nn.Module):
    """A causal language model with the loss of a micro-batch on top, as one module.

    One module, so that whatever is wrapped around it (DDP, FSDP) sees the whole computation.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        """Wrap `model`, a causal language model or a PeftModel around one."""
        super().__init__()
        self.model = model

    @property
    def decoder(self) -> PreTrainedModel:
        """The causal language model, with whatever layers PEFT put in place."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    def forward(self, batch: Batch, coefficient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `answer_loss`."""
        return answer_loss(self.decoder, batch, coefficient)


def answer_loss(
    model: PreTrainedModel, batch: Batch, coefficient: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The teacher-forced loss of a micro-batch's answers.

    The hidden states of all positions are computed, logits at answer positions only.

    Args:
        model: a causal language model; layers that PEFT put in place are run.
        batch: B sequences of T tokens.
        coefficient: of each pair, see `coefficients`, (B,).

    Returns:
        Sum over the pairs of coefficient times negative log-likelihood, a scalar with gradient; and
        the negative log-likelihood of each pair's answer in nats, (B,), without one.
    """
    decoder = model.base_model
    options: dict[str, Any] = {"attention_mask": batch.mask, "use_cache": False}
    if "position_ids" in inspect.signature(decoder.forward).parameters:
        # Counted from a sequence's first token, whichever side its padding is on.
        options["position_ids"] = (batch.mask.cumsum(dim=1) - 1).clamp(min=0)
    hidden = decoder(batch.tokens, **options)[0]
    # The state at a position predicts the token after it.
    predicts = batch.answers[:, 1:]
    rows = torch.nonzero(predicts)[:, 0]
    head = [p for p in model.get_output_embeddings().parameters() if p.requires_grad]
    with own_projection(model) as project:
        loss, nll = chunked_nll(
            hidden[:, :-1][predicts],
            batch.tokens[:, 1:][predicts],
            coefficient[rows],
            project,
            head,
            max(1, LOGITS // model.config.vocab_size),
        )
    sums = torch.zeros(len(batch.tokens), dtype=nll.dtype, device=nll.device)
    return loss, sums.index_add(0, rows, nll)


@contextmanager
def own_projection(model: PreTrainedModel) -> Iterator[Project]:
    """What `model` itself makes of hidden states: (M, H) to logits (M, V).

    That is its output layer and whatever its `forward` does around it (scaling, soft-capping); its decoder
    is made to hand on the states it is given.
    """
    decoder = model.base_model

    def project(hidden: torch.Tensor) -> torch.Tensor:
        decoder.forward = lambda *_, **__: BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden[None]
        )
        try:
            logits: torch.Tensor = model.forward().logits[0]
        finally:
            del decoder.forward
        return logits

    yield project
