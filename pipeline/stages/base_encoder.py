"""python -m pipeline base_encoder tiny_bert

Fetch an encoder (for the classifier or for BERTScore), or build a tiny one, into models/base/.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.files import read_parquet
from pipeline.training.fetch import fetch
from pipeline.training.runtime import deterministic
from pipeline.training.tiny import Shape, build

if TYPE_CHECKING:
    from pipeline.params import BaseModels, Model

NORMALISED = Path("data/normalised")


def run(model: str, *, base_encoder: "BaseModels", entry: "Model") -> None:
    """Write models/base/<model>/.

    Raises:
        WaznError: the encoder cannot be fetched, or the training text is missing.
    """
    folder = Path("models/base") / model
    scheme, _, architecture = entry.source.partition(":")
    if scheme != "tiny":
        fetch(entry.source, folder, Path(base_encoder.folder), decoder=False)
        return
    deterministic(base_encoder.seed)
    pairs = read_parquet(NORMALISED / "pairs.parquet", ["text", "answer", "split"])
    labelled = read_parquet(NORMALISED / "labelled.parquet", ["text", "split"])
    # What the classifier reads, and the answers that BERTScore reads; each text once.
    train = pairs[pairs["split"] == "train"]
    complaints = labelled[labelled["split"] == "train"]["text"]
    texts = list(dict.fromkeys([*train["text"], *complaints, *train["answer"]]))
    print(f"building {model} on {len(texts)} training texts")
    build(architecture, texts, Shape(**base_encoder.tiny.model_dump()), base_encoder.seed, folder)
