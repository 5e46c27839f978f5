"""wazn ask --model tiny_gpt2 --arm weighting "…" """

import sys
from typing import TYPE_CHECKING

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.evaluation.generation import generate
from pipeline.models.budgets import Budget
from pipeline.models.runtime import deterministic, load_tokenizer, torch_dtype
from pipeline.models.trained import load_trained
from pipeline.text.normalise import Normaliser

if TYPE_CHECKING:
    from pipeline.config.data import NormaliseConfig
    from pipeline.config.evaluation import EvaluateConfig


def run(
    question: str,
    model: str,
    arm: str,
    seed: int | None,
    *,
    normalise: "NormaliseConfig",
    evaluate: "EvaluateConfig",
) -> None:
    """Print one model's greedy answer to a question, as `evaluate` would generate it.

    Raises:
        WaznError: the question is empty, or the model is missing.
    """
    [text] = Normaliser(normalise.rules_off.language_model)([question])
    if not text:
        raise WaznError('the question is empty; give it in quotes, as in: wazn ask --model M "…"')
    deterministic(0)
    max_tokens = evaluate.max_length + evaluate.max_new_tokens
    [answer] = generate(
        load_trained(model, arm, seed, torch_dtype(evaluate.dtype), max_tokens),
        load_tokenizer(paths.base_model(model)),
        [text],
        budget=Budget(1, "questions"),
        max_length=evaluate.max_length,
        max_new_tokens=evaluate.max_new_tokens,
        max_new_words=evaluate.max_new_words,
        name=f"{model} {arm}",
    )
    print("Written by a language model for research. Not medical advice.", file=sys.stderr)
    print(answer.text)
