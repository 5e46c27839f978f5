"""The sections `base_model`, `base_encoder` and `registry`: which models there are."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.base import LearningRate, Positive, Section, Seed, Text

_MODEL_SOURCE = re.compile(
    r"tiny:(gpt2|qwen2|modernbert)|hub:[\w.-]+/[\w.-]+@[\w./-]+|path:.+|gguf:(.*/)?[^/]+\.gguf"
)


def _check_model_source(value: str) -> str:
    if not _MODEL_SOURCE.fullmatch(value):
        raise ValueError(
            "expected tiny:gpt2, tiny:qwen2, tiny:modernbert, hub:<owner>/<name>@<revision>, "
            "path:<folder>, gguf:<file>.gguf or gguf:<distribution>==<version>/<file>.gguf, "
            f"found {value!r}"
        )
    return value


class TinyConfig(Section):
    """Size and pre-training of a `tiny:` model.

    Attributes:
        vocabulary: tokens of the tokenizer at most.
        hidden: width; layers: depth; heads: attention heads.
        context: most tokens of a sequence.
        steps: optimiser steps of pre-training (AdamW, linear decay), may be 0.
        batch_size: texts of a step.
        learning_rate: its peak.
    """

    vocabulary: Annotated[int, Field(ge=300)]
    hidden: Positive
    layers: Positive
    heads: Positive
    context: Annotated[int, Field(ge=16)]
    steps: Annotated[int, Field(ge=0)]
    batch_size: Positive
    learning_rate: LearningRate

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> Self:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of 2 x heads ({self.heads})")
        return self


class BaseModelConfig(Section):
    """Where `path:` and `gguf:` models are, and how `tiny:` models are built."""

    folder: Text
    tiny: TinyConfig
    max_texts: Positive
    seed: Seed


class ModelEntry(Section):
    """What the registry says of one model.

    Attributes:
        license: under which licence its weights are used, as it is shown to the user; None: not said.
    """

    title: Text
    source: Annotated[str, AfterValidator(_check_model_source)]
    lora_targets: list[Text] | None
    # Left out, it means what null does.
    license: Text | None = None
