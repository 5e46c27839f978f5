"""The sections `download` and `normalise`: which data, and how their text is changed."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.config.base import Fraction, Positive, Section, Seed, Text, sum_to_one
from pipeline.config.source_uri import check_hash, kind_of

Rule = Literal[
    "html",
    "presentation",
    "invisible",
    "diacritics",
    "tatweel",
    "lookalikes",
    "alef",
    "ya",
    "ta_marbuta",
    "digits",
    "punctuation",
    "elongation",
    "links",
    "emails",
    "phones",
    "ids",
    "names",
    "whitespace",
]


def _check_source(value: str) -> str:
    kind_of(value)
    return value


def _check_hash(value: str) -> str:
    check_hash(value)
    return value


def _as_list(value: object) -> object:
    """One label as a list of it, and every number in it as text."""
    values = value if isinstance(value, list) else [value]
    return [str(label) if isinstance(label, int | float) else label for label in values]


Labels = Annotated[list[Text], BeforeValidator(_as_list)]


class ProbabilityColumns(Section):
    """The columns of a table with the probability of each severity."""

    non_critical: Text
    neutral: Text
    critical: Text


class LabelNames(Section):
    """What a table calls each severity: a label, or a list of them; numbers are labels too."""

    non_critical: Labels
    neutral: Labels
    critical: Labels


ColumnNames = Text | Annotated[list[Text], Field(min_length=1)]
"""A column of a table; or several, whose texts are joined."""


class TableSource(Section):
    """A table: where it is, and which one. docs/data.md says what a key that is left out means.

    `license` is read by nothing but `wazn export`, which says under which licence the data are.
    """

    source: Annotated[Text, AfterValidator(_check_source)]
    configuration: Text | None = None
    hash: Annotated[str, AfterValidator(_check_hash)] | None = None
    file: Text | None = None
    table: Text | None = None
    messages: Text | None = None
    specialty: Text | None = None
    license: Text | None = None

    @model_validator(mode="after")
    def _dialogues_have_questions_and_answers(self) -> Self:
        others = [name for name in ("question", "answer", "text") if getattr(self, name, None) is not None]
        if self.messages is not None and others:
            raise ValueError(f"{others[0]} is part of the dialogues that `messages` names; leave one out")
        return self

    @model_validator(mode="after")
    def _files_have_hashes(self) -> Self:
        given = {"hash", "file", "table"} & self.model_fields_set
        if self.source.startswith("hf:") and given:
            raise ValueError(f"{min(given)} is for files; an hf: data set is pinned by its revision")
        if self.configuration is not None and not self.source.startswith("hf:"):
            raise ValueError("configuration is one of an hf: data set; leave it out")
        return self


class PairSource(TableSource):
    """A table of complaint–response pairs and the names of its columns."""

    question: ColumnNames | None = None
    answer: Text | None = None
    label: Text | None = None
    labels: LabelNames | None = None
    probabilities: ProbabilityColumns | None = None

    @model_validator(mode="after")
    def _labels_are_of_a_column(self) -> Self:
        if self.labels is not None and self.label is None:
            raise ValueError("labels are those of a column; name it as label")
        return self

    @model_validator(mode="after")
    def _has_answers(self) -> Self:
        if self.source == "lexicon":
            raise ValueError(
                "lexicon labels complaints and has no pairs; it is a source of `labelled` only"
            )
        return self


class LabelledSource(TableSource):
    """A table of complaints with a severity label, and the names of its columns and labels."""

    text: ColumnNames | None = None
    label: Text | None = None
    labels: LabelNames | None = None

    @model_validator(mode="after")
    def _lexicon_takes_no_key(self) -> Self:
        if self.source == "lexicon" and self.model_fields_set != {"source"}:
            raise ValueError("lexicon labels the pairs' questions and takes no other key")
        return self


class DownloadConfig(Section):
    """Which tables are read, and how long a server may take."""

    folder: Text
    max_unpacked_mb: Positive
    timeout_s: Annotated[float, Field(gt=0)]
    retries: Annotated[int, Field(ge=0)]
    pairs: Annotated[list[PairSource], Field(min_length=1)]
    labelled: Annotated[list[LabelledSource], Field(min_length=1)]


class RulesOff(Section):
    """The normalisation rules that do not apply to what each kind of model reads."""

    classifier: list[Rule]
    language_model: list[Rule]


class SplitConfig(Section):
    """The share of complaints in each split."""

    train: Fraction
    valid: Fraction
    test: Fraction

    _sum = model_validator(mode="after")(sum_to_one)


class NormaliseConfig(Section):
    """How text is normalised, which rows are rejected, and how the rest is split."""

    rules_off: RulesOff
    min_arabic: Fraction
    min_arabic_answer: Fraction
    max_chars: Positive
    conflicting_labels: Literal["reject", "soft"]
    split: SplitConfig
    seed: Seed
