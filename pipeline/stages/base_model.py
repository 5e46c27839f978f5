"""python -m pipeline base_model tiny_gpt2

Fetch a language model, or build a tiny one, into models/base/.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base_models.build import fetch_or_build
from pipeline.base_models.training_texts import training_rows

if TYPE_CHECKING:
    from pipeline.config.params import BaseModels, Model

PAIRS = Path("data/normalised/pairs.parquet")


def run(model: str, *, base_model: "BaseModels", entry: "Model") -> None:
    """Write models/base/<model>/.

    Raises:
        WaznError: the model cannot be fetched, or the training pairs are missing.
    """

    def texts() -> list[str]:
        rows = training_rows(PAIRS, ["question", "answer"], base_model.most_texts, base_model.seed)
        # As a forum's page has them; the answer cue, and to learn the answer only, is left for fine-tuning.
        return [f"{row.question}\n\n{row.answer}" for row in rows.itertuples()]

    fetch_or_build(
        entry.source,
        Path("models/base") / model,
        Path(base_model.folder),
        texts,
        base_model.tiny.model_dump(),
        base_model.seed,
        decoder=True,
    )
