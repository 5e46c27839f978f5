"""python -m pipeline embed_references

Encode the reference answers of the test pairs once, for the BERTScore of every arm.
"""

from typing import TYPE_CHECKING

from pipeline import paths
from pipeline.evaluation.bertscore import Encoder, store
from pipeline.evaluation.rows import evaluated_pairs
from pipeline.models.budgets import Budget
from pipeline.models.runtime import deterministic

if TYPE_CHECKING:
    from pipeline.config.evaluation import EmbedReferencesConfig
    from pipeline.config.resources import EvaluateResources


def run(
    *,
    embed_references: "EmbedReferencesConfig",
    test_rows: int | None,
    test_seed: int,
    resources: "EvaluateResources",
) -> None:
    """Write data/references/.

    Args:
        test_rows, test_seed: which test pairs are evaluated, see `evaluated_pairs`.

    Raises:
        WaznError: the encoder is missing or has fewer layers, or there is no test pair.
    """
    deterministic(0)
    rows = evaluated_pairs("test", test_rows, test_seed)
    encoder = Encoder(
        paths.base_model(embed_references.encoder),
        embed_references.layer,
        Budget.of(resources.bertscore_batch_size, "bertscore_texts"),
    )
    store(encoder, list(rows["id"]), list(rows["answer"]), paths.REFERENCES)
