"""The card that goes with the severity classifier."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.models.licences import licence_head, licence_sentence

if TYPE_CHECKING:
    from pipeline.config.models import ModelEntry

_CARD = """\
---
language: ar
{licence_head}tags:
- medical
- wazn
---

# Severity of Arabic complaints, by {title}, fine-tuned by wazn

**Research software. Not a medical device. What this model says must not be used as medical advice, and
not to decide who is seen first.**

`{source}`, fine-tuned on {rows} complaints that {labelled}. It gives the probabilities of
non-critical, neutral and critical; wazn weights training pairs by them. `folds/` has the classifiers of the
folds, each of which has not seen the complaints that it scores.

| on {test} test complaints | classifier | linear model of n-grams | shares of the classes |
|---|---|---|---|
| log-loss | {log_loss[0]:.3f} | {log_loss[1]:.3f} | {log_loss[2]:.3f} |
| accuracy | {accuracy[0]:.3f} | {accuracy[1]:.3f} | {accuracy[2]:.3f} |

## Limits

It reads words, not patients, and misses critical complaints. `metrics/classifier.json` says how many, with
intervals.

## Licence

{licence}
"""

_COMPARED = ("classifier", "linear", "majority")
_LABELLED = {
    "human": "people labelled",
    "lexicon": "a list of symptom terms labelled, not people",
}


def write_card(folder: Path, entry: "ModelEntry", metrics: Mapping[str, Any]) -> None:
    """Write README.md of the classifier in `folder`.

    Args:
        entry: the encoder's, in the registry.
        metrics: as metrics/classifier.json has them.
    """
    card = _CARD.format(
        title=entry.title,
        source=entry.source,
        rows=metrics["rows"]["train"],
        labelled=_LABELLED[metrics["labels"]],
        test=metrics["rows"]["test"],
        licence_head=licence_head(entry.license),
        licence=licence_sentence(entry.license),
        **{
            name: [metrics[model][name]["value"] for model in _COMPARED]
            for name in ("log_loss", "accuracy")
        },
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
