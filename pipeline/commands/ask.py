"""wazn ask --model tiny_gpt2 --run weighting "…" """

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import WaznError
from pipeline.evaluation.generation import generate
from pipeline.models.lora import load_run
from pipeline.models.runtime import deterministic, load_tokenizer, torch_dtype
from pipeline.text.normalise import Normaliser

if TYPE_CHECKING:
    from pipeline.config.params import Evaluate, Normalise


def run(
    question: str, model: str, run: str, seed: int, *, normalise: "Normalise", evaluate: "Evaluate"
) -> None:
    """Print one model's greedy answer to a question, as `evaluate` would generate it.

    Raises:
        WaznError: the question is empty, or the model is missing.
    """
    [text] = Normaliser(normalise.rules.language_model.model_dump())([question])
    if not text:
        raise WaznError('the question is empty; give it in quotes, as in: wazn ask --model M "…"')
    deterministic(0)
    base = Path("models/base") / model
    decoder = load_run(
        base,
        None if run == "base" else Path("models") / run / model / str(seed),
        torch_dtype(evaluate.dtype),
        evaluate.max_length + evaluate.max_new_tokens,
    )
    [answer] = generate(
        decoder,
        load_tokenizer(base),
        [text],
        batch_size=1,
        max_length=evaluate.max_length,
        max_new_tokens=evaluate.max_new_tokens,
        name=f"{model} {run}",
    )
    print("Written by a language model for research. Not medical advice.", file=sys.stderr)
    print(answer)
