"""python -m pipeline base_encoder tiny_bert

Fetch an encoder (for the classifier or for BERTScore), or build a tiny one, into models/base/.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base_models.build import fetch_or_build
from pipeline.base_models.training_texts import training_rows

if TYPE_CHECKING:
    from pipeline.config.params import BaseModels, Model

NORMALISED = Path("data/normalised")


def run(model: str, *, base_encoder: "BaseModels", entry: "Model") -> None:
    """Write models/base/<model>/.

    Raises:
        WaznError: the encoder cannot be fetched, or the training text is missing.
    """

    def texts() -> list[str]:
        most, seed = base_encoder.most_texts, base_encoder.seed
        pairs = training_rows(NORMALISED / "pairs.parquet", ["text", "answer"], most, seed)
        labelled = training_rows(NORMALISED / "labelled.parquet", ["text"], most, seed)
        # What the classifier reads, and the answers that BERTScore reads; each text once.
        return list(dict.fromkeys([*pairs["text"], *labelled["text"], *pairs["answer"]]))

    fetch_or_build(
        entry.source,
        Path("models/base") / model,
        Path(base_encoder.folder),
        texts,
        base_encoder.tiny.model_dump(),
        base_encoder.seed,
        decoder=False,
    )
