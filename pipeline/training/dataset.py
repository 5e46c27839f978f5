"""The pairs that a model is trained and validated on, as token ids with their weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import WaznError
from pipeline.models.prompt import Example, encode_pairs
from pipeline.parquet_inputs import read_parquet
from pipeline.paths import SCORED
from pipeline.schemas import SCORED_PAIRS
from pipeline.severity.weights import pair_weights

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from pipeline.config.training import ArmConfig, TrainConfig


@dataclass(frozen=True)
class Validation:
    """Pairs that are not trained on, and their severities, for evaluation during training."""

    examples: list[Example]
    severities: list[str]


@dataclass(frozen=True)
class TrainingData:
    """What a run is trained and evaluated on.

    Attributes:
        examples: training pairs, in the order of the scored table.
        valid: validation pairs; None where there are none.
        left_out: ids of training pairs that have no room for an answer token.
    """

    examples: list[Example]
    valid: Validation | None
    left_out: list[str]


def load_data(
    tokenizer: "PreTrainedTokenizerBase", config: "TrainConfig", arm: "ArmConfig"
) -> TrainingData:
    """Training and validation pairs of the scored table; those for training with the weights of `arm`.

    Raises:
        WaznError: the scored pairs are missing or damaged, or none of them fits into `max_length`.
    """
    scored = read_parquet(SCORED, SCORED_PAIRS)
    rows = scored[scored["split"] == "train"].head(config.train_rows or len(scored))
    examples, left_out = encode_pairs(tokenizer, rows, pair_weights(rows, arm).tolist(), config.max_length)
    if not examples:
        raise WaznError(f"{SCORED}: no training pair fits into finetune.max_length = {config.max_length}")
    rows = scored[scored["split"] == "valid"].head(config.valid_rows or len(scored))
    valid, unusable = encode_pairs(tokenizer, rows, [1.0] * len(rows), config.max_length)
    severities = rows.loc[~rows["id"].isin(unusable), "severity"].tolist()
    return TrainingData(examples, Validation(valid, severities) if valid else None, left_out)
