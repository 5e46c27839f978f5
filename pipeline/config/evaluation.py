"""The sections `embed_references`, `evaluate` and `report`: how answers are made, measured and shown."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Dtype, Name, Positive, Section, Seed


class EmbedReferencesConfig(Section):
    """The encoder of BERTScore, and the layer (from 1) whose states are compared."""

    encoder: Name
    layer: Positive


class EvaluateConfig(Section):
    """Which test pairs are answered, and how an answer is generated."""

    test_rows: Positive | None
    max_length: Annotated[int, Field(ge=16)]
    max_new_tokens: Positive
    decoding: Literal["greedy", "paper"]
    seed: Seed
    dtype: Dtype

    @model_validator(mode="after")
    def _paper_writes_fifty_tokens(self) -> Self:
        if self.decoding == "paper" and self.max_new_tokens != 50:
            raise ValueError(
                f"decoding: paper writes 50 new tokens, set max_new_tokens to 50, not {self.max_new_tokens}"
            )
        return self


class ReportConfig(Section):
    """What the page shows."""

    examples: Annotated[int, Field(ge=0)]
