"""python -m pipeline embed_references

Encode the physicians' answers of the test pairs once, for the BERTScore of every run.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.evaluation.bertscore import Encoder, store
from pipeline.evaluation.rows import evaluated_pairs
from pipeline.models.runtime import deterministic

if TYPE_CHECKING:
    from pipeline.config.params import EmbedReferences

SCORED = Path("data/scored/pairs.parquet")
REFERENCES = Path("data/references")


def run(*, embed_references: "EmbedReferences", test_rows: int | None) -> None:
    """Write data/references/.

    Raises:
        WaznError: the encoder is missing or has fewer layers, or there is no test pair.
    """
    deterministic(0)
    rows = evaluated_pairs(SCORED, test_rows)
    encoder = Encoder(
        Path("models/base") / embed_references.encoder, embed_references.layer, embed_references.batch_size
    )
    store(encoder, list(rows["id"]), list(rows["answer"]), REFERENCES)
