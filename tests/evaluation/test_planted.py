"""Models whose every figure is known beforehand, through evaluation, statistics and summary."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from root import ROOT

from pipeline.config.evaluation import EmbedReferencesConfig, PrimaryConfig
from pipeline.config.params import load
from pipeline.evaluation import answering
from pipeline.evaluation.generation import Answer
from pipeline.report import summary as tables
from pipeline.report.results import gather
from pipeline.severities import PROBABILITIES
from pipeline.stages import embed_references, evaluate

URGENT = "توجه إلى الطوارئ فورا ولا تنتظر حتى الصباح"
CALM = "خذ قسطا من الراحة واشرب الماء وراجع طبيبك بعد أسبوع"
REASSURING = "لا داعي للقلق فالأمر بسيط"
WORD, TIMES = "الماء", 20
ROWS = 12
# NLL per answer token of each run; the answers are as many tokens as the row's number, and 5.
NLL = {"base": 3.0, "uniform": 2.0, "weighting": 1.5, "alarm": 2.0, "calm": 2.0}
COPIED = ("bertscore_precision", "bertscore_recall", "bertscore_f1", "rouge_l")


@pytest.fixture(scope="module")
def results(built, tmp_path_factory):
    """metrics.csv and differences.csv of base, which answers nothing, of uniform, which repeats a word, of
    weighting, which copies the reference, of one that always alarms and of one that always reassures."""
    folder = tmp_path_factory.mktemp("planted")
    severities = ["critical"] * 4 + ["neutral"] * 4 + ["non_critical"] * 4
    pairs = pd.DataFrame(
        {
            "id": [f"row-{number}" for number in range(ROWS)],
            "group": [f"row-{number}" for number in range(ROWS)],
            "question": "صداع",
            "answer": [URGENT if severity == "critical" else CALM for severity in severities],
            "source": "own.csv",
            "line": 7,
            "specialty": "",
            "severity_human": None,
            "split": "test",
            "severity": severities,
            **dict.fromkeys(PROBABILITIES, 1 / 3),
        }
    )

    answers = {
        "base": [""],
        "uniform": [" ".join([WORD] * TIMES)],
        "weighting": list(pairs["answer"]),
        "alarm": [URGENT],
        "calm": [REASSURING],
    }
    arms = []

    def loaded(model, arm, *_):
        arms.append(arm)
        return torch.nn.Identity()

    def scored(_model, examples, *_, **__):
        tokens = np.arange(len(examples)) + 5
        return NLL[arms[-1]] * tokens, tokens

    def generated(_model, _tokenizer, questions, **_):
        given = (answers[arms[-1]] * len(questions))[: len(questions)]
        return [Answer(text, cut_off=False) for text in given]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "models" / "base").mkdir(parents=True)
        (folder / "models" / "base" / "encoder").symlink_to(built("modernbert"))
        (folder / "data" / "scored").mkdir(parents=True)
        pairs.to_parquet(folder / "data" / "scored" / "pairs.parquet")
        (folder / "models" / "base" / "planted").symlink_to(built("gpt2"))
        for name, planted in (("load_trained", loaded), ("score_answers", scored), ("generate", generated)):
            patch.setattr(answering, name, planted)
        params = load(ROOT / "params.yaml")
        encoder = EmbedReferencesConfig(encoder="encoder", layer=1)
        resources = params.resources.evaluate
        embed_references.run(embed_references=encoder, test_rows=None, test_seed=0, resources=resources)
        for arm in NLL:
            evaluate.run(
                "planted",
                arm,
                None if arm == "base" else 1,
                evaluate=params.evaluate,
                embed_references=encoder,
                resources=resources,
            )
        arms = {arm: params.arm_settings["weighting"] for arm in list(NLL)[1:]}
        results = gather(["planted"], list(arms), [1], pairs)
        primary = PrimaryConfig(arm="weighting", metric="nll", group="critical")
        return SimpleNamespace(
            measured=tables.measured_table(results),
            differences=tables.differences_table(results, arms, primary),
        )


def figures(results, run, metric, group="all"):
    """Value and interval."""
    found = results.measured.set_index(["arm", "metric", "group"]).loc[(run, metric, group)]
    return found[["value", "low", "high"]].tolist()


def counted(results, run, metric, group="all"):
    """A share of rows, whose interval is never a point and holds it."""
    value, low, high = figures(results, run, metric, group)
    assert 0 <= low <= value <= high <= 1
    assert low < high
    return value


def surely(value, tolerance=1e-6):
    """A value with an interval of no width."""
    return pytest.approx([value] * 3, abs=tolerance)


def test_what_copies_the_reference_is_perfect(results):
    for metric in COPIED:
        assert figures(results, "weighting", metric) == surely(1.0, 1e-4)
    assert figures(results, "weighting", "chrf") == surely(100.0)
    assert figures(results, "weighting", "repetition") == surely(0.0)
    for metric, value in (("empty", 0.0), ("cut_off", 0.0), ("urgency_recall", 1.0), ("urgency_f1", 1.0)):
        assert counted(results, "weighting", metric) == value
    assert counted(results, "weighting", "needless_alarms") == 0.0
    assert figures(results, "weighting", "words", "critical") == surely(len(URGENT.split()))


def test_what_answers_nothing_has_nothing_and_is_counted(results):
    for metric in (*COPIED, "chrf", "words", "repetition"):
        assert figures(results, "base", metric) == surely(0.0)
    assert counted(results, "base", "empty") == 1.0
    assert counted(results, "base", "urgency_recall", "critical") == 0.0


def test_what_repeats_a_word_is_told_by_its_repetition(results):
    assert figures(results, "uniform", "repetition") == surely(1 - 1 / (TIMES - 2))
    assert figures(results, "uniform", "words") == surely(TIMES)
    assert counted(results, "uniform", "empty") == 0.0
    # The longest common subsequence is the one word, where the reference has it: F1 = 2 / (20 + 10).
    assert WORD in CALM.split()
    assert figures(results, "uniform", "rouge_l", "neutral") == surely(2 / (TIMES + len(CALM.split())))
    assert figures(results, "uniform", "rouge_l", "critical") == surely(0.0)
    # What it says is in the reference, so precision alone does not tell.
    precision, recall, f1 = (figures(results, "uniform", metric)[0] for metric in COPIED[:3])
    assert recall < 0.7
    assert recall < f1 < precision
    assert counted(results, "uniform", "urgency_recall", "critical") == 0.0


def test_what_always_alarms_has_a_perfect_recall_and_nothing_else(results):
    assert counted(results, "alarm", "urgency_recall") == 1.0
    assert counted(results, "alarm", "urgency_precision") == pytest.approx(4 / 12)
    assert counted(results, "alarm", "urgency_f1") == pytest.approx(0.5)
    assert counted(results, "alarm", "needless_alarms") == 1.0
    assert counted(results, "alarm", "dangerous_reassurance") == 0.0


def test_what_always_reassures_is_dangerous_on_every_critical_row(results):
    assert counted(results, "calm", "dangerous_reassurance") == 1.0
    assert counted(results, "calm", "urgency_recall") == 0.0
    assert counted(results, "calm", "needless_alarms") == 0.0
    table = results.measured
    assert set(table[table["metric"] == "dangerous_reassurance"]["group"]) == {"all", "critical"}
    assert "urgency_precision" not in set(table[table["arm"] == "calm"]["metric"]), "it never alarms"


def test_nll_and_perplexity_are_per_token(results):
    for run, nll in NLL.items():
        for group in ("all", "critical"):
            assert figures(results, run, "nll", group) == surely(nll)
            assert figures(results, run, "perplexity", group) == surely(2.718281828**nll, 1e-5)


def test_only_critical_rows_have_an_urgency_recall(results):
    found = results.measured[results.measured["metric"] == "urgency_recall"]
    assert set(found["group"]) == {"all", "critical"}
    assert set(found["rows"]) == {4}


def test_a_difference_of_every_row_is_one_training_all_the_same(results):
    found = results.differences.set_index(["comparison", "metric", "group"])
    whole = found.loc[("weighting-uniform", "nll", "all")]
    assert whole[["value", "low", "high"]].tolist() == surely(-0.5)
    assert found["p_adjusted"].isna().all()
    recall = found.loc[("weighting-uniform", "urgency_recall", "critical")]
    assert recall["value"] == 1.0
    # Four rows that all gain are no proof: by chance alone that happens in two of 16 cases.
    assert -0.2 < recall["low"] < 0.5
    assert recall["high"] == 1.0
    same = found.loc[("uniform-base", "urgency_recall", "critical")]
    assert same["value"] == 0.0
    assert same["low"] == pytest.approx(-same["high"])
