"""The verdict of the page: one sentence, about the primary endpoint alone."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pipeline.evaluation.groups import ALL
from pipeline.evaluation.placebos import NEEDED, SIGNIFICANCE
from pipeline.report.arms import WEIGHTING
from pipeline.report.findings import Effect, complaints, endpoint, sign, upper
from pipeline.report.language import _, marked

if TYPE_CHECKING:
    from pipeline.config.evaluation import PrimaryConfig
    from pipeline.config.training import ArmConfig


def claimed(effect: Effect, placebo: Mapping[str, Any] | None) -> int:
    """As `sign`, but 0 where the arm has placebos enough to tell, and does not stand out among them.

    Args:
        effect: of the primary endpoint.
        placebo: `p` and `count` of the arm's placebos, None where it has none.
    """
    if placebo is not None and placebo["count"] >= NEEDED and placebo["p"] > SIGNIFICANCE:
        return 0
    return sign(effect)


def subject(primary: "PrimaryConfig", arm: "ArmConfig") -> Markup:
    """What the headline is about: severity weighting, an arm by its name, or a placebo."""
    if arm.permute is not None:
        return _("the placebo %(arm)s", arm=primary.arm)
    return _("severity weighting") if primary.arm == WEIGHTING else _("the arm %(arm)s", arm=primary.arm)


def headline(
    effects: Sequence[Effect],
    seeds: int,
    primary: "PrimaryConfig",
    arm: "ArmConfig",
    placebos: Mapping[str, Mapping[str, Any]],
) -> Markup:
    """One sentence on whether weighting helps: about the primary endpoint alone.

    Args:
        effects: the primary endpoint, one effect for each model.
        seeds: trainings of each arm. What another training would give, one training cannot tell.
        primary: names the endpoint; arm: the settings of its arm.
        placebos: by model, see `claimed`.
    """
    about = subject(primary, arm)
    if not effects:
        return _(
            "There are no %(complaints)s in the test split, so whether %(subject)s helps cannot be told.",
            complaints=_("complaints") if primary.group == ALL else complaints(primary.group),
            subject=about,
        )
    if seeds < 2:
        return _("One training of each arm cannot tell whether %(subject)s helps.", subject=about)
    signs = [claimed(effect, placebos.get(effect["model"])) for effect in effects]
    if any(signs):
        return _claim(signs.count(-1), signs.count(1), len(signs), upper(about), endpoint(primary))
    if any(sign(effect) for effect in effects):
        return _(
            "%(subject)s changes %(endpoint)s, but no more than its placebos do.",
            subject=upper(about),
            endpoint=endpoint(primary),
        )
    return _(
        "No effect of %(subject)s on %(complaints)s can be shown.",
        subject=about,
        complaints=complaints(primary.group),
    )


def _claim(lower: int, higher: int, models: int, subject: Markup, endpoint: Markup) -> Markup:
    """What is shown for some of the models.

    Args:
        lower, higher: for how many it is shown to be lower and higher, not both 0.
    """
    if lower and higher:
        message = marked(
            "%(subject)s lowers %(endpoint)s for %(lower)s of %(models)s models and raises it for "
            "%(higher)s."
        )
    elif max(lower, higher) == models == 1:
        message = (
            marked("%(subject)s lowers %(endpoint)s.")
            if lower
            else marked("%(subject)s raises %(endpoint)s.")
        )
    elif max(lower, higher) == models == 2:
        message = (
            marked("%(subject)s lowers %(endpoint)s for both models.")
            if lower
            else marked("%(subject)s raises %(endpoint)s for both models.")
        )
    elif max(lower, higher) == models:
        message = (
            marked("%(subject)s lowers %(endpoint)s for all %(models)s models.")
            if lower
            else marked("%(subject)s raises %(endpoint)s for all %(models)s models.")
        )
    elif lower:
        message = marked("%(subject)s lowers %(endpoint)s for %(lower)s of %(models)s models.")
    else:
        message = marked("%(subject)s raises %(endpoint)s for %(higher)s of %(models)s models.")
    return _(message, subject=subject, endpoint=endpoint, lower=lower, higher=higher, models=models)
