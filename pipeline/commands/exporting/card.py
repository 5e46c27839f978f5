"""The card of an exported model: what it is, what it was made of, how it did, and how it is asked."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline import paths
from pipeline.commands.exporting.exported import Exported
from pipeline.commands.exporting.figures import evaluation
from pipeline.commands.exporting.rated import rated
from pipeline.commands.exporting.sharing import Licences, head_licence, shown_source
from pipeline.commands.exporting.use import use
from pipeline.inputs import read_json
from pipeline.models.licences import licence_head
from pipeline.parquet_inputs import parquet_note
from pipeline.shapes import DataMetrics, FinetuneMetrics, ScoredNote

if TYPE_CHECKING:
    from pipeline.config.evaluation import EvaluateConfig

_CARD = """\
---
language: ar
{licence}library_name: {library}
pipeline_tag: text-generation
{base}tags:
- medical
- wazn
---

# {title}, fine-tuned by wazn (arm {arm}, seed {seed})

**Research software. Not a medical device. What this model writes must not be used as medical advice.**

**برنامج بحثي وليس جهازا طبيا، ولا يجوز العمل بما يكتبه هذا النموذج على أنه نصيحة طبية.**

{what} Training multiplied the loss on each answer by
w = {alpha:g} p_non_critical + {beta:g} p_neutral + {gamma:g} p_critical{renormalised}
(arXiv:2604.06346).{placebo}

## Data

{pairs:,} Arabic complaint–response pairs ({tokens:,} tokens), of {kept:,} pairs from:

{sources}

## Severity

{severity}

## Evaluation

{evaluation}

## Physicians

{rated}

## Limits

The model invents, omits and contradicts; it has seen no examination and no laboratory value. No automatic
metric says whether an answer is medically right: only physicians can judge that. That it was trained more
on severe cases does not make it safe for them. In an emergency, call the emergency services.{warning}

## Licences

{licences}

## Use

{use}
"""
_PLACEBO = """
The weights are permuted among the pairs (seed {seed}): a placebo, which has nothing to do with severity."""
_PROBABILITIES = {
    "human": "come from a classifier that learnt from labels of people and is itself often wrong",
    "lexicon": "come from a classifier that learnt from weak labels: a list of symptom terms, not people, "
    "gave them",
    None: "came with the pairs",
}


class TrainingFacts(FinetuneMetrics):
    """What the card needs of metrics/finetune."""

    arm: dict[str, Any]
    method: str
    tokens: int
    warning: str | None


def card(exported: Exported, evaluate: "EvaluateConfig", licences: Licences) -> str:
    """The card, Markdown with a YAML head as the Hub reads it.

    Raises:
        WaznError: what training or an earlier stage left is missing or damaged. Without a report the card
            says that the model has not been evaluated.
    """
    facts = read_json(paths.training_metrics(exported.arm, exported.model, exported.seed), TrainingFacts)
    counts = read_json(paths.DATA_METRICS, DataMetrics)["pairs"]
    scored = parquet_note(paths.SCORED, ScoredNote)
    weights = facts["arm"]
    return _CARD.format(
        licence=licence_head(head_licence(licences)),
        library="peft" if exported.dtype is None else "transformers",
        base="".join(_base_head(exported)),
        title=exported.title,
        arm=exported.arm,
        seed=exported.seed,
        what=_what(exported, facts["method"]),
        renormalised=", divided by its mean" if weights["renormalise"] else "",
        placebo="" if weights["permute"] is None else _PLACEBO.format(seed=weights["permute"]),
        pairs=facts["pairs"],
        tokens=facts["tokens"],
        kept=counts["kept"],
        sources="\n".join(
            f"- {shown_source(source['source'])}: {source['kept']:,} of {source['rows']:,} rows kept"
            for source in counts["sources"]
        ),
        severity="\n".join(_severity(scored, facts["weights"])),
        evaluation="\n".join(evaluation(exported, evaluate.decoding)),
        rated="\n".join(rated(exported)),
        warning=f"\n\nNote: {facts['warning']}." if facts["warning"] else "",
        licences="\n".join(_licences(licences)),
        use="\n".join(use(exported, evaluate, facts["method"])),
        **{name: weights[name] for name in ("alpha", "beta", "gamma")},
    )


def _base_head(exported: Exported) -> Iterator[str]:
    if exported.origin.commit:
        yield f"base_model: {exported.origin.name}\n"
        yield f"base_model_relation: {'adapter' if exported.dtype is None else 'finetune'}\n"


def _what(exported: Exported, method: str) -> str:
    base = f"`{shown_source(exported.source)}`"
    if exported.origin.commit:
        base += f" (commit `{exported.origin.commit}`)"
    if exported.dtype is None:
        return f"An adapter (LoRA) for {base}."
    made = (
        f"{base}, all of whose weights were trained"
        if method == "full"
        else f"{base} with an adapter (LoRA)"
    )
    merged = "" if method == "full" else " merged in float32 and"
    return f"{made},{merged} saved in {exported.dtype}."


def _severity(scored: Any, spread: Any) -> Iterator[str]:
    yield f"The probabilities {_PROBABILITIES[scored.get('labels')]}."
    if scored.get("sharpen", 1.0) != 1:
        yield f"They are sharpened by the temperature {scored['sharpen']:g}."
    yield f"The weights have mean {spread['mean']:.3f}, standard deviation {spread['std']:.3f}; the"
    yield f"effective sample size is {spread['effective_share']:.1%} of the pairs."


def _licences(licences: Licences) -> Iterator[str]:
    for what, licence in licences.items():
        yield f"- {what}: {licence or 'that of its source, which is not named here'}"
    yield ""
    yield "What is trained from them is bound by all of these."
