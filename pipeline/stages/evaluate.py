"""python -m pipeline evaluate tiny_gpt2 weighting --seed 17

Let one model answer the test complaints, and measure the answers and the likelihood of the references.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import WaznError
from pipeline.evaluation.bertscore import Encoder, References
from pipeline.evaluation.generation import generate, uniform_draws
from pipeline.evaluation.overlap import chrf, repetition, rouge_l, word_counts
from pipeline.evaluation.rows import evaluated_pairs
from pipeline.files import write_json, write_parquet
from pipeline.models.distributed import join_processes
from pipeline.models.lora import load_run
from pipeline.models.prompt import encode_pairs
from pipeline.models.runtime import deterministic, load_tokenizer, torch_dtype
from pipeline.training.likelihood import mean_nll, score_answers
from pipeline.training.objective import AnswerLoss

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.config.params import EmbedReferences, Evaluate

SCORED = Path("data/scored/pairs.parquet")
REFERENCES = Path("data/references")


def run(
    model: str, run: str, seed: int, *, evaluate: "Evaluate", embed_references: "EmbedReferences"
) -> None:
    """Write data/generated/<run>/<model>/<seed>.parquet and metrics/evaluate/<run>/<model>/<seed>.json.

    Of the run `base` they are called `base`, as it has no seed. docs/evaluation.md describes the columns.

    Args:
        model: a model of the registry.
        run: `base`, `uniform` or `weighting`.
        seed: the one that the run was trained with.

    Raises:
        WaznError: a model is missing, no test pair is usable, or the references' states are of others.
    """
    deterministic(0)
    name = "base" if run == "base" else str(seed)
    # First, so that what is wrong with them is known before hours of generation.
    pairs = evaluated_pairs(SCORED, evaluate.test_rows)
    encoder = Encoder(
        Path("models/base") / embed_references.encoder, embed_references.layer, embed_references.batch_size
    )
    references = References(REFERENCES, encoder, list(pairs["id"]), list(pairs["answer"]))
    rows = _answered(pairs, model, run, name, evaluate)
    answers, written = list(rows["generated"]), list(rows["answer"])
    scores = references.score(answers, rows.index.tolist())
    found = rows[["id", "severity", *rows.columns.intersection(["specialty"]), "generated"]].assign(
        bertscore_precision=scores[:, 0],
        bertscore_recall=scores[:, 1],
        bertscore_f1=scores[:, 2],
        chrf=chrf(answers, written),
        rouge_l=rouge_l(answers, written),
        nll_sum=rows["nll_sum"],
        answer_tokens=rows["answer_tokens"],
        words=word_counts(answers),
        repetition=repetition(answers),
        empty=[int(not answer) for answer in answers],
    )
    write_parquet(Path("data/generated") / run / model / f"{name}.parquet", found)
    metrics = {
        "bertscore_encoder": f"{embed_references.encoder}, layer {embed_references.layer}",
        "decoding": evaluate.decoding,
        "rows": len(found),
        "rows_by_severity": found["severity"].value_counts().sort_index().to_dict(),
        **{column: float(found[column].mean()) for column in ("bertscore_f1", "chrf", "rouge_l")},
        **mean_nll(found["nll_sum"].to_numpy(), found["answer_tokens"].to_numpy(), list(found["severity"])),
    }
    write_json(Path("metrics/evaluate") / run / model / f"{name}.json", metrics)


def _answered(
    pairs: "pd.DataFrame", model: str, run: str, name: str, evaluate: "Evaluate"
) -> "pd.DataFrame":
    """The usable pairs, under their index, with `generated`, `nll_sum` and `answer_tokens`."""
    base = Path("models/base") / model
    tokenizer = load_tokenizer(base)
    decoder = load_run(
        base,
        None if run == "base" else Path("models") / run / model / name,
        torch_dtype(evaluate.dtype),
        evaluate.max_length + evaluate.max_new_tokens,
    )
    examples, unusable = encode_pairs(tokenizer, pairs, [1.0] * len(pairs), evaluate.max_length)
    if unusable:
        print(f"left out, as no answer token is within evaluate.max_length: {', '.join(unusable)}")
    rows = pairs[~pairs["id"].isin(unusable)]
    if rows.empty:
        raise WaznError(f"{SCORED}: no test pair fits into evaluate.max_length = {evaluate.max_length}")
    sums, counts = score_answers(
        AnswerLoss(decoder), examples, evaluate.batch_size * evaluate.max_length, join_processes()
    )
    draws = None
    if evaluate.decoding == "paper":
        draws = uniform_draws(list(rows["id"]), evaluate.max_new_tokens, evaluate.seed)
    answers = generate(
        decoder,
        tokenizer,
        list(rows["question"]),
        batch_size=evaluate.batch_size,
        max_length=evaluate.max_length,
        max_new_tokens=evaluate.max_new_tokens,
        name=f"{model} {run} {name}",
        draws=draws,
    )
    return rows.assign(generated=answers, nll_sum=sums, answer_tokens=counts)
