"""Sampling as the paper samples, with random numbers that runs share: the Gumbel-max trick."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from pipeline.models.splitmix64 import LAST_SHIFT, ROUNDS, STEP

# The sampling of the authors' notebooks; a top-k of 50 was the default of the transformers that they ran.
TEMPERATURE, TOP_K = 0.7, 50


class Sampler:
    """Reduces every distribution to one drawn token; greedy decoding then takes it.

    The distribution is that of sampling at `TEMPERATURE` among the `TOP_K` likeliest tokens. The token with
    the largest logit / temperature + G is drawn, where G = -log(-log U) with a uniform U for each token; it
    has the distribution of the softmax (Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030). U comes from
    the row's key, the position and the token's id alone (`uniforms`). So a draw does not depend on the
    batch, and two models that find nearly the same probabilities draw the same token nearly always.
    """

    def __init__(self, keys: np.ndarray, start: int) -> None:
        """Take the keys of the rows, see `row_keys`, (B,), and the length of the prompts."""
        self._keys, self._start = keys, start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (B, vocabulary) of the next token: 0 for the one drawn, minus infinity for the others.

        transformers calls it at every step, with the tokens so far (B, T).
        """
        # By id, so that of equal sums the lowest id is drawn on every device.
        tokens = scores.topk(min(TOP_K, scores.shape[-1])).indices.sort(dim=-1).values
        logits = scores.gather(-1, tokens).double().cpu().numpy() / TEMPERATURE
        uniform = uniforms(self._keys, input_ids.shape[1] - self._start, tokens.cpu().numpy())
        drawn = torch.from_numpy((logits - np.log(-np.log(uniform))).argmax(axis=-1))[:, None]
        chosen = tokens.gather(-1, drawn.to(tokens.device))
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen, 0.0)


def row_keys(ids: Sequence[str], seed: int) -> np.ndarray:
    """A key for each row, from its id and the seed alone: (n,) uint64."""
    digests = (hashlib.sha256(f"{seed}\x1f{row_id}".encode()).digest() for row_id in ids)
    return np.array([int.from_bytes(digest[:8], "little") for digest in digests], dtype=np.uint64)


def uniforms(keys: np.ndarray, position: int, tokens: np.ndarray) -> np.ndarray:
    """A number between 0 and 1 for every token of every row: (B, k) float64, never 0 or 1.

    It is output number `tokens` of SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195) whose seed
    is output number `position` of SplitMix64 with the row's key as seed.

    Args:
        keys: (B,) uint64.
        position: of the token in the answer, from 0.
        tokens: ids, (B, k).
    """
    streams = _splitmix64(keys, np.uint64(position))[:, None]
    bits = _splitmix64(streams, tokens.astype(np.uint64))
    # 52 bits and half a step, which a double holds exactly between 0 and 1.
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) / 2**52


def _splitmix64(seed: np.ndarray, number: np.ndarray | np.uint64) -> np.ndarray:
    """Output `number`, from 0, of the generator with a seed; all arithmetic is modulo 2 to the 64th."""
    with np.errstate(over="ignore"):
        mixed = seed + (number + np.uint64(1)) * np.uint64(STEP)
        for shift, factor in ROUNDS:
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    result: np.ndarray = mixed ^ (mixed >> np.uint64(LAST_SHIFT))
    return result
