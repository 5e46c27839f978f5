"""params.yaml as typed, validated values.

The schema has no defaults and computes nothing: every value that a stage uses stands in params.yaml, where
DVC sees it; what a data source may leave out is None, and is then found in its data; an arm that leaves out
`permute` is no placebo, a model without `license` names none. So a change of the schema can refuse a
file but never change a result, and no stage depends on it.
"""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from pipeline.config.asking import AskConfig
from pipeline.config.base import Name, Section, Seed
from pipeline.config.data import DownloadConfig, NormaliseConfig
from pipeline.config.evaluation import EmbedReferencesConfig, EvaluateConfig, ReportConfig
from pipeline.config.messages import nearest, sentence
from pipeline.config.models import BaseModelConfig, ModelEntry
from pipeline.config.resources import Resources
from pipeline.config.review import ReviewConfig
from pipeline.config.severity import ClassifierConfig, ScoreConfig, SeverityConfig
from pipeline.config.training import ArmConfig, TrainConfig
from pipeline.config.yaml_text import parse_yaml, read_text
from pipeline.errors import WaznError
from pipeline.paths import BASE

# The arm that the others are compared with, and the one that `-S weighting.alpha=…` sets.
UNIFORM, WEIGHTING = "uniform", "weighting"
# Characters of what is said of one mistake.
MAX_SENTENCE = 400


class Params(Section):
    """The whole of params.yaml.

    Attributes:
        arm_settings: every arm that the file defines, by name. In the file each is a section of its own
            at the top level, so that a stage can depend on one of them.
        arms: those that run.
    """

    models: Annotated[list[Name], Field(min_length=1)]
    encoders: Annotated[list[Name], Field(min_length=1)]
    arms: Annotated[list[Name], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    arm_settings: dict[Name, ArmConfig]
    severity: SeverityConfig
    download: DownloadConfig
    normalise: NormaliseConfig
    base_model: BaseModelConfig
    base_encoder: BaseModelConfig
    train_classifier: ClassifierConfig
    score: ScoreConfig
    finetune: TrainConfig
    embed_references: EmbedReferencesConfig
    evaluate: EvaluateConfig
    report: ReportConfig
    ask: AskConfig
    review: ReviewConfig
    resources: Resources
    registry: dict[Name, ModelEntry]

    @model_validator(mode="after")
    def _lists_name_what_there_is(self) -> Self:
        listed: dict[str, tuple[list[Any], Any]] = {
            "models": (self.models, self.registry),
            "encoders": (self.encoders, self.registry),
            "arms": (self.arms, self.arm_settings),
        }
        for key, (names, known) in listed.items():
            where = (
                "registry"
                if known is self.registry
                else "the file, as a section with alpha, beta and gamma"
            )
            for name in names:
                if name not in known:
                    raise ValueError(f"{key}: '{name}' is not in {where}{nearest(name, known)}")
        for key, values in (*((key, names) for key, (names, _) in listed.items()), ("seeds", self.seeds)):
            repeated = {value for value in values if values.count(value) > 1}
            if repeated:
                shown = min(repeated)
                raise ValueError(f"{key}: {shown if key == 'seeds' else repr(shown)} is listed twice")
        return self

    @model_validator(mode="after")
    def _arms_can_be_compared(self) -> Self:
        for arm in (UNIFORM, WEIGHTING):
            if arm not in self.arms:
                raise ValueError(f"arms: '{arm}' is missing; uniform and weighting always run")
        if BASE in self.arms:
            raise ValueError(f"arms: '{BASE}' is the model before fine-tuning; give the arm another name")
        if self.arm_settings[UNIFORM] != ArmConfig(alpha=1.0, beta=1.0, gamma=1.0, renormalise=False):
            raise ValueError(
                "uniform: alpha, beta and gamma are 1, renormalise is false and permute is null, that is "
                "plain cross-entropy"
            )
        primary = self.report.primary.arm
        if primary == UNIFORM:
            raise ValueError("report.primary.arm: uniform is what the arm is compared with; name another")
        if primary not in self.arms:
            raise ValueError(f"report.primary.arm: '{primary}' is not in arms{nearest(primary, self.arms)}")
        running = [(arm, self.arm_settings[arm]) for arm in self.arms]
        for place, (arm, settings) in enumerate(running):
            for other, others in running[:place]:
                if settings == others and settings.permute is not None:
                    raise ValueError(
                        f"{arm}.permute: '{other}' is the same placebo, so it would count twice; give it "
                        "another seed"
                    )
        return self

    @model_validator(mode="after")
    def _models_have_their_role(self) -> Self:
        both = set(self.models) & set(self.encoders)
        if both:
            raise ValueError(f"encoders: '{min(both)}' is in models too; a model is one or the other")
        for name in self.models:
            if not self.registry[name].lora_targets:
                raise ValueError(f"registry.{name}.lora_targets: a model to fine-tune names at least one")
        for key, name in (
            ("train_classifier.encoder", self.train_classifier.encoder),
            ("embed_references.encoder", self.embed_references.encoder),
        ):
            if name not in self.encoders:
                raise ValueError(f"{key}: '{name}' is not in encoders{nearest(name, self.encoders)}")
        return self

    @model_validator(mode="after")
    def _a_review_names_what_there_is(self) -> Self:
        """Whether it runs too is asked when a review is made: without one, nothing depends on it."""
        if self.review.model not in self.registry:
            near = nearest(self.review.model, self.registry)
            raise ValueError(f"review.model: '{self.review.model}' is not in registry{near}")
        known = [BASE, *self.arm_settings]
        for arm in self.review.arms:
            if arm not in known:
                raise ValueError(
                    f"review.arms: '{arm}' is neither {BASE} nor a section with alpha, beta and gamma"
                    f"{nearest(arm, known)}"
                )
        return self

    def file_values(self) -> dict[str, Any]:
        """The values as params.yaml has them: arms at the top level, and nothing that was left out."""
        values = self.model_dump(exclude_unset=True)
        arms = values.pop("arm_settings")
        return {**values, **arms}


def load(path: Path) -> Params:
    """Read and check a parameter file.

    Raises:
        WaznError: the file is missing, is not YAML, or has a key or value that the schema
            does not allow; the sentence names the file, the key and the nearest known one.
    """
    return check(parse_yaml(read_text(path), str(path)), str(path))


def check(values: dict[str, Any], name: str) -> Params:
    """Check the values of a parameter file that messages call `name`.

    Raises:
        WaznError: as `load`.
    """
    sections = Params.model_fields.keys() - {"arm_settings"}
    arms = {key: value for key, value in values.items() if key not in sections and _is_arm(value)}
    rest = {key: value for key, value in values.items() if key not in arms}
    try:
        return Params.model_validate({**rest, "arm_settings": arms})
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # An unknown key and the missing one it was meant to be come as two problems; the
        # unknown one says more.
        problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        # A key may have a line break, or thousands of letters.
        said = " ".join(sentence(problems[0], Params).split())
        said = said if len(said) <= MAX_SENTENCE else f"{said[:MAX_SENTENCE]}…"
        raise WaznError(f"{name}: {said}{more}") from error


def _is_arm(value: Any) -> bool:
    """Whether an unknown section is meant as an arm: it has one of the keys that only arms have."""
    return isinstance(value, dict) and not {"alpha", "beta", "gamma"}.isdisjoint(value)
