"""python -m pipeline evaluate tiny_gpt2 weighting --seed 17

Let one model answer the test complaints, and measure the answers and the likelihood of the references.
"""

from typing import TYPE_CHECKING

from pipeline import paths
from pipeline.evaluation.answering import answer_and_score
from pipeline.evaluation.bertscore import References
from pipeline.evaluation.overlap import chrf, repetition, rouge_l, word_counts
from pipeline.evaluation.rows import evaluated_pairs
from pipeline.files import write_json, write_parquet
from pipeline.models.runtime import deterministic
from pipeline.training.likelihood import mean_nll

if TYPE_CHECKING:
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
    pairs = evaluated_pairs("test", evaluate.test_rows, evaluate.seed)
    valid = evaluated_pairs("valid", evaluate.valid_rows, evaluate.seed)
    references = References.of(pairs, embed_references, resources)
    rows, of_valid = answer_and_score(pairs, valid, model, arm, seed, evaluate, resources)
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
        "valid": of_valid,
    }
    write_json(paths.evaluation_metrics(arm, model, seed), metrics)
