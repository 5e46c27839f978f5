"""The pairs that a model is trained and validated on, as token ids with their weights."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.data.subsets import stratified_subset
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

    Pairs are weighed once it is known which have room for an answer token, so that what holds of an arm's
    weights, their mean say, holds of the pairs that are trained on.

    Raises:
        WaznError: the scored pairs are missing or damaged, or none of them fits into `max_length`.
    """
    scored = read_parquet(SCORED, SCORED_PAIRS)

    def encoded(split: str, count: int | None) -> tuple[list[Example], pd.DataFrame, list[str]]:
        rows = stratified_subset(scored[scored["split"] == split], count, config.subset_seed)
        examples, unusable = encode_pairs(tokenizer, rows, [1.0] * len(rows), config.max_length)
        return examples, rows[~rows["id"].isin(unusable)], unusable

    examples, rows, left_out = encoded("train", config.train_rows)
    if not examples:
        raise WaznError(f"{SCORED}: no training pair fits into finetune.max_length = {config.max_length}")
    weights = pair_weights(rows, arm).tolist()
    weighted = [replace(each, weight=weight) for each, weight in zip(examples, weights, strict=True)]
    examples, rows, _ = encoded("valid", config.valid_rows)
    valid = Validation(examples, rows["severity"].tolist()) if examples else None
    return TrainingData(weighted, valid, left_out)
