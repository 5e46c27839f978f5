"""The three severities, in the order of the probabilities."""

from collections.abc import Mapping

SEVERITIES = ("non_critical", "neutral", "critical")
# The columns of their probabilities in every table, in the same order.
PROBABILITIES = tuple(f"p_{severity}" for severity in SEVERITIES)


def severity_of(label: str, names: Mapping[str, str]) -> str:
    """The severity that a source calls `label`; empty where the source's `names` lack it.

    Args:
        label: as it stands in the source; white space around it does not count.
        names: severity to the source's own name for it.
    """
    return next((severity for severity in SEVERITIES if names[severity].strip() == label.strip()), "")
