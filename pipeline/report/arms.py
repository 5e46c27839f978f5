"""What the arms and their comparisons are called on the page."""

from collections.abc import Sequence

from pipeline.evaluation.statistics import BASE, UNIFORM, comparisons

# The arm of the paper's `balanced` setting. It always runs, and the first screen of the page is about it.
WEIGHTING = "weighting"
MAIN_COMPARISON = f"{WEIGHTING}-{UNIFORM}"

_TITLES = {BASE: "Base", UNIFORM: "CE", WEIGHTING: "Severity-aware"}


def arm_titles(arms: Sequence[str]) -> dict[str, str]:
    """Title by arm, first `base`, then `arms` in their order; most arms have their name as title."""
    return {arm: _TITLES.get(arm, arm) for arm in (BASE, *arms)}


def comparison_titles(arms: Sequence[str]) -> dict[str, str]:
    """Title by comparison, such as `Severity-aware − CE`, in the order of `comparisons`."""
    titles = arm_titles(arms)
    return {name: f"{titles[one]} − {titles[other]}" for name, (one, other) in comparisons(arms).items()}


def weighted_arms(arms: Sequence[str]) -> list[str]:
    """The arms that are compared with `uniform`, in their order."""
    return [arm for arm in arms if arm != UNIFORM]
