"""The card says what a model is, where it comes from, how it did, and what it is not."""

import pytest
import yaml

from pipeline.severity.weights import warning, weight_spread
from pipeline.training.card import write_card

WEIGHTS = {"alpha": 0.25, "beta": 1.0, "gamma": 1.75, "renormalise": False, "permute": None}
VALID = {"pairs": 63, "nll": 2.51234, "nll_critical": 2.75, "nll_neutral": None, "nll_non_critical": 2.25}


def facts(**changes):
    import numpy as np

    spread = weight_spread(np.linspace(0.25, 1.75, 301))
    return {
        "method": "lora",
        "trained_parameters": 1_234_567,
        "pairs": 20_000,
        "left_out": [],
        "tokens": 4_000_000,
        "steps": 7_500,
        "kept_step": 7_500,
        "clipped_share": 0.0375,
        "gradient_norm": 0.4567,
        "weights": spread,
        "end_of_text_nll": 3.25,
        "warning": None,
        "valid": VALID,
        **changes,
    }


@pytest.fixture
def card(tmp_path):
    """A card's text and its front matter."""

    def written(scored=None, **changes):
        given = {"title": "AraGPT2", "base": "hub:owner/name@main", "arm": "weighting", "weights": WEIGHTS}
        given |= {"licence": None, "use": "Lines.", "facts": facts(), "scored": scored or {}}
        write_card(tmp_path / "README.md", **{**given, **changes})
        text = (tmp_path / "README.md").read_text(encoding="utf-8")
        _, front, body = text.split("---\n", 2)
        return yaml.safe_load(front), " ".join(body.split())

    return written


def test_what_it_is_and_is_not(card):
    _, body = card()
    for part in (
        "AraGPT2, fine-tuned by wazn (arm weighting)",
        "Not a medical device",
        "must not be used as medical advice",
        "A LoRA adapter for `hub:owner/name@main`, trained on 20000 Arabic complaint–response pairs",
        "severity-aware loss of arXiv:2604.06346",
        "w = 0.25 p_non_critical + 1 p_neutral + 1.75 p_critical.",
        "| trained parameters | 1,234,567 (lora) |",
        "| training pairs, tokens | 20,000, 4,000,000 |",
        "| optimiser steps | 7,500 |",
        "| gradient norm | mean 0.457, clipped in 3.8% of the steps |",
        "mean 1.000, standard deviation 0.434, 98 % of them 0.265 to 1.735 |",
        "| effective sample size | 84.1% of the pairs |",
        "| NLL of end-of-text after an answer, base model | 3.25 |",
        "| NLL per answer token, 63 validation pairs | 2.5123 |",
        "| NLL per answer token, critical | 2.7500 |",
        "| NLL per answer token, non_critical | 2.2500 |",
        "## Limits",
        "## Licence The licence of the base model is that of its source. ## Use Lines.",
    ):
        assert part in body, part
    assert "neutral |" not in body, "no validation pair was neutral"
    assert "Note:" not in body
    assert "placebo" not in body


def test_front_matter_is_what_the_hub_reads(card):
    front, _ = card()
    assert front == {
        "language": "ar",
        "library_name": "peft",
        "base_model": "owner/name",
        "tags": ["medical", "wazn"],
    }


@pytest.mark.parametrize("base", ["tiny:gpt2", "path:my-model"])
def test_base_that_is_not_on_the_hub_is_not_named_as_if_it_were(base, card):
    front, body = card(base=base)
    assert "base_model" not in front
    assert f"`{base}`" in body


def test_whole_model_is_called_so(card):
    front, body = card(facts=facts(method="full"))
    assert front["library_name"] == "transformers"
    assert "All weights of `hub:owner/name@main`" in body
    assert "peft" not in body.lower()


def test_plain_cross_entropy_is_called_so(card):
    _, body = card(arm="uniform", weights={**WEIGHTS, "alpha": 1.0, "beta": 1.0, "gamma": 1.0})
    assert "plain cross-entropy" in body
    assert "severity-aware" not in body
    assert "w = 1 p_non_critical + 1 p_neutral + 1 p_critical." in body


def test_renormalised_weights_and_a_step_that_was_kept_are_told(card):
    _, body = card(weights={**WEIGHTS, "renormalise": True}, facts=facts(kept_step=2_000))
    assert "1.75 p_critical, divided by its mean." in body
    assert "| optimiser steps | 7,500, of which 2,000 was kept |" in body


def test_a_placebo_is_called_so(card):
    _, body = card(weights={**WEIGHTS, "permute": 0})
    assert "1.75 p_critical. Its weights are permuted among the pairs (seed 0): a placebo." in body


def test_warning_is_told_with_its_figures(card):
    spread = {**facts()["weights"], "std": 0.02, "effective_share": 0.9996}
    _, body = card(facts=facts(weights=spread, warning=warning(spread)))
    assert "Note: the weights hardly differ (standard deviation 0.020 around 1.000" in body
    assert "effective sample size 100.0% of the pairs)" in body


def test_without_a_whole_answer_no_end_of_text_is_told(card):
    _, body = card(facts=facts(end_of_text_nll=None))
    assert "end-of-text" not in body


@pytest.mark.parametrize(
    ("licence", "head"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("mit", {"license": "mit"}),
        ("Gemma Terms of Use", {"license": "other", "license_name": "gemma-terms-of-use"}),
        ("رخصة", {"license": "other", "license_name": "other"}),
    ],
)
def test_licence_is_told_to_the_hub_and_to_the_reader(licence, head, card):
    front, body = card(licence=licence)
    assert {name: value for name, value in front.items() if name.startswith("license")} == head
    assert f"licensed under {licence}; what is trained from it too." in body


def test_without_validation_pairs_no_likelihood_is_told(card):
    _, body = card(facts=facts(valid={"pairs": 0}))
    assert "NLL per answer token" not in body


@pytest.mark.parametrize(
    ("scored", "said"),
    [
        (
            {"labels": "human", "classifier": "ab12"},
            "a classifier that is itself often wrong. Classifier (SHA-256): ab12.",
        ),
        (
            {"labels": "lexicon", "classifier": "ab12"},
            "a classifier that learnt from weak labels: a list of symptom terms, not people, gave them. "
            "Classifier (SHA-256): ab12.",
        ),
        ({"labels": None, "classifier": None}, "the source of the pairs. ## Limits"),
        ({}, "the source of the pairs. ## Limits"),
        (
            {"labels": "human", "classifier": "ab12", "sharpen": 0.5},
            "a classifier that is itself often wrong. They are sharpened by the temperature 0.5. "
            "Classifier (SHA-256): ab12.",
        ),
        ({"sharpen": 1.0}, "the source of the pairs. ## Limits"),
    ],
    ids=["human", "lexicon", "provided", "without a note", "sharpened", "not sharpened"],
)
def test_where_the_severities_come_from(scored, said, card):
    _, body = card(scored=scored)
    assert f"The probabilities come from {said}" in body
