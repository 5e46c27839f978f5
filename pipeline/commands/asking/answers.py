"""The answers of several arms of a model to one complaint."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from transformers import PreTrainedModel

from pipeline import paths
from pipeline.evaluation.answering import answer
from pipeline.evaluation.generation import Answer
from pipeline.models.budgets import Budget
from pipeline.models.runtime import load_tokenizer, torch_dtype
from pipeline.models.trained import load_trained
from pipeline.report.arms import shown_arms
from pipeline.severities import PROBABILITIES
from pipeline.severity.probabilities import sharpened
from pipeline.severity.weights import pair_weights

if TYPE_CHECKING:
    from pipeline.config.params import Params


class ArmAnswer(NamedTuple):
    """What an arm answers.

    Attributes:
        arm: its name, or `base`.
        weight: that the complaint would have had in its training, see `Arms.weights`; None where there is
            none.
    """

    arm: str
    weight: float | None
    answer: Answer


class Arms:
    """Arms of a model, each loaded when it is first asked, and then kept."""

    def __init__(self, params: "Params", model: str, names: Sequence[str] | None, seed: int) -> None:
        """Choose the arms.

        Args:
            names: of them; None for the base model and all arms that run and are trained, but for placebos.
            seed: of the trainings.
        """
        self._params, self._model, self._seed = params, model, seed
        self.names = list(dict.fromkeys(names)) if names else self._trained()
        self._tokenizer = load_tokenizer(paths.base_model(model))
        self._decoders: dict[str, PreTrainedModel] = {}

    def _trained(self) -> list[str]:
        settings = {arm: self._params.arm_settings[arm] for arm in self._params.arms}
        shown = shown_arms(settings, self._params.report.primary.arm)
        there = [arm for arm in shown if paths.trained_model(arm, self._model, self._seed).is_dir()]
        if missing := [arm for arm in shown if arm not in there]:
            print(
                f"wazn: not trained with seed {self._seed}, so left out: {', '.join(missing)}",
                file=sys.stderr,
            )
        return [paths.BASE, *there]

    def answer(self, question: str, probabilities: np.ndarray | None) -> list[ArmAnswer]:
        """What each arm answers, greedily, as `evaluate` would have it.

        Args:
            question: normalised.
            probabilities: of the severities, (3,); None where they are not known.

        Raises:
            WaznError: a model is missing or cannot be loaded.
        """
        return [
            ArmAnswer(
                arm,
                None if probabilities is None else self._weight(arm, probabilities),
                self._ask(arm, question),
            )
            for arm in self.names
        ]

    def _ask(self, arm: str, question: str) -> Answer:
        evaluate = self._params.evaluate
        if arm not in self._decoders:
            self._decoders[arm] = load_trained(
                self._model,
                arm,
                None if arm == paths.BASE else self._seed,
                torch_dtype(evaluate.dtype),
                evaluate.max_length + evaluate.max_new_tokens,
            )
        name, budget = f"{self._model} {arm}", Budget(1, "questions")
        [only] = answer(self._decoders[arm], self._tokenizer, [question], evaluate, budget, name, keys=None)
        return only

    def _weight(self, arm: str, probabilities: np.ndarray) -> float | None:
        """`alpha * p_non_critical + beta * p_neutral + gamma * p_critical`, sharpened as pairs are.

        It is not divided by the mean of the training pairs, as `renormalise` has it. The base model has
        none, nor has a placebo, whose weights have nothing to do with the complaint.
        """
        settings = self._params.arm_settings.get(arm)
        if settings is None or settings.permute is not None:
            return None
        row = sharpened(probabilities[None], self._params.severity.sharpen)
        table = pd.DataFrame(row, columns=list(PROBABILITIES))
        return float(pair_weights(table, settings.model_copy(update={"renormalise": False}))[0])
