"""Whether an answer tells the patient to seek urgent care, by the expressions of `urgency.yaml`."""

from collections.abc import Sequence

from pipeline.evaluation.expressions import expressions

DATA_FILES = ("urgency.yaml",)


def urgent(texts: Sequence[str]) -> list[bool]:
    """Whether each of n answers, raw or normalised, tells the reader to seek urgent care.

    See `Expressions.occur` for what does not count.
    """
    return expressions("urgency").occur(texts)
