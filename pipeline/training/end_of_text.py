"""Whether a base model has learnt to write the end-of-text that closes every training answer.

A token that pre-training never showed is pushed down wherever another one came, until it is far less likely
than a token drawn at random. Where only adapters are trained, its row in embedding and lm_head stays as it
is, so that the model may never stop (QwenLM/Qwen3#1064).

It is a hint and no proof, either way. A base model that closes documents but never answers this short, or
that expects a chat template, gives end-of-text little probability here and yet learns quickly to stop. One
that was hardly pre-trained gives every token about the same, and is not found though it never learnt it.
Adapters on the last layers may raise a token whose row is frozen. How many answers do not stop is measured
in the end, by `cut_off` of the evaluation.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from accelerate import PartialState

from pipeline.models.budgets import Budget
from pipeline.models.prompt import Example
from pipeline.models.runtime import float32_head
from pipeline.training.likelihood import score_answers
from pipeline.training.objective import AnswerLoss

_PAIRS = 32
# Of so many times as many that are drawn, the shortest are taken.
_DRAWN = 4
_MAX_TOKENS = 2048
_TIMES_LESS = 10


def end_of_text_nll(
    model: torch.nn.Module, examples: Sequence[Example], end: int, seed: int, processes: PartialState
) -> float | None:
    """Median negative log-likelihood of end-of-text right after whole answers, in nats.

    Args:
        model: a causal language model before training, or a PeftModel around one; is left in evaluation
            mode.
        examples: training pairs; at most 32 of them are read, of which a cut-off one never is.
        end: id of end-of-text.
        seed: of the draw.
        processes: divide the work; each gets the result.

    Returns:
        None where every answer is cut off.
    """
    # Of each pair only the last token counts as answer, so that no other is projected.
    whole = [
        replace(example, prompt_length=len(example.input_ids) - 1)
        for example in examples
        if example.input_ids[-1] == end
    ]
    if not whole:
        return None
    drawn = np.random.default_rng(seed).permutation(len(whole))[: _DRAWN * _PAIRS]
    shortest = sorted((whole[index] for index in drawn), key=lambda example: len(example.input_ids))[
        :_PAIRS
    ]
    scorer = AnswerLoss(model).eval()
    with float32_head(scorer.decoder):
        nll, _ = score_answers(scorer, shortest, Budget(_MAX_TOKENS), processes)
    return float(np.median(nll))


def end_of_text_warning(nll: float | None, vocabulary: int, token: str, method: str) -> str | None:
    """A sentence on an end-of-text that the base model never learnt to write; None where it did.

    Args:
        nll: as `end_of_text_nll` gives it.
        vocabulary: V; never learnt means less than a tenth of 1 / V.
        token: the end-of-text as the tokenizer spells it.
        method: of training: `lora`, `qlora` or `full`.
    """
    if nll is None or nll <= math.log(vocabulary) + math.log(_TIMES_LESS):
        return None
    remedy = (
        "look at the share of answers that are cut off"
        if method == "full"
        else f"with method: {method} the trained model may never stop either; use method: full, or a base "
        "model or tokenizer with an end-of-text that pre-training showed"
    )
    return (
        f"after a whole answer the base model gives its end-of-text {token} a probability of "
        f"{math.exp(-nll):.1e} (median), less than a tenth of 1 in {vocabulary:,}: it seems never to have "
        f"learnt to write it; {remedy}"
    )
