"""The card that goes with every fine-tuned model."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.models.licences import licence_head, licence_sentence

# The arm whose weights are all 1.
UNIFORM = "uniform"

_CARD = """\
---
language: ar
library_name: {library}
{base_id}{licence_head}tags:
- medical
- wazn
---

# {title}, fine-tuned by wazn (arm {arm})

**Research software. Not a medical device. What this model writes must not be used as medical advice.**

{what} `{base}`, trained on {pairs} Arabic complaint–response pairs with the
{kind} of arXiv:2604.06346: the loss on each answer is multiplied by
w = {alpha:g} p_non_critical + {beta:g} p_neutral + {gamma:g} p_critical{renormalised}.{placebo}

| | |
|---|---|
| trained parameters | {trained_parameters:,} ({method}) |
| training pairs, tokens | {pairs:,}, {tokens:,} |
| optimiser steps | {steps:,}{kept} |
| gradient norm | mean {gradient_norm:.3f}, clipped in {clipped_share:.1%} of the steps |
| weights | mean {mean:.3f}, standard deviation {std:.3f}, 98 % of them {q01:.3f} to {q99:.3f} |
| effective sample size | {effective_share:.1%} of the pairs |{ending}
{validation}
{warning}
## Severity

The probabilities come from {severity}. {provenance}

## Limits

The model invents, omits and contradicts; it has seen no examination and no laboratory value. Its
data were not reviewed for medical correctness here. That it was trained more on severe cases does not
make it safe for them. In an emergency, call the emergency services.

## Licence

{licence}

## Use

{use}
"""

_PLACEBO = """
Its weights are permuted among the pairs (seed {seed}): a placebo. They have nothing to do with how severe
a pair is. What this model does better or worse than plain cross-entropy is due to any uneven weights."""

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
    licence: str | None,
    arm: str,
    weights: Mapping[str, Any],
    facts: Mapping[str, Any],
    scored: Mapping[str, Any],
    use: str,
) -> None:
    """Write the model card.

    Args:
        title, base, licence: of the base model, as the registry has them.
        arm: its name.
        weights: `alpha`, `beta`, `gamma`, `renormalise` and `permute`.
        facts: of the run, as metrics/finetune has them.
        scored: the note in the metadata of the scored pairs; `labels` says what the severity classifier
            learnt from, `human` or `lexicon`, and is None where there was no classifier.
        use: the section on use; see `usage`.
    """
    whole = facts["method"] == "full"
    valid = facts["valid"]
    measured = [f"| NLL per answer token, {k} | {valid[f'nll_{k}']:.4f} |" for k in _named(valid)]
    if "nll" in valid:
        measured.insert(
            0, f"| NLL per answer token, {valid['pairs']} validation pairs | {valid['nll']:.4f} |"
        )
    path.write_text(
        _CARD.format(
            title=title,
            base=base,
            base_id=f"base_model: {base[4:].partition('@')[0]}\n" if base.startswith("hub:") else "",
            library="transformers" if whole else "peft",
            what="All weights of" if whole else "A LoRA adapter for",
            arm=arm,
            kind="plain cross-entropy" if arm == UNIFORM else "severity-aware loss",
            renormalised=", divided by its mean" if weights["renormalise"] else "",
            placebo="" if weights["permute"] is None else _PLACEBO.format(seed=weights["permute"]),
            kept=""
            if facts["kept_step"] == facts["steps"]
            else f", of which {facts['kept_step']:,} was kept",
            validation="\n".join(measured),
            warning=f"\nNote: {facts['warning']}.\n" if facts["warning"] else "",
            severity=_SEVERITY[scored.get("labels")],
            provenance=" ".join(_provenance(scored)),
            licence_head=licence_head(licence),
            licence=licence_sentence(licence),
            ending=""
            if facts["end_of_text_nll"] is None
            else f"\n| NLL of end-of-text after an answer, base model | {facts['end_of_text_nll']:.2f} |",
            use=use,
            **{name: weights[name] for name in ("alpha", "beta", "gamma")},
            **{name: facts[name] for name in ("method", "trained_parameters", "pairs", "tokens", "steps")},
            **{name: facts[name] for name in ("gradient_norm", "clipped_share")},
            **{name: facts["weights"][name] for name in ("mean", "std", "q01", "q99", "effective_share")},
        ),
        encoding="utf-8",
    )


def _provenance(scored: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on the probabilities of the scored pairs."""
    if scored.get("sharpen", 1.0) != 1:
        yield f"They are sharpened by the temperature {scored['sharpen']:g}."
    if scored.get("classifier"):
        yield f"Classifier (SHA-256): {scored['classifier']}."


def _named(valid: Mapping[str, Any]) -> list[str]:
    """The severities that have a validation NLL."""
    return [k.removeprefix("nll_") for k, v in valid.items() if k.startswith("nll_") and v is not None]
