"""python -m pipeline evaluate tiny_gpt2 weighting

Let one model answer the test complaints, and measure the answers and the likelihood of the references.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.errors import WaznError
from pipeline.evaluation.generation import generate
from pipeline.evaluation.overlap import bertscore_f1, chrf, rouge_l
from pipeline.files import read_parquet, write_json, write_parquet
from pipeline.training.likelihood import mean_nll, score_answers
from pipeline.training.lora import load_run
from pipeline.training.objective import AnswerLoss
from pipeline.training.processes import join_processes
from pipeline.training.prompt import encode_pairs
from pipeline.training.runtime import deterministic, load_tokenizer, torch_dtype

if TYPE_CHECKING:
    from pipeline.params import Evaluate

SCORED = Path("data/scored/pairs.parquet")


def run(model: str, run: str, *, evaluate: "Evaluate") -> None:
    """Write data/generated/<run>/<model>.parquet and metrics/evaluate/<run>/<model>.json.

    Args:
        model: a model of the registry.
        run: `base`, `uniform` or `weighting`.

    Raises:
        WaznError: a model is missing, or no test pair is usable.
    """
    deterministic(0)
    base = Path("models/base") / model
    tokenizer = load_tokenizer(base)
    decoder = load_run(
        base,
        None if run == "base" else Path("models") / run / model,
        torch_dtype(evaluate.dtype),
        evaluate.max_length + evaluate.max_new_tokens,
    )
    rows = read_parquet(SCORED)
    rows = rows[rows["split"] == "test"].head(evaluate.test_rows or len(rows))
    examples, unusable = encode_pairs(tokenizer, rows, [1.0] * len(rows), evaluate.max_length)
    if unusable:
        print(f"left out, as no answer token is within evaluate.max_length: {', '.join(unusable)}")
    rows = rows[~rows["id"].isin(unusable)]
    if rows.empty:
        raise WaznError(f"{SCORED}: no test pair fits into evaluate.max_length = {evaluate.max_length}")
    sums, counts = score_answers(
        AnswerLoss(decoder), examples, evaluate.batch_size * evaluate.max_length, join_processes()
    )
    answers = generate(
        decoder,
        tokenizer,
        list(rows["question"]),
        batch_size=evaluate.batch_size,
        max_length=evaluate.max_length,
        max_new_tokens=evaluate.max_new_tokens,
        name=f"{model} {run}",
    )
    references = list(rows["answer"])
    bert = evaluate.bertscore
    encoder = Path("models/base") / bert.encoder
    per_row = {
        "bertscore_f1": bertscore_f1(answers, references, encoder, bert.layer, bert.batch_size),
        "chrf": chrf(answers, references),
        "rouge_l": rouge_l(answers, references),
    }
    generated = pd.DataFrame(
        {
            "id": rows["id"],
            "severity": rows["severity"],
            "generated": answers,
            **per_row,
            "nll_sum": sums,
            "answer_tokens": counts,
        }
    )
    write_parquet(Path("data/generated") / run / f"{model}.parquet", generated)
    metrics = {
        "bertscore_encoder": f"{bert.encoder}, layer {bert.layer}",
        "rows": len(rows),
        "rows_by_severity": rows["severity"].value_counts().sort_index().to_dict(),
        **{name: float(np.mean(values)) for name, values in per_row.items()},
        **mean_nll(sums, counts, list(rows["severity"])),
    }
    write_json(Path("metrics/evaluate") / run / f"{model}.json", metrics)
