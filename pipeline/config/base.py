"""The types that every section of params.yaml is made of."""

import re
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0, lt=2**63)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fraction = Annotated[float, Field(ge=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def _check_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", value):
        raise ValueError("a name has letters, digits, - and _ only (DVC takes a dot for a separator)")
    return value


Name = Annotated[str, AfterValidator(_check_name)]


class Section(BaseModel):
    """A part of params.yaml: complete, without unknown keys, without silent conversions.

    The comments of params.yaml (profiles/default.yaml) say what each key means.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Parts = TypeVar("Parts", bound=Section)


def sum_to_one(section: Parts) -> Parts:
    """The validator of a section whose keys are the parts of one whole."""
    parts = section.model_dump()
    total = sum(parts.values())
    if abs(total - 1) > 1e-9:
        raise ValueError(f"{' + '.join(parts)} is {total:g}, expected 1")
    return section
