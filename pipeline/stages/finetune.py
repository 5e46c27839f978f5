"""python -m pipeline finetune tiny_gpt2 weighting

Fine-tune one base model, with plain cross-entropy (uniform) or severity-aware (weighting).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.errors import WaznError
from pipeline.files import parquet_note, read_parquet, write_csv
from pipeline.severity.weights import pair_weights
from pipeline.training.card import write_card
from pipeline.training.lora import add_lora, save_adapter
from pipeline.training.prompt import Example, encode_pairs
from pipeline.training.runtime import deterministic, load_decoder, load_tokenizer, torch_dtype
from pipeline.training.trainer import Recipe, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from pipeline.params import Finetune, Model, Weights

SCORED = Path("data/scored/pairs.parquet")


def run(model: str, loss: str, *, finetune: "Finetune", entry: "Model", weights: "Weights") -> None:
    """Write models/<loss>/<model>/ (adapter, tokenizer, card) and metrics/finetune/<loss>/<model>.csv.

    Raises:
        WaznError: an input is missing, no pair is usable, or the loss is not finite.
    """
    base, folder = Path("models/base") / model, Path("models") / loss / model
    deterministic(finetune.seed)
    tokenizer = load_tokenizer(base)
    examples = training_examples(tokenizer, finetune, weights)
    assert entry.lora_targets is not None
    adapted = add_lora(
        load_decoder(base, torch_dtype(finetune.dtype), finetune.max_length),
        entry.lora_targets,
        **finetune.lora.model_dump(),
    )
    recipe = Recipe(**{name: getattr(finetune, name) for name in Recipe.__dataclass_fields__})
    curve = pd.DataFrame(map(vars, train(adapted, examples, recipe, name=f"finetune {model} {loss}")))
    folder.mkdir(parents=True, exist_ok=True)
    save_adapter(adapted, folder)
    tokenizer.save_pretrained(folder)
    write_card(
        folder / "README.md",
        title=entry.title,
        base=entry.source,
        loss=loss,
        weights=weights.model_dump(),
        pairs=len(examples),
        labels=parquet_note(SCORED).get("labels"),
    )
    write_csv(Path("metrics/finetune") / loss / f"{model}.csv", curve)


def training_examples(
    tokenizer: "PreTrainedTokenizerBase", finetune: "Finetune", weights: "Weights"
) -> list[Example]:
    """The training pairs as token ids with their weights, in the order of the scored table."""
    scored = read_parquet(SCORED)
    scored = scored[scored["split"] == "train"].head(finetune.train_rows or len(scored))
    examples, unusable = encode_pairs(
        tokenizer, scored, pair_weights(scored, **weights.model_dump()).tolist(), finetune.max_length
    )
    if unusable:
        print(
            f"{len(unusable)} of {len(scored)} pairs have no answer token within finetune.max_length = "
            f"{finetune.max_length} and are left out: {', '.join(unusable)}"
        )
    if not examples:
        raise WaznError(f"{SCORED}: no training pair fits into finetune.max_length = {finetune.max_length}")
    return examples
