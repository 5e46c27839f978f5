"""The quantities of the lexicon's readings, as `lexicon.yaml` writes them down."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import WaznError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bounds(_Strict):
    """What a value is beyond; each bound is in the quantity's own unit, and None where there is none."""

    below: float | None = None
    at_least: float | None = None
    second_at_least: float | None = None

    def passed(self, value: float, second: float | None, *, at_most: bool) -> bool:
        """Whether a value, or the lower one of a pair, is beyond a bound."""
        if at_most:
            return self.below is not None and value <= self.below
        return (
            (self.below is not None and value < self.below)
            or (self.at_least is not None and value >= self.at_least)
            or (self.second_at_least is not None and second is not None and second >= self.second_at_least)
        )


class Scale(_Strict):
    """Numbers from `low` to `high` are in another unit; the value is `times` the number and `plus`."""

    low: float
    high: float
    times: float
    plus: float = 0.0


class Quantity(_Strict):
    """What is read, by which names, in which units, and the bounds of each severity.

    `plausible` is the range of values that can be a reading; `units` gives the factor of each unit.
    """

    about: str
    names: list[str] = Field(min_length=1)
    plausible: tuple[float, float]
    units: dict[str, float] = {}
    needs_unit: bool = False
    scales: list[Scale] = []
    critical: Bounds = Bounds()
    neutral: Bounds = Bounds()
    when: list[str] = []
    unless: list[str] = []
    unless_followed_by: list[str] = []
    unless_after: list[str] = []

    def judged(self, numbers: Sequence[float], *, at_most: bool) -> str | None:
        """The severity of a reading of one number, or of two: a range, or the two of a blood pressure.

        Args:
            numbers: as they are written, in order.
            at_most: the value is at most that number ("less than 90"), and so beyond no upper bound.

        Returns:
            None where it is beyond no bound, or where no number can be a value of this quantity.
        """
        values = [value for number in numbers if (value := self._value(number)) is not None]
        second = None
        if self.critical.second_at_least is not None and values:
            second = min(values) if len(values) == 2 else None
            values = [max(values)]
        for severity, bounds in (("critical", self.critical), ("neutral", self.neutral)):
            if any(bounds.passed(value, second, at_most=at_most) for value in values):
                return severity
        return None

    def _value(self, number: float) -> float | None:
        """The number in the quantity's own unit; None if it cannot be one of it."""
        for scale in self.scales:
            if scale.low <= number <= scale.high:
                number = number * scale.times + scale.plus
                break
        low, high = self.plausible
        return number if low <= number <= high else None


class Section(_Strict):
    """The section `readings` of a lexicon."""

    fillers: list[str]
    negations: list[str]
    declines: list[str]
    less: list[str]
    exceeds: list[str]
    halves: list[str]
    number_words: dict[str, float]
    medicines: list[str]
    other_units: list[str]
    quantities: list[Quantity]


def read_section(section: Any, path: Path) -> Section:
    """Check the section `readings` of the lexicon at `path`.

    Raises:
        WaznError: a key is missing, unknown, or of another type than it must have.
    """
    try:
        return Section.model_validate(section)
    except ValidationError as error:
        first = error.errors()[0]
        place = ": ".join(["readings", *map(str, first["loc"])])
        raise WaznError(f"{path}: {place}: {first['msg'].lower()}; correct the file") from None
