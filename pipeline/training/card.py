"""The card that goes with every fine-tuned model."""

from collections.abc import Mapping
from pathlib import Path

_CARD = """\
# {title}, fine-tuned by wazn ({loss})

**Research software. Not a medical device. What this model writes must not be used as medical advice.**

A LoRA adapter for `{base}`, trained on {pairs} Arabic complaint–response pairs with the
{kind} of arXiv:2604.06346: the loss on each answer is multiplied by
w = {alpha:g} p_non_critical + {beta:g} p_neutral + {gamma:g} p_critical.

Severity probabilities come from {severity}. The model invents, omits
and contradicts; it has seen no examination and no laboratory value. In an emergency, call the
emergency services.
"""


_SEVERITY = {
    "human": "a classifier that is itself often wrong",
    "lexicon": "a classifier that learnt from weak labels: a list of symptom terms, not people, gave them",
    None: "the source of the pairs",
}


def write_card(
    path: Path,
    *,
    title: str,
    base: str,
    loss: str,
    weights: Mapping[str, float],
    pairs: int,
    labels: str | None,
) -> None:
    """Write the model card.

    Args:
        title, base: what the registry calls the base model, and its source.
        loss: `uniform` or `weighting`.
        weights: `alpha`, `beta` and `gamma`.
        pairs: how many pairs it was trained on.
        labels: what the severity classifier learnt from, `human` or `lexicon`; None where there was none.
    """
    kind = "plain cross-entropy" if loss == "uniform" else "severity-aware loss"
    path.write_text(
        _CARD.format(
            title=title,
            base=base,
            loss=loss,
            kind=kind,
            pairs=pairs,
            severity=_SEVERITY[labels],
            **weights,
        ),
        encoding="utf-8",
    )
