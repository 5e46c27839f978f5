"""The three severities, in the order of the probabilities."""

SEVERITIES = ("non_critical", "neutral", "critical")
# The columns of their probabilities in every table, in the same order.
PROBABILITIES = tuple(f"p_{severity}" for severity in SEVERITIES)
