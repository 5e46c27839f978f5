"""python -m pipeline base_model tiny_gpt2

Fetch a language model, or build a tiny one, into models/base/.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.files import read_parquet
from pipeline.training.fetch import fetch
from pipeline.training.runtime import deterministic
from pipeline.training.tiny import Shape, build

if TYPE_CHECKING:
    from pipeline.params import BaseModels, Model

PAIRS = Path("data/normalised/pairs.parquet")


def run(model: str, *, base_model: "BaseModels", entry: "Model") -> None:
    """Write models/base/<model>/.

    Raises:
        WaznError: the model cannot be fetched, or the training pairs are missing.
    """
    folder = Path("models/base") / model
    scheme, _, architecture = entry.source.partition(":")
    if scheme != "tiny":
        fetch(entry.source, folder, Path(base_model.folder), decoder=True)
        return
    deterministic(base_model.seed)
    pairs = read_parquet(PAIRS, ["question", "answer", "split"])
    train = pairs[pairs["split"] == "train"]
    # As a forum's page has them; the answer cue, and to learn the answer only, is left for fine-tuning.
    texts = [f"{row.question}\n\n{row.answer}" for row in train.itertuples()]
    print(f"building {model} on {len(texts)} training pairs")
    build(architecture, texts, Shape(**base_model.tiny.model_dump()), base_model.seed, folder)
