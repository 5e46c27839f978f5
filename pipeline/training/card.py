"""The card that goes with every fine-tuned model."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# The arm whose weights are all 1.
UNIFORM = "uniform"

_CARD = """\
---
language: ar
library_name: {library}
{base_id}tags:
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
| effective sample size | {effective_share:.1%} of the pairs |
{validation}
{warning}
## Severity

The probabilities come from {severity}. {provenance}

## Limits

The model invents, omits and contradicts; it has seen no examination and no laboratory value. Its
data were not reviewed for medical correctness here. That it was trained more on severe cases does not
make it safe for them. In an emergency, call the emergency services.

## Use

```python
from transformers import AutoTokenizer
{use}
```

The prompt is a line break, the question, two line breaks, "الاجابة:" and a line break.
"""

_PLACEBO = """
Its weights are permuted among the pairs (seed {seed}): a placebo. They have nothing to do with how severe
a pair is. What this model does better or worse than plain cross-entropy is due to any uneven weights."""

_ADAPTER = """\
from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained("{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")"""
_WHOLE = """\
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained("{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")"""

_SEVERITY = {
    "human": "a classifier that is itself often wrong",
    "lexicon": "a classifier that learnt from weak labels: a list of symptom terms, not people, gave them",
    None: "the source of the pairs",
}


def write_card(
    path: Path,
    *,
    folder: Path,
    title: str,
    base: str,
    arm: str,
    weights: Mapping[str, Any],
    facts: Mapping[str, Any],
    scored: Mapping[str, Any],
) -> None:
    """Write the model card.

    Args:
        folder: from where the model is loaded.
        title, base: title and source of the base model in the registry.
        arm: its name.
        weights: `alpha`, `beta`, `gamma`, `renormalise` and `permute`.
        facts: of the run, as metrics/finetune has them.
        scored: the note in the metadata of the scored pairs; `labels` says what the severity classifier
            learnt from, `human` or `lexicon`, and is None where there was no classifier.
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
            use=(_WHOLE if whole else _ADAPTER).format(folder=folder),
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
