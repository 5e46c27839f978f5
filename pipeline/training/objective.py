"""The loss of a micro-batch, of a model of transformers and its sequences."""

import inspect
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from pipeline.training.batching import Batch
from pipeline.training.loss import Project, chunked_nll

# Logits that exist at once: a chunk has this many over the vocabulary's size, in tokens. Two buffers of
# this many float32 are the peak: logits and their log-softmax, which becomes their gradient (0.3 GB).
LOGITS = 1 << 25


class AnswerLoss(torch.nn.Module):
    """A causal language model with the loss of a micro-batch on top, as one module.

    One module, so that whatever is wrapped around it (DDP, FSDP) sees the whole computation.
    """

    def __init__(self, model: torch.nn.Module, *, in_place: bool = False) -> None:
        """Wrap a model.

        Args:
            model: a causal language model or a PeftModel around one.
            in_place: add the gradients of matrices of the vocabulary's size to their `.grad`, which must
                be there, without a tensor of that size in between. For one process: DDP and FSDP see to
                gradients themselves. The loss must be differentiated once, with 1.
        """
        super().__init__()
        self.model = model
        self.in_place = in_place
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                module.sparse = in_place

    @property
    def decoder(self) -> PreTrainedModel:
        """The causal language model, with whatever layers PEFT put in place."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    def forward(self, batch: Batch, coefficient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `answer_loss`."""
        return answer_loss(self.decoder, batch, coefficient, in_place=self.in_place)


def answer_loss(
    model: PreTrainedModel, batch: Batch, coefficient: torch.Tensor, *, in_place: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The teacher-forced loss of a micro-batch's answers.

    The hidden states of all positions are computed, logits at answer positions only.

    Args:
        model: a causal language model; layers that PEFT put in place are run.
        batch: B sequences of T tokens.
        coefficient: of each pair, see `coefficients`, (B,).
        in_place: see `AnswerLoss`.

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
    head = model.get_output_embeddings()
    trained = [parameter for parameter in head.parameters() if parameter.requires_grad]
    # PEFT may have put something else there.
    in_place = in_place and type(head) is torch.nn.Linear and head.bias is None and bool(trained)
    loss, nll = chunked_nll(
        hidden[:, :-1][predicts],
        batch.tokens[:, 1:][predicts],
        coefficient[rows],
        own_projection(model, in_place=in_place),
        [] if in_place else trained,
        max(1, LOGITS // model.config.vocab_size),
    )
    sums = torch.zeros(len(batch.tokens), dtype=nll.dtype, device=nll.device)
    return loss, sums.index_add(0, rows, nll)


def own_projection(model: PreTrainedModel, *, in_place: bool) -> Project:
    """What `model` itself makes of hidden states: (M, H) to logits (M, V).

    That is its output layer and whatever its `forward` does around it (scaling, soft-capping); its decoder
    is made to hand on the states it is given.

    Args:
        in_place: its output layer, a `Linear` without bias, adds the gradient to its weight's `.grad`.
    """
    decoder, head = model.base_model, model.get_output_embeddings()
    weight, kind = head.weight, head.weight.device.type
    if in_place and torch.is_autocast_enabled(kind):
        weight = weight.to(torch.get_autocast_dtype(kind))

    def project(hidden: torch.Tensor) -> torch.Tensor:
        decoder.forward = lambda *_, **__: BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden[None]
        )
        if in_place:
            head.forward = lambda states: _AddingLinear.apply(  # type: ignore[no-untyped-call]
                states.to(weight.dtype), weight.detach(), head.weight.grad
            )
        try:
            logits: torch.Tensor = model.forward().logits.squeeze(0)
        finally:
            del decoder.forward
            if in_place:
                del head.forward
        return logits

    return project


class _AddingLinear(torch.autograd.Function):
    """(1, m, H) times the transpose of a (V, H) weight, whose gradient is added to `total`."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(hidden, weight)
        ctx.total = total
        return hidden @ weight.T

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (hidden, weight), slope = ctx.saved_tensors, upstream[0]
        if ctx.total.dtype == slope.dtype:
            ctx.total.addmm_(slope[0].T, hidden[0])
        else:
            ctx.total.add_(slope[0].T @ hidden[0])
        return slope @ weight, None, None
