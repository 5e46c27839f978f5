"""The sections `embed_references`, `evaluate` and `report`: how answers are made, measured and shown."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Dtype, Name, Positive, Section, Seed

Metric = Literal[
    "nll",
    "bits_per_byte",
    "bertscore_f1",
    "bertscore_precision",
    "bertscore_recall",
    "chrf",
    "rouge_l",
    "urgency_recall",
    "urgency_precision",
    "urgency_f1",
    "needless_alarms",
    "dangerous_reassurance",
    "words",
    "repetition",
    "empty",
    "cut_off",
]
"""What is measured of the answers and compared between arms."""


class EmbedReferencesConfig(Section):
    """The encoder of BERTScore, and the layer (from 1) whose states are compared."""

    encoder: Name
    layer: Positive


class EvaluateConfig(Section):
    """Which pairs are evaluated, and how an answer is generated."""

    test_rows: Positive | None
    valid_rows: Positive | None
    max_length: Annotated[int, Field(ge=16)]
    max_new_tokens: Positive
    max_new_words: Positive | None
    decoding: Literal["greedy", "paper"]
    seed: Seed
    dtype: Dtype

    @model_validator(mode="after")
    def _paper_writes_fifty_tokens(self) -> Self:
        if self.decoding == "paper" and self.max_new_tokens != 50:
            raise ValueError(
                f"decoding: paper writes 50 new tokens, set max_new_tokens to 50, not {self.max_new_tokens}"
            )
        if self.decoding == "paper" and self.max_new_words is not None:
            raise ValueError(
                "decoding: paper counts tokens and no words, set max_new_words to null, not "
                f"{self.max_new_words}"
            )
        return self


class PrimaryConfig(Section):
    """The primary endpoint: `metric` of `arm` less that of uniform, on a group of test rows."""

    arm: Name
    metric: Metric
    group: Literal["all", "critical", "neutral", "non_critical"]


class ReportConfig(Section):
    """The language of the page, what it shows, and what its headline is about."""

    language: Literal["en", "ar"]
    primary: PrimaryConfig
    examples: Annotated[int, Field(ge=0)]
