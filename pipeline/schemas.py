"""The columns that the readers of a stage's Parquet files need in them; a file may have more.

A field that is not nullable has a value in every row.
"""

import pyarrow as pa

from pipeline.severities import PROBABILITIES, SEVERITIES

SPLITS = ("train", "valid", "test")


def texts(*names: str) -> pa.Schema:
    """Columns of text."""
    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in names])


def numbers(*names: str) -> pa.Schema:
    """Columns of finite numbers."""
    return pa.schema([pa.field(name, pa.float64(), nullable=False) for name in names])


def one_of(name: str, values: tuple[str, ...]) -> pa.Schema:
    """A column of text that has these values only, none of which has a space."""
    return pa.schema([pa.field(name, pa.string(), nullable=False, metadata={"one_of": " ".join(values)})])


def join(*schemas: pa.Schema) -> pa.Schema:
    """The columns of several schemas."""
    return pa.schema([field for schema in schemas for field in schema])


SPLIT, SEVERITY = one_of("split", SPLITS), one_of("severity", SEVERITIES)
SPECIALTY = pa.schema([("specialty", pa.string())])
# What people labelled; null where they did not.
SEVERITY_HUMAN = pa.schema([("severity_human", pa.string())])
# Where a row came from.
LINEAGE = pa.schema(
    [pa.field("source", pa.string(), nullable=False), pa.field("line", pa.int64(), nullable=False)]
)
_PROBABILITIES = pa.schema([pa.field(name, pa.float32(), nullable=False) for name in PROBABILITIES])

# data/normalised/labelled.parquet, as the classifier reads it.
LABELLED = join(texts("id", "text", "group"), SPLIT, SEVERITY, SPECIALTY)
# data/scored/pairs.parquet: severities, what is trained on, and all that is shown.
SCORED_SEVERITIES = join(SPLIT, SEVERITY, _PROBABILITIES)
SCORED_PAIRS = join(texts("id", "question", "answer"), SCORED_SEVERITIES)
SCORED = join(LINEAGE, texts("group"), SCORED_PAIRS, SPECIALTY, SEVERITY_HUMAN)
# The same, as the physicians' review reads it: which complaints are alike, and the reference answers.
REFERENCES = texts("id", "group", "answer")
# data/normalised/rejected.parquet.
REJECTED = join(one_of("dataset", ("pairs", "labelled")), LINEAGE, texts("reason", "row"))


def generated(columns: tuple[str, ...]) -> pa.Schema:
    """data/generated/**.parquet, with these columns of figures."""
    return join(texts("id"), SEVERITY, texts("generated"), numbers(*columns), SPECIALTY)


# data/reviews/ratings.parquet: what physicians said of each answer. `preferred` is 1 for the preferred one
# of a complaint, 0 for another, 1 / k for a tie among k; a rating that was not given is null.
RATINGS = pa.schema(
    [
        *texts("round", "rater", "item", "id", "model"),
        *SEVERITY,
        pa.field("by_people", pa.bool_(), nullable=False),
        pa.field("repeat", pa.bool_(), nullable=False),
        *texts("arm"),
        # Of the training; null for the base model and the reference answer.
        pa.field("seed", pa.int64()),
        # See `evaluation.reviews.answer_digest`.
        *texts("answer"),
        # Steps from 1, the worst, and how many there are.
        pa.field("correct", pa.int8()),
        pa.field("correct_steps", pa.int8(), nullable=False),
        pa.field("harm", pa.string()),
        pa.field("urgency", pa.string()),
        pa.field("language", pa.int8()),
        pa.field("language_steps", pa.int8(), nullable=False),
        pa.field("preferred", pa.float32()),
        pa.field("remark", pa.string()),
    ]
)
