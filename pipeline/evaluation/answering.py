"""One model's answers to the test complaints, and the likelihood of the references."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.evaluation.generation import Answer, generate
from pipeline.evaluation.sampling import row_keys
from pipeline.models.budgets import Budget
from pipeline.models.distributed import join_processes
from pipeline.models.prompt import encode_pairs, scored_bytes
from pipeline.models.runtime import load_tokenizer, torch_dtype
from pipeline.models.trained import load_trained
from pipeline.training.likelihood import mean_nll, score_answers
from pipeline.training.objective import AnswerLoss

if TYPE_CHECKING:
    from pipeline.config.evaluation import EvaluateConfig
    from pipeline.config.resources import EvaluateResources


def answer_and_score(
    test: pd.DataFrame,
    valid: pd.DataFrame,
    model: str,
    arm: str,
    seed: int | None,
    config: "EvaluateConfig",
    resources: "EvaluateResources",
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The answers to the test pairs, and the likelihood of the references of test and validation pairs.

    Args:
        test, valid: scored pairs; of `valid` there may be none.
        model, arm, seed: see `load_trained`.
        config: how answers are generated.
        resources: what changes speed and memory only.

    Returns:
        The test pairs that have room for an answer token, under their index, with `generated`, `cut_off`,
        `nll_sum`, `answer_tokens` and `answer_bytes`; and of the validation pairs that do, their number
        `pairs` and what `mean_nll` gives.

    Raises:
        WaznError: a model is missing, no test pair is usable, or the memory does not hold one.
    """
    tokenizer = load_tokenizer(paths.base_model(model))
    dtype = torch_dtype(config.dtype)
    max_tokens, attention = config.max_length + config.max_new_tokens, resources.attn_implementation
    name = " ".join([model, arm, *([] if seed is None else [str(seed)])])
    # In float32 whatever the dtype is: bfloat16 rounds away more than the arms differ by.
    decoder = load_trained(model, arm, seed, torch.float32, max_tokens, attention)
    (examples, rows), (valid_examples, valid_rows) = (
        _usable(tokenizer, pairs, config.max_length) for pairs in (test, valid)
    )
    if rows.empty:
        raise WaznError(f"{paths.SCORED}: no test pair fits into evaluate.max_length = {config.max_length}")
    questions = Budget.of(resources.batch_size, "questions")
    tokens = Budget(questions.size * config.max_length, "tokens", questions.setting)
    loss, processes = AnswerLoss(decoder), join_processes()
    sums, counts = score_answers(loss, examples, tokens, processes, progress=f"likelihood {name}")
    of_valid: dict[str, Any] = {"pairs": len(valid_examples)}
    if valid_examples:
        scores = score_answers(loss, valid_examples, tokens, processes, progress=f"validation {name}")
        of_valid |= mean_nll(*scores, list(valid_rows["severity"]))
    if dtype != torch.float32:
        del decoder, loss  # before the other is loaded
        decoder = load_trained(model, arm, seed, dtype, max_tokens, attention)
    answers = answer(
        decoder, tokenizer, list(rows["question"]), config, questions, name, draws(rows, config)
    )
    answered = rows.assign(
        generated=[answer.text for answer in answers],
        cut_off=[int(answer.cut_off) for answer in answers],
        nll_sum=sums,
        answer_tokens=counts,
        answer_bytes=[
            scored_bytes(tokenizer, *pair) for pair in zip(examples, rows["answer"], strict=True)
        ],
    )
    return answered, of_valid


def answer(
    decoder: PreTrainedModel,
    tokenizer: Any,
    questions: Sequence[str],
    config: "EvaluateConfig",
    budget: Budget,
    name: str,
    keys: np.ndarray | None,
) -> list[Answer]:
    """The answers to n questions, as long as `config` lets them be.

    Args:
        name: is shown with the progress.
        keys: see `draws`.
    """
    return generate(
        decoder,
        tokenizer,
        questions,
        budget=budget,
        max_length=config.max_length,
        max_new_tokens=config.max_new_tokens,
        max_new_words=config.max_new_words,
        name=name,
        keys=keys,
    )


def draws(rows: pd.DataFrame, config: "EvaluateConfig") -> np.ndarray | None:
    """The keys of what is drawn for each row, (n,); None where answers are greedy."""
    return row_keys(list(rows["id"]), config.seed) if config.decoding == "paper" else None


def _usable(tokenizer: Any, pairs: pd.DataFrame, max_length: int) -> tuple[list[Any], pd.DataFrame]:
    """The pairs with room for an answer token, encoded and as they are; the others are named."""
    examples, unusable = encode_pairs(tokenizer, pairs, [1.0] * len(pairs), max_length)
    if unusable:
        print(f"left out, as no answer token is within evaluate.max_length: {', '.join(unusable)}")
    return examples, pairs[~pairs["id"].isin(unusable)]
