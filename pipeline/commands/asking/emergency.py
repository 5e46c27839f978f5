"""Whether a complaint may be an emergency, and what is then said above any answer.

A missed emergency is worse than a notice too many. So each sign suffices, and what cannot be judged counts.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline import paths
from pipeline.classifier_shapes import ClassifierMetrics
from pipeline.errors import WaznError
from pipeline.evaluation.urgency import urgent
from pipeline.inputs import read_json
from pipeline.severities import SEVERITIES
from pipeline.severity import lexicon

_CRITICAL = SEVERITIES[-1]
# Where no threshold was measured. On the embedded sample nine tenths of the critical complaints reach it.
_UNMEASURED = 0.1
# At this p_critical it may be the likeliest of three severities, whatever threshold was measured.
_LIKELIEST = 1 / 3

_ARABIC = """\
قد تكون هذه حالة طارئة. اتصل الآن بالإسعاف على الرقم {number}، أو توجه فورا إلى أقرب قسم طوارئ.
لا تعتمد على أي إجابة مكتوبة هنا."""
_ENGLISH = """\
This may be an emergency. Call {number} now, or go to the nearest emergency department at once.
Do not rely on any answer below."""


def notice(number: str) -> Mapping[str, str]:
    """The notice by language.

    Args:
        number: of the emergency services.
    """
    return {"ar": _ARABIC.format(number=number), "en": _ENGLISH.format(number=number)}


def signs(question: str, probabilities: np.ndarray | None) -> list[str]:
    """Why a complaint may be an emergency; none where nothing says so.

    Args:
        question: as it was asked.
        probabilities: of the severities, (3,), by the calibrated classifier; None where they are not known.

    Returns:
        Of `severity not judged`, `p_critical` (it reaches the threshold that finds
        `train_classifier.critical_recall` of the critical complaints), and `words` (a term or a reading of
        the lexicon).
    """
    reasons = []
    if probabilities is None:
        reasons.append("severity not judged")
    elif probabilities[-1] >= min(_threshold(), _LIKELIEST):
        reasons.append("p_critical")
    if lexicon.label([question]) == [_CRITICAL]:
        reasons.append("words")
    return reasons


def signs_of_answers(answers: Sequence[str]) -> list[str]:
    """The same of the answers: `answer` where one tells to seek urgent care."""
    return ["answer"] if any(urgent(answers)) else []


def _threshold() -> float:
    try:
        alarms = read_json(paths.CLASSIFIER_METRICS, ClassifierMetrics)["critical"]["alarms"]
    except WaznError:
        # Missing or damaged: another command says so; a notice must not fail over it.
        return _UNMEASURED
    return float(alarms["classifier"]["threshold"]) if alarms else _UNMEASURED
