"""The severity of a complaint, as the classifier of the project sees it."""

import sys
from typing import TYPE_CHECKING

import numpy as np

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.models.budgets import Budget
from pipeline.severity.classifier import Classifier
from pipeline.text.normalise import Normaliser, arabic_shares

if TYPE_CHECKING:
    from pipeline.config.params import Params


class Judge:
    """Gives complaints their severity probabilities; the classifier is loaded once.

    Without one that can be used, a line says so, and nothing is judged: answers do not depend on it. Nor is
    a complaint that is not in Arabic, of which it has learnt nothing.
    """

    def __init__(self, params: "Params") -> None:
        """Load the classifier, if it is there."""
        self._normaliser = Normaliser(params.normalise.rules_off.classifier)
        self._min_arabic = params.normalise.min_arabic
        self._classifier: Classifier | None = None
        try:
            if not (paths.CLASSIFIER / "severity.json").is_file():
                raise WaznError(
                    f"{paths.CLASSIFIER}: no classifier there; run `dvc repro`, which trains it"
                )
            self._classifier = Classifier(paths.CLASSIFIER, params.score.dtype)
        except WaznError as error:
            print(f"wazn: severity is not judged: {error}", file=sys.stderr)

    def __call__(self, question: str) -> np.ndarray | None:
        """The calibrated probabilities of the severities, (3,), not sharpened; None if it is not judged."""
        if self._classifier is None:
            return None
        texts = self._normaliser([question])
        [share] = arabic_shares(texts)
        if share == 0 or share < self._min_arabic:
            print("wazn: severity is not judged: the complaint is not in Arabic", file=sys.stderr)
            return None
        try:
            [row] = self._classifier.probabilities(texts, Budget(self._classifier.max_length))
        except WaznError as error:
            print(f"wazn: severity is not judged: {error}", file=sys.stderr)
            return None
        return np.asarray(row) if np.isfinite(row).all() else None
