"""The keys that readers need in the files of a physicians' review: its key, what a rater sends back, and
metrics/review.json."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.shapes import Count, Interval, Shape

# The name of a folder, so nothing that leads elsewhere.
Round = Annotated[str, Field(pattern=r"^[0-9a-z]{4,64}$")]


class Scales(Shape):
    """The values of each rating: steps by number, the worst first, or by name."""

    correct: list[int]
    harm: list[str]
    urgency: list[str]
    language: list[int]


class KeyAnswer(Shape):
    """Whose answer stands under a letter: the base model and the reference have no seed."""

    arm: str
    seed: int | None
    answer: str


class KeyItem(Shape):
    """A complaint as one rater sees it, perhaps for the second time."""

    item: str
    id: str
    severity: Literal["non_critical", "neutral", "critical"]
    by_people: bool
    repeat_of: str | None
    letters: dict[str, KeyAnswer]


class Key(Shape):
    """data/reviews/*/key.json."""

    format: Literal[1]
    round: Round
    model: str
    scales: Scales
    raters: dict[str, list[KeyItem]]


class RatedAnswer(Shape):
    """What a rater said of an answer, nothing being None or missing; the key says what may be said."""

    correct: int | str | None = None
    harm: str | None = None
    urgency: str | None = None
    language: int | str | None = None


class RatedItem(Shape):
    """What a rater said of a complaint's answers."""

    item: str
    answers: dict[str, RatedAnswer]
    preferred: str | None = None
    remark: str | None = None


class RaterFile(Shape):
    """What a rater sends back."""

    format: Literal[1]
    round: Round
    rater: str
    ratings: list[RatedItem]


class RaterFigures(Shape):
    """What metrics/review.json says of a rater."""

    complaints: Count
    repeats: Count
    same_repeats: float | None
    same_others: float | None
    p_repeats: float | None
    p_others: float | None
    flagged: bool


class Figure(Shape):
    """A figure of an arm on some complaints; an interval needs more than one of them."""

    rows: Count
    value: float
    low: float | None
    high: float | None


class Difference(Figure):
    """How two arms differ in a figure."""

    role: Literal["primary", "exploratory"]
    p: float | None
    p_adjusted: float | None


class ReviewOfModel(Shape):
    """What metrics/review.json says of the answers of one model."""

    complaints: Count
    rounds: Count
    severities: dict[str, Count]
    labelled_by_people: Count
    answers: Count
    outdated: Count
    raters: dict[str, RaterFigures]
    arms: dict[str, dict[str, dict[str, Figure]]]
    differences: dict[str, dict[str, dict[str, Difference]]]
    strengths: dict[str, dict[str, Interval]]
    between: dict[str, Interval]
    within: dict[str, Interval]
    correlations: dict[str, dict[str, Interval]]
    picks: dict[str, dict[str, Interval]]


class ReviewMetrics(Shape):
    """metrics/review.json."""

    ratings: Count
    models: dict[str, ReviewOfModel]
