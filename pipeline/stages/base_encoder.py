"""python -m pipeline base_encoder tiny_bert

Fetch an encoder (for the classifier or for BERTScore), or build a tiny one, into models/base/.
"""

from typing import TYPE_CHECKING

from pipeline.base_models.build import fetch_or_build
from pipeline.base_models.training_texts import training_rows
from pipeline.paths import NORMALISED_LABELLED, NORMALISED_PAIRS

if TYPE_CHECKING:
    from pipeline.config.models import BaseModelConfig, ModelEntry


def run(model: str, *, base_encoder: "BaseModelConfig", entry: "ModelEntry") -> None:
    """Write models/base/<model>/.

    Raises:
        WaznError: the encoder cannot be fetched, or the training text is missing.
    """

    def texts() -> list[str]:
        limit, seed = base_encoder.max_texts, base_encoder.seed
        pairs = training_rows(NORMALISED_PAIRS, ["text", "answer"], limit, seed)
        labelled = training_rows(NORMALISED_LABELLED, ["text"], limit, seed)
        # The complaints, which the classifier reads, and the answers, which BERTScore reads; each text
        # once.
        return list(dict.fromkeys([*pairs["text"], *labelled["text"], *pairs["answer"]]))

    fetch_or_build(model, base_encoder, entry, texts, decoder=False)
