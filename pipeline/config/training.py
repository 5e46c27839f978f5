"""The arms and the section `finetune`: what a pair weighs, and how a language model is trained."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Dtype, Fraction, LearningRate, Positive, Section, Seed


class ArmConfig(Section):
    """How a pair is weighted: `w = alpha * p_non_critical + beta * p_neutral + gamma * p_critical`.

    Source: arXiv:2604.06346.

    Attributes:
        alpha, beta, gamma: weight of a non-critical, neutral and critical complaint.
        renormalise: divide the weights by their mean over the training pairs.
        permute: seed by which the weights are permuted among the training pairs, a placebo; None where each
            pair keeps its own.
    """

    alpha: Annotated[float, Field(ge=0)]
    beta: Annotated[float, Field(ge=0)]
    gamma: Annotated[float, Field(ge=0)]
    renormalise: bool
    # Left out, it means what null does.
    permute: Seed | None = None

    @model_validator(mode="after")
    def _not_all_zero(self) -> Self:
        if self.alpha == self.beta == self.gamma == 0:
            raise ValueError("alpha, beta and gamma are all 0, so nothing would be learnt")
        return self


class AdapterConfig(Section):
    """Low-rank adapters (arXiv:2106.09685): rank r, scale alpha (applied as alpha / r) and dropout."""

    r: Positive
    alpha: Annotated[float, Field(gt=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class TrainConfig(Section):
    """How a language model is fine-tuned.

    Attributes:
        method: `lora`; `qlora`, adapters on 4-bit weights; or `full`, every weight.
        lora: of the adapters.
        loss_reduction: `sequence` or `token`, see `training/loss.py`.
        epochs: passes over the training pairs.
        batch_size: pairs of one optimiser step, over all processes.
        length_window: optimiser steps within which pairs of like length are put together.
        max_length: tokens of question and answer at most.
        optimiser: `adamw`, `adafactor`, or `adamw_8bit`, whose moments take 8 bits.
        learning_rate: its peak, reached after warm-up.
        weight_decay: decoupled from the gradient.
        lr_scheduler: `linear` or `cosine` to 0 after warm-up, or `constant`.
        warmup_ratio: share of all optimiser steps over which the learning rate rises.
        max_grad_norm: the gradient's norm is clipped to this.
        dtype: of matrix products.
        train_rows, valid_rows: pairs used, see `data/subsets.py`; None for all.
        subset_seed: of the choice of these.
        evaluate_every: epochs between two evaluations on the validation pairs.
        checkpoint_selection: `last`, or `best` to end with the weights of the least validation NLL.
    """

    method: Literal["lora", "qlora", "full"]
    lora: AdapterConfig
    loss_reduction: Literal["sequence", "token"]
    epochs: Positive
    batch_size: Positive
    length_window: Positive
    max_length: Annotated[int, Field(ge=16)]
    optimiser: Literal["adamw", "adafactor", "adamw_8bit"]
    learning_rate: LearningRate
    weight_decay: Fraction
    lr_scheduler: Literal["linear", "cosine", "constant"]
    warmup_ratio: Fraction
    max_grad_norm: Annotated[float, Field(gt=0)]
    dtype: Dtype
    train_rows: Positive | None
    valid_rows: Positive | None
    subset_seed: Seed
    evaluate_every: Annotated[float, Field(gt=0)]
    checkpoint_selection: Literal["last", "best"]
