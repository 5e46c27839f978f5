"""python -m pipeline evaluate tiny_gpt2 weighting --seed 17

Let one model answer the test complaints, and measure the answers and the likelihood of the references.
"""

from typing import TYPE_CHECKING

import torch

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.evaluation.bertscore import Encoder, References
from pipeline.evaluation.generation import generate
from pipeline.evaluation.overlap import chrf, repetition, rouge_l, word_counts
from pipeline.evaluation.rows import evaluated_pairs
from pipeline.evaluation.sampling import row_keys
from pipeline.files import write_json, write_parquet
from pipeline.models.distributed import join_processes
from pipeline.models.microbatches import resolve
from pipeline.models.prompt import encode_pairs, scored_bytes
from pipeline.models.runtime import deterministic, load_tokenizer, torch_dtype
from pipeline.models.trained import load_trained
from pipeline.training.likelihood import mean_nll, score_answers
from pipeline.training.objective import AnswerLoss

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.config.evaluation import EmbedReferencesConfig, EvaluateConfig
    from pipeline.config.resources import EvaluateResources


def run(
    model: str,
    arm: str,
    seed: int | None,
    *,
    evaluate: "EvaluateConfig",
    embed_references: "EmbedReferencesConfig",
    resources: "EvaluateResources",
) -> None:
    """Write data/generated/<arm>/<model>/<seed>.parquet and metrics/evaluate/<arm>/<model>/<seed>.json.

    docs/evaluation.md describes the columns.

    Args:
        model: a model of the registry.
        arm: its arm, or `base` for the model before fine-tuning.
        seed: of the training; None for the base model, whose files are called `base`.

    Raises:
        WaznError: a model is missing, no test pair is usable, or the stored references are of others.
    """
    deterministic(0)
    # First, so that an error in them is found before hours of generation.
    pairs = evaluated_pairs(evaluate.test_rows, evaluate.seed)
    encoder = Encoder(
        paths.base_model(embed_references.encoder),
        embed_references.layer,
        resolve(resources.bertscore_batch_size, "bertscore_texts"),
    )
    references = References(paths.REFERENCES, encoder, list(pairs["id"]), list(pairs["answer"]))
    rows = _answered(pairs, model, arm, seed, evaluate, resolve(resources.batch_size, "questions"))
    answers, written = list(rows["generated"]), list(rows["answer"])
    scores = references.score(answers, rows.index.tolist())
    table = rows[["source", "line", "id", "severity", "severity_human", "specialty", "generated"]].assign(
        bertscore_precision=scores[:, 0],
        bertscore_recall=scores[:, 1],
        bertscore_f1=scores[:, 2],
        chrf=chrf(answers, written),
        rouge_l=rouge_l(answers, written),
        nll_sum=rows["nll_sum"],
        answer_tokens=rows["answer_tokens"],
        answer_bytes=rows["answer_bytes"],
        words=word_counts(answers),
        repetition=repetition(answers),
        empty=[int(not answer) for answer in answers],
        cut_off=rows["cut_off"],
    )
    write_parquet(paths.generated(arm, model, seed), table)
    sums, counts = table["nll_sum"].to_numpy(), table["answer_tokens"].to_numpy()
    metrics = {
        "bertscore_encoder": f"{embed_references.encoder}, layer {embed_references.layer}",
        "decoding": evaluate.decoding,
        "rows": len(table),
        "rows_by_severity": table["severity"].value_counts().sort_index().to_dict(),
        "rows_labelled_by_people": int(table["severity_human"].notna().sum()),
        **{column: float(table[column].mean()) for column in ("bertscore_f1", "chrf", "rouge_l")},
        **mean_nll(sums, counts, list(table["severity"])),
    }
    write_json(paths.evaluation_metrics(arm, model, seed), metrics)


def _answered(
    pairs: "pd.DataFrame",
    model: str,
    arm: str,
    seed: int | None,
    evaluate: "EvaluateConfig",
    batch_size: int,
) -> "pd.DataFrame":
    """The usable pairs, under their index, with their answers and the likelihood of the references.

    The columns are `generated`, `cut_off`, `nll_sum`, `answer_tokens` and `answer_bytes`.
    """
    tokenizer = load_tokenizer(paths.base_model(model))
    dtype = torch_dtype(evaluate.dtype)
    max_tokens = evaluate.max_length + evaluate.max_new_tokens
    name = " ".join([model, arm, *([] if seed is None else [str(seed)])])
    # In float32 whatever `evaluate.dtype` is: bfloat16 rounds away more than the arms differ by.
    decoder = load_trained(model, arm, seed, torch.float32, max_tokens)
    examples, unusable = encode_pairs(tokenizer, pairs, [1.0] * len(pairs), evaluate.max_length)
    if unusable:
        print(f"left out, as no answer token is within evaluate.max_length: {', '.join(unusable)}")
    rows = pairs[~pairs["id"].isin(unusable)]
    if rows.empty:
        raise WaznError(
            f"{paths.SCORED}: no test pair fits into evaluate.max_length = {evaluate.max_length}"
        )
    sums, counts = score_answers(
        AnswerLoss(decoder),
        examples,
        batch_size * evaluate.max_length,
        join_processes(),
        progress=f"likelihood {name}",
    )
    if dtype != torch.float32:
        del decoder  # before the other is loaded
        decoder = load_trained(model, arm, seed, dtype, max_tokens)
    answers = generate(
        decoder,
        tokenizer,
        list(rows["question"]),
        batch_size=batch_size,
        max_length=evaluate.max_length,
        max_new_tokens=evaluate.max_new_tokens,
        max_new_words=evaluate.max_new_words,
        name=name,
        keys=row_keys(list(rows["id"]), evaluate.seed) if evaluate.decoding == "paper" else None,
    )
    return rows.assign(
        generated=[answer.text for answer in answers],
        cut_off=[int(answer.cut_off) for answer in answers],
        nll_sum=sums,
        answer_tokens=counts,
        answer_bytes=[
            scored_bytes(tokenizer, *pair) for pair in zip(examples, rows["answer"], strict=True)
        ],
    )
