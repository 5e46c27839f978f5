"""Severity probabilities of complaints that the classifier learnt from, by models that did not see them.

Cross-fitting (Chernozhukov et al. 2018): the labelled complaints are cut into folds, and each fold is
scored by a classifier that was trained on the others. In-sample probabilities would be too sure: a
classifier that has seen a complaint's label repeats it, and the weights of the training pairs would spread
more than those of new ones.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.files import write_json
from pipeline.inputs import read_json
from pipeline.models.budgets import Budget
from pipeline.severities import SEVERITIES
from pipeline.severity.classifier import Classifier
from pipeline.shapes import FoldOfGroups

FINAL = -1
"""In place of a fold's number: the classifier that was trained on the whole training split."""

_FOLDS = "folds"


class CrossFitted:
    """A classifier, and one for each fold of the complaints that it learnt from.

    Attributes:
        final: scores every complaint that is in no fold.
    """

    def __init__(self, folder: Path, dtype: str = "float32") -> None:
        """Load what `save` has left in `folder`.

        Raises:
            WaznError: a model is missing or cannot be loaded.
        """
        self.final = Classifier(folder, dtype)
        folds = read_json(folder / f"{_FOLDS}.json", FoldOfGroups)
        self._fold_of = folds["fold_of"]
        self._models = {FINAL: self.final}
        for number in range(folds["count"]):
            self._models[number] = Classifier(folder / _FOLDS / str(number), dtype)

    def folds(self, groups: Sequence[str]) -> np.ndarray:
        """The fold of each of n groups of like complaints, (n,), int8; `FINAL` for one that is in none."""
        return np.array([self._fold_of.get(group, FINAL) for group in groups], dtype=np.int8)

    def probabilities(self, texts: Sequence[str], groups: Sequence[str], budget: Budget) -> np.ndarray:
        """Calibrated probabilities of n texts, each by a model that was not trained on its group.

        Args:
            texts: n normalised complaints.
            groups: the group of each.
            budget: padded tokens computed at once.

        Returns:
            (n, 3), float32.
        """
        result = np.empty((len(texts), len(SEVERITIES)), dtype=np.float32)
        folds = self.folds(groups)
        for number, model in self._models.items():
            rows = np.flatnonzero(folds == number).tolist()
            if rows:
                result[rows] = model.probabilities([texts[row] for row in rows], budget)
        return result


def save(folder: Path, final: Classifier, models: Sequence[Classifier], fold_of: Mapping[str, int]) -> None:
    """Write a classifier and those of its folds.

    Args:
        folder: is there, and empty.
        final: the one trained on the whole training split.
        models: those of fold 0, 1, …
        fold_of: group of like complaints to its fold.
    """
    final.save(folder)
    for number, model in enumerate(models):
        model.save(folder / _FOLDS / str(number))
    write_json(folder / f"{_FOLDS}.json", {"count": len(models), "fold_of": dict(fold_of)})
