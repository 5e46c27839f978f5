"""Dropout whose masks follow the pair, not the micro-batch that the pair is computed in.

torch draws one mask for a whole batch, so another cut into micro-batches or over processes gives every pair
another mask, and training another result. Here the mask of a pair follows from the seed, the optimiser
step, the pair and the place in the model alone. So what `resources` sets changes speed and memory only.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, Self

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from pipeline.models.splitmix64 import LAST_SHIFT, ROUNDS, STEP

_MASK_64 = (1 << 64) - 1
# Probabilities are multiples of 1 / _RANGE.
_RANGE = 1 << 16


class PairDropout(TorchFunctionMode):
    """While it is active, dropout of a batch of pairs draws the mask of each pair by itself.

    It takes the place of `torch.nn.functional.dropout`, which `torch.nn.Dropout` calls, and of the dropout
    within `scaled_dot_product_attention`, whatever the model.
    """

    _active: ClassVar["PairDropout | None"] = None

    def __init__(self, seeds: Sequence[int]) -> None:
        """Take the seed of each of B pairs, 64 bits; the batch is padded at the right."""
        super().__init__()
        self._seeds = seeds
        self._calls = 0
        self._counters_of: dict[tuple[int, ...], torch.Tensor] = {}
        self._tokens: tuple[torch.Tensor, torch.Tensor] | None = None
        self._before: PairDropout | None = None

    def __enter__(self) -> Self:
        self._before, PairDropout._active = PairDropout._active, self
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        PairDropout._active = self._before
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute what the model calls, with dropout in the way described."""
        kwargs = kwargs or {}
        if func is functional.dropout:
            return self._dropout(*args, **kwargs)
        if func is functional.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        return func(*args, **kwargs)

    def _dropout(
        self, values: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        return self._drop(values, p) if training and p else values

    def _attention(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        """Attention as torch's documentation of `scaled_dot_product_attention` defines it."""
        if not dropout_p:
            return functional.scaled_dot_product_attention(
                query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if enable_gqa:
            repeats = query.shape[1] // key.shape[1]
            key, value = (states.repeat_interleave(repeats, dim=1) for states in (key, value))
        scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return self._drop(scores.softmax(dim=-1), dropout_p) @ value

    def _drop(self, values: torch.Tensor, p: float) -> torch.Tensor:
        """Set a share `p` of values to 0 and scale the rest by 1 / (1 - p).

        Args:
            values: (B, T, …), or attention probabilities (B, heads, T, T); within `dropout_of_tokens`
                (1, M, …).
        """
        expected = len(self._seeds) if self._tokens is None else 1
        if values.shape[0] != expected or values.dim() not in (3, 4):
            raise ValueError(
                f"dropout of shape {tuple(values.shape)} in a batch of {len(self._seeds)} pairs"
            )
        self._calls += 1
        kept = max(1, round((1 - p) * _RANGE))
        seeds = torch.tensor(
            [_signed(_mixed(seed, self._calls)) for seed in self._seeds], device=values.device
        ).view(-1, *[1] * (values.dim() - 1))
        counters = self._counters(values)
        if self._tokens is not None:
            rows, positions = self._tokens
            # Those of one head, whose first position has number 0 and the next 1 << 20.
            counters = counters[:, :1] + (positions[:, None] << 20) * _signed(STEP)
            seeds = seeds[rows].transpose(0, 1)
        bits = _finalised(seeds + counters)
        # Four numbers of 16 bits in each of 64; as signed ones, they are uniform from -RANGE / 2.
        numbers = bits.view(torch.int16)[..., : values.shape[-1]]
        dropped: torch.Tensor = _Dropped.apply(values, numbers > kept - 1 - _RANGE // 2, _RANGE / kept)  # type: ignore[no-untyped-call]
        return dropped

    def _counters(self, values: torch.Tensor) -> torch.Tensor:
        """A multiple of SplitMix64's step for every four places of a pair: (1, …, places / 4) int64.

        It follows from head and position alone, so that padding does not move the mask.
        """
        shape = (*values.shape[1:-1], -(-values.shape[-1] // 4))
        if shape not in self._counters_of:
            counters = torch.zeros((), dtype=torch.int64, device=values.device)
            for size in shape:
                counters = (counters << 20)[..., None] + torch.arange(size, device=values.device)
            self._counters_of[shape] = (counters * _signed(STEP))[None]
        return self._counters_of[shape]

    def _repeated_from(self, calls: int) -> "PairDropout":
        """The same masks for a part of the model that starts after so many calls."""
        repeated = PairDropout(self._seeds)
        repeated._calls = calls
        return repeated


@contextmanager
def dropout_of_tokens(rows: torch.Tensor, positions: torch.Tensor) -> Iterator[None]:
    """While it lasts, dropout is of M tokens of the batch, (1, M, H), each with the mask of its place.

    So the mask does not depend on which tokens are computed together.

    Args:
        rows: of the pairs in the batch, (M,).
        positions: of the tokens in their pairs, (M,).
    """
    active = PairDropout._active
    if active is None:
        yield
        return
    calls, active._tokens = active._calls, (rows, positions)
    try:
        yield
    finally:
        active._calls, active._tokens = calls, None


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Have `model` compute activations again in the backward pass, with the same dropout masks."""
    model.gradient_checkpointing_enable(
        gradient_checkpointing_kwargs={"use_reentrant": False, "context_fn": _checkpoint_contexts}
    )


def _checkpoint_contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """What a checkpointed part of the model runs in: now, and when it is computed again."""
    active = PairDropout._active
    if active is None:
        return nullcontext(), nullcontext()
    return nullcontext(), active._repeated_from(active._calls)


class _Dropped(torch.autograd.Function):
    """Set values to 0 where `drop` is true and multiply the others by `scale`; keeps `drop` only."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, drop: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(drop)
        ctx.scale = scale
        return (values * scale).masked_fill_(drop, 0.0)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (drop,) = ctx.saved_tensors
        return (upstream[0] * ctx.scale).masked_fill_(drop, 0.0), None, None


def _mixed(seed: int, number: int) -> int:
    """A seed from a pair's seed and the number of the call: output `number` of SplitMix64."""
    mixed = (seed + number * STEP) & _MASK_64
    for shift, factor in ROUNDS:
        mixed = ((mixed ^ (mixed >> shift)) * factor) & _MASK_64
    return mixed ^ (mixed >> LAST_SHIFT)


def _finalised(state: torch.Tensor) -> torch.Tensor:
    """What SplitMix64 makes of its state, in place: int64, taken as unsigned."""
    for shift, factor in ROUNDS:
        state.bitwise_xor_(_shifted(state, shift)).mul_(_signed(factor))
    return state.bitwise_xor_(_shifted(state, LAST_SHIFT))


def _shifted(state: torch.Tensor, shift: int) -> torch.Tensor:
    """A logical shift to the right; torch's own keeps the sign."""
    return (state >> shift).bitwise_and_((1 << (64 - shift)) - 1)


def _signed(number: int) -> int:
    """The int64 with the bits of an unsigned number."""
    return number - (1 << 64) if number >> 63 else number
