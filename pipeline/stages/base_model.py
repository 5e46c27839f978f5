"""python -m pipeline base_model tiny_gpt2

Fetch a language model, or build a tiny one, into models/base/.
"""

from typing import TYPE_CHECKING

from pipeline.base_models.build import fetch_or_build
from pipeline.base_models.training_texts import training_rows
from pipeline.paths import NORMALISED_PAIRS

if TYPE_CHECKING:
    from pipeline.config.models import BaseModelConfig, ModelEntry


def run(model: str, *, base_model: "BaseModelConfig", entry: "ModelEntry") -> None:
    """Write models/base/<model>/.

    Raises:
        WaznError: the model cannot be fetched, or the training pairs are missing.
    """

    def texts() -> list[str]:
        columns = ["question", "answer"]
        rows = training_rows(NORMALISED_PAIRS, columns, base_model.max_texts, base_model.seed)
        # As a page of a forum has them. The answer cue is left for fine-tuning to teach.
        return [f"{row.question}\n\n{row.answer}" for row in rows.itertuples()]

    fetch_or_build(model, base_model, entry, texts, decoder=True)
