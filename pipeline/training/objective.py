"""The loss of a micro-batch, of a model of transformers and its sequences."""

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from pipeline.models.lora import decoder_of
from pipeline.models.products import OneDnnLinear, linear
from pipeline.training.batching import Batch
from pipeline.training.dropout import dropout_of_tokens
from pipeline.training.loss import LmHead, chunked_linear_cross_entropy

# Logits that exist at once on a CPU: a chunk of tokens has at most this many. The peak is two buffers of so
# many float32: the logits, and their log-softmax, which becomes their gradient (0.3 GB). On a GPU each may
# take this share of the memory: small matrices would leave it idle.
MAX_LOGITS, _SHARE_ON_GPU = 1 << 25, 1 / 40
# Rows of the vocabulary whose gradient exists at once where it cannot be added as it is computed.
_ROWS = 1 << 14


def max_logits(device: torch.device) -> int:
    """Logits that exist at once on `device`."""
    if device.type != "cuda":
        return MAX_LOGITS
    memory = torch.cuda.get_device_properties(device).total_memory
    return max(MAX_LOGITS, int(memory * _SHARE_ON_GPU) // torch.float32.itemsize)


class AnswerLoss(torch.nn.Module):
    """A causal language model with the loss of a micro-batch on top.

    It is one module, so that DDP or FSDP around it see the whole computation.
    """

    def __init__(self, model: torch.nn.Module, *, in_place: bool = False) -> None:
        """Wrap a model.

        Args:
            model: a causal language model or a PeftModel around one.
            in_place: add the gradients of matrices of the vocabulary's size to their `.grad`, which must
                be there, without a tensor of that size in between. For one process only: DDP and FSDP
                handle gradients themselves. The loss must be differentiated once, with 1.
        """
        super().__init__()
        self.model = model
        self.in_place = in_place
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                # PEFT transposes an adapter on a frozen one, and a sparse gradient cannot be transposed.
                module.sparse = in_place and module.weight.requires_grad

    @property
    def decoder(self) -> PreTrainedModel:
        """The causal language model, with the layers that PEFT has replaced."""
        return decoder_of(self.model)

    def forward(self, batch: Batch, token_weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `answer_loss`."""
        return answer_loss(self.decoder, batch, token_weight, in_place=self.in_place)


def answer_loss(
    model: PreTrainedModel, batch: Batch, token_weight: torch.Tensor, *, in_place: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The teacher-forced loss of a micro-batch's answers.

    The hidden states of all positions are computed, the logits at answer positions only.

    Args:
        model: a causal language model; layers that PEFT has replaced are run.
        batch: B sequences of T tokens.
        token_weight: of the answer tokens of each pair, see `token_weights`, (B,).
        in_place: see `AnswerLoss`.

    Returns:
        Sum over the pairs of token weight times negative log-likelihood, a scalar with gradient; and
        the negative log-likelihood of each pair's answer in nats, (B,), without gradient.
    """
    decoder = model.base_model
    hidden = decoder(batch.input_ids, use_cache=False)[0]
    # The state at a position predicts the token after it.
    predicts = batch.completion_mask[:, 1:]
    rows, positions = torch.nonzero(predicts, as_tuple=True)
    lm_head = model.get_output_embeddings()
    trained = [parameter for parameter in lm_head.parameters() if parameter.requires_grad]
    # PEFT may have replaced it by a layer of another type.
    plain = type(lm_head) in (torch.nn.Linear, OneDnnLinear) and lm_head.bias is None
    in_place = in_place and plain and bool(trained)
    loss, nll = chunked_linear_cross_entropy(
        hidden[:, :-1][predicts],
        batch.input_ids[:, 1:][predicts],
        token_weight[rows],
        _with_dropout(own_lm_head(model, in_place=in_place), rows, positions),
        [] if in_place else trained,
        max(1, max_logits(hidden.device) // model.config.vocab_size),
    )
    sums = torch.zeros(len(batch.input_ids), dtype=nll.dtype, device=nll.device)
    return loss, sums.index_add(0, rows, nll)


def _with_dropout(lm_head: LmHead, rows: torch.Tensor, positions: torch.Tensor) -> LmHead:
    """`lm_head`, called once for each chunk of the tokens in order; an adapter on it may have dropout.

    Args:
        rows, positions: of all tokens, see `dropout_of_tokens`.
    """
    done = 0

    def project(hidden: torch.Tensor) -> torch.Tensor:
        nonlocal done
        chunk = slice(done, done + len(hidden))
        done = chunk.stop
        with dropout_of_tokens(rows[chunk], positions[chunk]):
            return lm_head(hidden)

    return project


def own_lm_head(model: PreTrainedModel, *, in_place: bool) -> LmHead:
    """The function by which `model` itself turns hidden states into logits: (M, H) to (M, V).

    That is its lm_head and what its `forward` does around it (scaling, soft-capping). For the call its
    decoder is replaced by a function that returns the given states.

    Args:
        in_place: the lm_head, a `Linear` without bias, adds its gradient to its weight's `.grad`.
    """
    decoder, lm_head = model.base_model, model.get_output_embeddings()
    weight, kind = lm_head.weight, lm_head.weight.device.type
    if in_place and torch.is_autocast_enabled(kind):
        weight = weight.to(torch.get_autocast_dtype(kind))

    def project(hidden: torch.Tensor) -> torch.Tensor:
        decoder.forward = lambda *_, **__: BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden[None]
        )
        if in_place:
            lm_head.forward = lambda states: _AddingLinear.apply(  # type: ignore[no-untyped-call]
                states.to(weight.dtype), weight.detach(), lm_head.weight.grad
            )
        try:
            logits: torch.Tensor = model.forward().logits.squeeze(0)
        finally:
            del decoder.forward
            if in_place:
                del lm_head.forward
        return logits

    return project


class _AddingLinear(torch.autograd.Function):
    """(1, m, H) times the transpose of a (V, H) weight, whose gradient is added to `total`."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(hidden, weight)
        ctx.total = total
        return linear(hidden, weight)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (hidden, weight), gradient = ctx.saved_tensors, upstream[0]
        if ctx.total.dtype == gradient.dtype:
            ctx.total.addmm_(gradient[0].T, hidden[0])
        else:
            # A product of the vocabulary's size would exist beside `total`, for every chunk of tokens.
            for rows in range(0, len(ctx.total), _ROWS):
                part = slice(rows, rows + _ROWS)
                ctx.total[part].add_(gradient[0, :, part].T @ hidden[0])
        return linear(gradient, weight.t()), None, None
