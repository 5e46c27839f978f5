"""The sections `train_classifier`, `severity` and `score`: where severity probabilities come from."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import Dtype, Fraction, LearningRate, Name, Positive, Section, Seed


class ClassifierConfig(Section):
    """How the severity classifier is trained.

    Attributes:
        encoder: a key of the registry.
        epochs: passes over the training texts at most.
        patience: epochs without a lower validation log-loss after which training stops.
        batch_size: texts of a step.
        learning_rate: its peak (AdamW, warm-up over a tenth of the steps, linear decay).
        class_weights: weight a text's loss by n / (3 * texts of its class), so that classes count alike.
        word_dropout: share of a training text's tokens that are masked, drawn anew at every pass.
        ngrams: blend in a linear model of character n-grams; a small encoder needs it.
        max_length: tokens of a text at most; the rest is cut off.
        folds: folds of the training and validation complaints, each scored by a classifier that was trained
            on the others; None for none.
        critical_recall: share of the critical texts that the threshold on p_critical is set to find.
        seed: of head, order and dropout.
    """

    encoder: Name
    epochs: Positive
    patience: Positive
    batch_size: Positive
    learning_rate: LearningRate
    class_weights: bool
    word_dropout: Fraction
    ngrams: bool
    max_length: Annotated[int, Field(ge=8)]
    folds: Annotated[int, Field(ge=2)] | None
    critical_recall: Annotated[Fraction, Field(gt=0)]
    seed: Seed


class SeverityConfig(Section):
    """Where the pairs' severity probabilities come from.

    Attributes:
        source: `classifier`, or `provided` by the sources of the pairs.
        sharpen: temperature T; a probability p becomes p^(1/T), divided by the sum over the severities.
    """

    source: Literal["classifier", "provided"]
    sharpen: Annotated[float, Field(gt=0)]


class ScoreConfig(Section):
    """How the classifier scores the pairs."""

    dtype: Dtype
