"""How long an evaluation takes, found by computing a small part of it; nothing is written.

The process that measures starts as an evaluation does and computes one batch of it with the base model,
which answers as long as it may more often than a trained one does.
"""

import io
import math
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.evaluation.answering import answer, draws
from pipeline.evaluation.bertscore import References
from pipeline.evaluation.overlap import chrf, rouge_l
from pipeline.evaluation.rows import evaluated_pairs
from pipeline.models.budgets import Budget
from pipeline.models.prompt import encode_pairs
from pipeline.models.runtime import deterministic, load_tokenizer, torch_dtype
from pipeline.models.trained import load_trained
from pipeline.training.likelihood import score_answers
from pipeline.training.objective import AnswerLoss

T = TypeVar("T")

if TYPE_CHECKING:
    from pipeline.config.evaluation import EmbedReferencesConfig, EvaluateConfig
    from pipeline.config.resources import EvaluateResources


def estimate(
    model: str,
    evaluate: "EvaluateConfig",
    embed_references: "EmbedReferencesConfig",
    resources: "EvaluateResources",
    started: float,
) -> float:
    """Seconds that an evaluation of `model` takes from the start of the command, in one process here.

    Args:
        started: when the process that measures was started, in seconds as `time.time` gives them.

    Raises:
        WaznError: what an evaluation raises before its first answer.
    """
    deterministic(0)
    pairs = evaluated_pairs("test", evaluate.test_rows, evaluate.seed)
    valid = evaluated_pairs("valid", evaluate.valid_rows, evaluate.seed)
    references = References.of(pairs, embed_references, resources)
    tokenizer = load_tokenizer(paths.base_model(model))
    max_tokens, attention = evaluate.max_length + evaluate.max_new_tokens, resources.attn_implementation
    decoder = load_trained(model, paths.BASE, None, torch.float32, max_tokens, attention)
    loading = time.time() - started
    questions = Budget.of(resources.batch_size, "questions")
    tokens = Budget(questions.size * evaluate.max_length)
    processes = PartialState(cpu=not torch.cuda.is_available())

    def likelihood(rows: pd.DataFrame) -> None:
        examples, _ = encode_pairs(tokenizer, rows, [1.0] * len(rows), evaluate.max_length)
        if not examples:
            raise WaznError(f"{paths.SCORED}: no test pair fits into evaluate.max_length")
        score_answers(AnswerLoss(decoder), examples, tokens, processes)

    def answers(rows: pd.DataFrame) -> list[str]:
        texts, keys = list(rows["question"]), draws(rows, evaluate)
        return [each.text for each in answer(decoder, tokenizer, texts, evaluate, questions, model, keys)]

    def comparison(rows: pd.DataFrame, written: list[str]) -> None:
        references.score(written, rows.index.tolist())
        chrf(written, list(rows["answer"]))
        rouge_l(written, list(rows["answer"]))

    with redirect_stderr(io.StringIO()):  # where progress bars go
        spread, middle = samples(pairs, questions.size)
        scoring = _timed(likelihood, spread)[0] * (len(pairs) + len(valid)) / len(spread)
        dtype = torch_dtype(evaluate.dtype)
        if dtype != torch.float32:
            del decoder  # before the other is loaded
            began = time.time()
            decoder = load_trained(model, paths.BASE, None, dtype, max_tokens, attention)
            loading += time.time() - began
        answering, written = _timed(answers, middle)
        comparing, _ = _timed(lambda rows: comparison(rows, written[: len(rows)]), middle)
    batches = math.ceil(len(pairs) / questions.size)
    return loading + scoring + answering * batches + comparing * len(pairs) / len(middle)


def samples(pairs: pd.DataFrame, size: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """At most `size` pairs spread evenly over the lengths of questions, and as many of middle length."""
    by_length = pairs.iloc[np.argsort(pairs["question"].str.len(), kind="stable")]
    count = min(size, len(pairs))
    start = (len(pairs) - count) // 2
    spread = np.linspace(0, len(pairs) - 1, count).round().astype(int)
    return by_length.iloc[spread], by_length.iloc[start : start + count]


def _timed(compute: Callable[[pd.DataFrame], T], rows: pd.DataFrame) -> tuple[float, T]:
    """Seconds that a computation takes once it has been warmed up by two rows, and what it gives."""
    compute(rows.head(2))
    start = time.perf_counter()
    result = compute(rows)
    return time.perf_counter() - start, result
