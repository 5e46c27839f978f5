"""What the arms and their comparisons are called on the page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.evaluation.placebos import placebos
from pipeline.evaluation.statistics import BASE, UNIFORM, comparisons
from pipeline.report.language import _, marked

if TYPE_CHECKING:
    from pipeline.config.training import ArmConfig

# The arm of the paper's `balanced` setting. It always runs.
WEIGHTING = "weighting"

_TITLES = {BASE: marked("Base"), UNIFORM: marked("CE"), WEIGHTING: marked("Severity-aware")}


def shown_arms(arms: Mapping[str, "ArmConfig"], main: str) -> list[str]:
    """The arms whose results are shown one by one: all but the placebos of others, and always `main`.

    Args:
        arms: those that run, with their settings.
        main: the arm of the primary endpoint.
    """
    hidden = {name for names in placebos(arms).values() for name in names} - {main}
    return [arm for arm in arms if arm not in hidden]


def arm_titles(arms: Sequence[str]) -> dict[str, str]:
    """Title by arm, first `base`, then `arms` in their order; most arms have their name as title."""
    return {arm: _(_TITLES[arm]) if arm in _TITLES else arm for arm in (BASE, *arms)}


def comparison_titles(arms: Sequence[str]) -> dict[str, str]:
    """Title by comparison, such as `Severity-aware − CE`, in the order of `comparisons`."""
    titles = arm_titles(arms)
    return {
        name: _("%(one)s − %(other)s", one=titles[one], other=titles[other])
        for name, (one, other) in comparisons(arms).items()
    }


def weighted_arms(arms: Sequence[str]) -> list[str]:
    """The arms that are compared with `uniform`, in their order."""
    return [arm for arm in arms if arm != UNIFORM]
