"""The section `review`: which answers physicians compare, and on which scales they rate them."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.config.base import Fraction, Name, Positive, Section, Seed, Text, sum_to_one
from pipeline.paths import REFERENCE


class SharesConfig(Section):
    """The share of each severity among the complaints of a review."""

    critical: Fraction
    neutral: Fraction
    non_critical: Fraction

    _sum = model_validator(mode="after")(sum_to_one)


class Wording(Section):
    """One label in both languages of a review."""

    ar: Text
    en: Text


class StepsConfig(Section):
    """A question whose answer is a step, saved as its number from 1, the worst first."""

    question: Wording
    steps: Annotated[list[Wording], Field(min_length=2, max_length=9)]


class HarmSteps(Section):
    """The labels of possible harm."""

    none: Wording
    moderate: Wording
    severe: Wording


class UrgencySteps(Section):
    """The labels of how an answer judges urgency: `too_low` is less urgent than the case is."""

    right: Wording
    too_low: Wording
    too_high: Wording


class HarmConfig(Section):
    """The question on possible harm, and its labels by the value that is saved."""

    question: Wording
    steps: HarmSteps


class UrgencyConfig(Section):
    """The question on urgency, and its labels by the value that is saved."""

    question: Wording
    steps: UrgencySteps


class ScalesConfig(Section):
    """What is asked of each answer, in the order in which it is asked."""

    correct: StepsConfig
    harm: HarmConfig
    urgency: UrgencyConfig
    language: StepsConfig


class ReviewConfig(Section):
    """A blinded comparison of answers by physicians.

    Attributes:
        model: whose answers are compared.
        arms: those whose answers are compared; `base` is the model before fine-tuning.
        reference: whether the physician's own answer is one more.
        rows: complaints that a rater sees, without repeats.
        shares: of each severity among them.
        repeats: how many of them are shown a second time.
        raters: how many get files.
        seed: of the complaints, and of each rater's order and letters.
        scales: the ratings of an answer.
    """

    model: Name
    arms: Annotated[list[Name], Field(min_length=2, max_length=6)]
    reference: bool
    rows: Annotated[int, Field(gt=0, le=5000)]
    shares: SharesConfig
    repeats: Annotated[int, Field(ge=0)]
    raters: Annotated[Positive, Field(le=100)]
    seed: Seed
    scales: ScalesConfig

    @model_validator(mode="after")
    def _answers_have_names_of_their_own(self) -> Self:
        if REFERENCE in self.arms:
            raise ValueError(
                f"arms: '{REFERENCE}' is the physician's own answer; set reference to true or rename it"
            )
        repeated = {arm for arm in self.arms if self.arms.count(arm) > 1}
        if repeated:
            raise ValueError(f"arms: '{min(repeated)}' is listed twice")
        return self

    @model_validator(mode="after")
    def _a_repeat_is_far_from_the_first(self) -> Self:
        if self.repeats > self.rows // 2:
            raise ValueError(
                f"repeats: {self.repeats} of {self.rows} rows; half of them at most, so that a repeat "
                "comes long after the first"
            )
        return self
