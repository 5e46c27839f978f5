"""The keys that the readers of a stage's JSON files need in them; a file may have more."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=0)]
Labels = Literal["human", "lexicon"]


class Shape(BaseModel):
    """A part of a JSON file: the keys that are read, of which those without a default must be there."""

    model_config = ConfigDict(extra="allow", strict=True)


class Source(Shape):
    """What data/raw/sources.json says of one source."""

    source: str
    rows: Count


class LabelledSource(Source):
    """The same of one with labels."""

    labels: Labels


class Sources(Shape):
    """data/raw/sources.json."""

    pairs: list[Source]
    labelled: list[LabelledSource]


class BySplit(Shape):
    """Rows of each split."""

    train: Count
    valid: Count
    test: Count


class BySeverity(Shape):
    """Rows of each severity."""

    non_critical: Count
    neutral: Count
    critical: Count


class CountedSource(Source):
    """What metrics/data.json says of one source: a file has a hash, a data set of the Hub a commit."""

    kept: Count
    sha256: str | None = None
    commit: str | None = None


class Placeholders(Shape):
    """Personal details that were replaced, by kind."""

    link: Count
    email: Count
    phone: Count
    id: Count
    name: Count


class BySeverityOrUnknown(BySeverity):
    """Rows of each severity, and of none that is known."""

    unknown: Count


class Rejections(BySeverityOrUnknown):
    """Rows of each severity that a reason rejects, and whether it does so unequally."""

    unequal: bool | None


class RejectedBySeverity(Shape):
    """Rows of a data set by severity, and those that each reason rejects."""

    rows: BySeverityOrUnknown
    reasons: dict[str, Rejections]


class Contradictions(Shape):
    """Complaints that people labelled more than once, and how well their labels agree."""

    texts: Count
    rows: Count
    contradicted: Count
    best_accuracy: float | None

    @model_validator(mode="after")
    def _texts_have_an_accuracy(self) -> Self:
        if self.texts and self.best_accuracy is None:
            raise ValueError("best_accuracy is missing")
        return self


class DatasetCounts(Shape):
    """What metrics/data.json says of a data set."""

    rows: Count
    kept: Count
    rejected: dict[str, Count]
    sources: list[CountedSource]
    splits: BySplit
    placeholders: Placeholders
    rejected_by_severity: RejectedBySeverity


class LabelledCounts(DatasetCounts):
    """The same of the labelled complaints."""

    labels: Labels
    severity: BySeverity
    contradictions: Contradictions


class SplitLeaks(Shape):
    """What a split by chance would leak."""

    test_rows: Count
    leaked: Count


class Duplicates(Shape):
    """What metrics/data.json says of duplicates."""

    exact: Count
    groups: Count
    rows_in_groups: Count
    largest: Count
    sizes: dict[str, Count]
    naive_split_leaks: SplitLeaks


class DataMetrics(Shape):
    """metrics/data.json."""

    pairs: DatasetCounts
    labelled: LabelledCounts
    duplicates: Duplicates


class Interval(Shape):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class SplitSpread(Shape):
    """How the probabilities of a split spread, and agree with people's labels (None without any)."""

    rows: Count
    contrast_std: float
    labelled: Count
    log_loss: float | None
    p_critical: float | None
    critical: float | None

    @model_validator(mode="after")
    def _labelled_rows_have_figures(self) -> Self:
        if self.labelled and None in (self.log_loss, self.p_critical, self.critical):
            raise ValueError("log_loss, p_critical or critical is missing, though rows are labelled")
        return self


class SeverityMetrics(Shape):
    """metrics/severity.json."""

    source: Literal["classifier", "provided"]
    labels: Labels | None
    sharpen: float
    splits: dict[str, SplitSpread]
    splits_before_sharpening: dict[str, SplitSpread] | None


class BaseSource(Shape):
    """models/base/*/source.json; a model of the Hub has a commit."""

    source: str
    commit: str | None = None


class WeightSpread(Shape):
    """How the weights of the training pairs spread."""

    mean: float
    std: float
    effective_share: float


class FinetuneMetrics(Shape):
    """metrics/finetune/**.json."""

    pairs: Count
    steps: Count
    clipped_share: float
    gradient_norm: float
    weights: WeightSpread


class ValidationNll(Shape):
    """NLL per answer token of the validation pairs; None where there are none, of a severity or at all."""

    pairs: Count
    nll: float | None = None
    nll_critical: float | None = None
    nll_neutral: float | None = None
    nll_non_critical: float | None = None


class EvaluationMetrics(Shape):
    """metrics/evaluate/**.json."""

    bertscore_encoder: str
    valid: ValidationNll


# metrics/summary.json: model to arm to metric to value.
Summary = dict[str, dict[str, dict[str, float]]]


class ClassifierSettings(Shape):
    """models/classifier/severity.json."""

    temperature: Annotated[float, Field(gt=0)]
    ngram_weight: Annotated[float, Field(ge=0)]
    max_length: Annotated[int, Field(gt=0)]
    labels: Labels


class FoldOfGroups(Shape):
    """models/classifier/folds.json: how many folds there are, and that of each group of like complaints."""

    count: Count
    fold_of: dict[str, Count]


class TrainedNote(Shape):
    """epoch.json of a classifier that is trained, while its stage runs."""

    epoch: Count


class ReferencesNote(Shape):
    """data/references/references.json: the encoder of the states, and the tokens of each reference."""

    tokens: list[Count]


class LabelledNote(Shape):
    """The note of data/normalised/labelled.parquet."""

    labels: Labels


class PairsNote(Shape):
    """The note of data/normalised/pairs.parquet."""

    rules: str | None = None


class ScoredNote(Shape):
    """The note of data/scored/pairs.parquet."""

    sharpen: float = 1.0
    classifier: str | None = None
    labels: Labels | None = None
