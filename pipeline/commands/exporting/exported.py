"""What is exported, as the parts of its card need it."""

from dataclasses import dataclass

from pipeline.models.origin import Origin


@dataclass(frozen=True)
class Exported:
    """A trained model on its way out.

    Attributes:
        model, arm, seed: of the training.
        title: of the base model; source: as the registry has it; origin: where it is found.
        dtype: of merged weights; None for an adapter.
        has_template: whether the tokenizer has a chat template.
    """

    model: str
    arm: str
    seed: int
    title: str
    source: str
    origin: Origin
    dtype: str | None
    has_template: bool
