"""finetune and evaluate in a project of their own: what they write, and what they say is missing."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from bert_score import BERTScorer
from safetensors.torch import load_file

from pipeline.config.evaluation import EmbedReferencesConfig, EvaluateConfig
from pipeline.config.models import ModelEntry
from pipeline.config.resources import EvaluateResources, TrainResources
from pipeline.config.training import AdapterConfig, ArmConfig, TrainConfig
from pipeline.data.subsets import stratified_subset
from pipeline.errors import WaznError
from pipeline.evaluation import answering
from pipeline.evaluation.overlap import chrf, repetition, rouge_l, word_counts
from pipeline.inputs import read_json
from pipeline.models.budgets import Budget
from pipeline.models.distributed import join_processes
from pipeline.models.prompt import encode_pairs, encode_prompt
from pipeline.models.runtime import load_decoder, load_tokenizer
from pipeline.models.trained import load_trained
from pipeline.paths import training_metrics
from pipeline.severity.weights import pair_weights, weight_spread
from pipeline.shapes import FinetuneMetrics
from pipeline.stages import embed_references as embed_stage
from pipeline.stages import evaluate as evaluate_stage
from pipeline.stages import finetune as finetune_stage
from pipeline.training.dataset import load_data
from pipeline.training.likelihood import mean_nll, score_answers
from pipeline.training.objective import AnswerLoss

TARGETS = {"gpt2": ["c_attn", "c_proj"], "qwen2": ["q_proj", "v_proj"]}
ARCHITECTURES = tuple(TARGETS)
WEIGHTS = {
    "uniform": ArmConfig(alpha=1.0, beta=1.0, gamma=1.0, renormalise=False),
    "weighting": ArmConfig(alpha=0.25, beta=1.0, gamma=1.75, renormalise=False),
}
FINETUNE = TrainConfig(
    method="lora",
    lora=AdapterConfig(r=4, alpha=8.0, dropout=0.05),
    loss_reduction="sequence",
    epochs=8,
    batch_size=4,
    length_window=16,
    max_length=300,
    optimiser="adamw",
    learning_rate=0.02,
    weight_decay=0.0,
    lr_scheduler="linear",
    warmup_ratio=0.1,
    max_grad_norm=1.0,
    dtype="float32",
    train_rows=None,
    valid_rows=None,
    subset_seed=17,
    evaluate_every=1.0,
    checkpoint_selection="last",
)
TRAIN_RESOURCES = TrainResources(
    tokens_per_microbatch=1000,
    gradient_checkpointing=False,
    attn_implementation="auto",
    checkpoint_every=1000,
)
SEED = 17
EVALUATE = EvaluateConfig(
    test_rows=None,
    valid_rows=None,
    max_length=300,
    max_new_tokens=8,
    max_new_words=None,
    decoding="greedy",
    seed=3,
    dtype="float32",
)
EVALUATE_RESOURCES = EvaluateResources(batch_size=4, bertscore_batch_size=8, attn_implementation="auto")
EMBED = EmbedReferencesConfig(encoder="tiny_bert", layer=1)
TRAIN, TEST, VALID = 14, 6, 5
FIRST_VALID = TRAIN + TEST
COLUMNS = (
    "source",
    "line",
    "id",
    "severity",
    "severity_human",
    "specialty",
    "generated",
    "bertscore_precision",
    "bertscore_recall",
    "bertscore_f1",
    "chrf",
    "rouge_l",
    "nll_sum",
    "answer_tokens",
    "answer_bytes",
    "words",
    "repetition",
    "empty",
    "cut_off",
)
METRICS = {
    "bertscore_f1",
    "chrf",
    "rouge_l",
    "nll",
    "nll_critical",
    "nll_neutral",
    "nll_non_critical",
}


def finetune(architecture, arm, weights=None, **changes):
    finetune_stage.run(
        architecture,
        arm,
        SEED,
        finetune=FINETUNE.model_copy(update=changes),
        entry=ModelEntry(title="Tiny", source=f"tiny:{architecture}", lora_targets=TARGETS[architecture]),
        weights=weights or WEIGHTS[arm],
        resources=TRAIN_RESOURCES,
    )


def seed_of(arm):
    """The base model has no seed."""
    return None if arm == "base" else SEED


def of(arm):
    """What an arm's files are called by."""
    return seed_of(arm) or "base"


def facts_of(project, architecture, arm):
    path = project / "metrics" / "finetune" / arm / architecture / f"{SEED}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def curve_of(project, architecture, arm, name):
    """What was logged of each step at which it was."""
    folder = project / "metrics" / "finetune" / arm / architecture / str(SEED) / "plots" / "metrics"
    return pd.read_csv(folder / f"{name}.tsv", sep="\t").set_index("step").iloc[:, 0]


def data_of(project, weights=WEIGHTS["uniform"], **changes):
    tokenizer = load_tokenizer(project / "models" / "base" / "gpt2")
    return load_data(tokenizer, FINETUNE.model_copy(update=changes), weights)


def embed(**changes):
    settings = EVALUATE.model_copy(update=changes)
    embed_stage.run(
        embed_references=EMBED,
        test_rows=settings.test_rows,
        test_seed=settings.seed,
        resources=EVALUATE_RESOURCES,
    )


def evaluate(architecture, arm, embedded=False, resources=EVALUATE_RESOURCES, **changes):
    if not embedded:
        embed(**changes)
    settings = EVALUATE.model_copy(update=changes)
    evaluate_stage.run(
        architecture,
        arm,
        seed_of(arm),
        evaluate=settings,
        embed_references=EMBED,
        resources=resources,
    )


def metrics_of(project, architecture, run):
    path = project / "metrics" / "evaluate" / run / architecture / f"{of(run)}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def generated_of(project, architecture, run):
    return pd.read_parquet(project / "data" / "generated" / run / architecture / f"{of(run)}.parquet")


def lay_out(folder, built, scored):
    """A project's folder with what finetune and evaluate read."""
    for name, architecture in (("gpt2", "gpt2"), ("qwen2", "qwen2"), ("tiny_bert", "modernbert")):
        shutil.copytree(built(architecture), folder / "models" / "base" / name)
    (folder / "data" / "scored").mkdir(parents=True)
    scored.to_parquet(folder / "data" / "scored" / "pairs.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def scored(scored_table):
    table = scored_table(TRAIN, TEST + VALID)
    table.loc[FIRST_VALID:, "split"] = "valid"
    assert set(table[table["split"] == "test"]["severity"]) == {"non_critical", "neutral", "critical"}
    return table


@pytest.fixture(scope="module")
def project(built, scored, tmp_path_factory):
    """A project in which both models have been through every run."""
    folder = lay_out(tmp_path_factory.mktemp("project"), built, scored)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for architecture in ARCHITECTURES:
            evaluate(architecture, "base")  # before there is any adapter: it needs none
            for arm in WEIGHTS:
                finetune(architecture, arm)
                evaluate(architecture, arm)
    return folder


@pytest.fixture
def fresh(built, scored, tmp_path, monkeypatch):
    """A project in which nothing has run, and which the test stands in."""
    monkeypatch.chdir(lay_out(tmp_path / "fresh", built, scored))
    return tmp_path / "fresh"


# ---- finetune -----------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("arm", WEIGHTS)
def test_finetune_writes_adapter_tokenizer_and_card(architecture, arm, project):
    names = {path.name for path in (project / "models" / arm / architecture / str(SEED)).iterdir()}
    needed = {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "README.md"}
    assert needed <= names
    assert all(name.endswith((".safetensors", ".json", ".md", ".txt", ".jinja")) for name in names), names
    adapter = load_file(project / "models" / arm / architecture / str(SEED) / "adapter_model.safetensors")
    assert all(".lora_A." in name or ".lora_B." in name for name in adapter)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_base_model_is_left_as_it_was(architecture, project, built):
    for path in built(architecture).iterdir():
        assert (project / "models" / "base" / architecture / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("arm", WEIGHTS)
def test_card_says_what_the_model_is_and_is_not(arm, project):
    card = (project / "models" / arm / "gpt2" / str(SEED) / "README.md").read_text(encoding="utf-8")
    assert "Not a medical device" in card
    assert "must not be used as medical advice" in card
    assert "tiny:gpt2" in card
    assert f"{TRAIN} Arabic" in card
    assert ("plain cross-entropy" in card) == (arm == "uniform")
    assert ("severity-aware loss" in card) == (arm == "weighting")
    shown = {"uniform": "w = 1 p_non_critical + 1 p_neutral + 1 p_critical"}
    assert shown.get(arm, "w = 0.25 p_non_critical + 1 p_neutral + 1.75 p_critical") in card


def test_card_says_where_the_severities_come_from(fresh):
    table = pq.read_table("data/scored/pairs.parquet")
    note = json.dumps({"labels": "lexicon", "classifier": "ab12"})
    pq.write_table(table.replace_schema_metadata({"wazn": note}), "data/scored/pairs.parquet")
    finetune("gpt2", "uniform", epochs=1, train_rows=2)
    card = (fresh / "models" / "uniform" / "gpt2" / str(SEED) / "README.md").read_text(encoding="utf-8")
    assert "a list of symptom terms, not people, gave them. Classifier (SHA-256): ab12." in card


@pytest.mark.parametrize("arm", WEIGHTS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_metrics_are_those_of_the_very_run(architecture, arm, project, scored, monkeypatch):
    monkeypatch.chdir(project)
    found = facts_of(project, architecture, arm)
    steps = FINETUNE.epochs * -(-TRAIN // FINETUNE.batch_size)
    adapter = load_file(project / "models" / arm / architecture / str(SEED) / "adapter_model.safetensors")
    assert found["trained_parameters"] == sum(tensor.numel() for tensor in adapter.values())
    data = data_of(project)
    assert found["tokens"] == sum(len(example.input_ids) for example in data.examples)
    assert found["arm"] == WEIGHTS[arm].model_dump()
    assert (found["method"], found["pairs"], found["left_out"]) == ("lora", TRAIN, [])
    assert (found["steps"], found["kept_step"]) == (steps, steps)
    norms = curve_of(project, architecture, arm, "train/gradient_norm").to_numpy()
    assert len(norms) == steps
    assert found["gradient_norm"] == pytest.approx(norms.mean())
    assert found["clipped_share"] == pytest.approx((norms > FINETUNE.max_grad_norm).mean())
    read_json(training_metrics(arm, architecture, SEED), FinetuneMetrics)
    weights = pair_weights(scored[scored["split"] == "train"], WEIGHTS[arm])
    assert found["weights"] == pytest.approx(weight_spread(weights))
    assert {"mean", "std", "q01", "q25", "q50", "q75", "q99"} < found["weights"].keys()
    share = weights.sum() ** 2 / (weights**2).sum() / TRAIN
    assert found["weights"]["effective_share"] == pytest.approx(share)
    assert found["warning"] is None
    assert found["valid"].keys() == {"pairs"} | {name for name in METRICS if name.startswith("nll")}
    assert found["valid"]["pairs"] == VALID
    card = (project / "models" / arm / architecture / str(SEED) / "README.md").read_text(encoding="utf-8")
    for name in ("nll", "nll_critical", "nll_neutral", "nll_non_critical"):
        assert found["valid"][name] == curve_of(project, architecture, arm, f"valid/{name}").loc[steps]
        assert f"| {found['valid'][name]:.4f} |" in card


def likelihood_of(project, architecture, arm, scored):
    """Of the validation pairs, by the model as it was saved."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        model = load_trained(architecture, arm, SEED, torch.float32, 8)
    rows = scored[scored["split"] == "valid"]
    tokenizer = load_tokenizer(project / "models" / "base" / architecture)
    examples, _ = encode_pairs(tokenizer, rows, [1.0] * len(rows), FINETUNE.max_length)
    sums, counts = score_answers(AnswerLoss(model), examples, Budget(1000), join_processes())
    return mean_nll(sums, counts, list(rows["severity"]))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_validation_is_of_the_model_that_is_saved(architecture, project, scored):
    found = dict(facts_of(project, architecture, "weighting")["valid"])
    del found["pairs"]
    assert found == pytest.approx(likelihood_of(project, architecture, "weighting", scored), rel=1e-5)


def test_best_weights_are_the_ones_saved_where_they_are_to_be_kept(fresh, scored):
    """The learning rate is such that training makes it worse."""
    finetune(
        "gpt2",
        "weighting",
        checkpoint_selection="best",
        learning_rate=0.9,
        lr_scheduler="constant",
        evaluate_every=0.5,
    )
    found = facts_of(fresh, "gpt2", "weighting")
    curve = curve_of(fresh, "gpt2", "weighting", "valid/nll")
    assert found["kept_step"] == curve.idxmin() < found["steps"] / 2
    assert found["valid"]["nll"] == curve.min() < curve.iloc[-1]
    saved = likelihood_of(fresh, "gpt2", "weighting", scored)
    assert saved["nll"] == pytest.approx(found["valid"]["nll"], rel=1e-5)
    card = (fresh / "models" / "weighting" / "gpt2" / str(SEED) / "README.md").read_text(encoding="utf-8")
    assert f", of which {found['kept_step']} was kept |" in card


def test_last_step_is_evaluated_whatever_evaluate_every_is(fresh):
    finetune("gpt2", "uniform", epochs=3, evaluate_every=2.0)
    assert list(curve_of(fresh, "gpt2", "uniform", "valid/nll").index) == [8, 12]
    assert facts_of(fresh, "gpt2", "uniform")["valid"]["nll"] > 0


def test_without_validation_pairs_there_is_no_likelihood(fresh, scored):
    scored[scored["split"] != "valid"].to_parquet("data/scored/pairs.parquet", index=False)
    finetune("gpt2", "uniform", epochs=1, checkpoint_selection="best")
    assert facts_of(fresh, "gpt2", "uniform")["valid"] == {"pairs": 0}
    assert not (fresh / "metrics/finetune/uniform/gpt2/17/plots/metrics/valid").exists()
    card = (fresh / "models/uniform/gpt2/17/README.md").read_text(encoding="utf-8")
    assert "NLL per answer token" not in card


@pytest.mark.parametrize("arm", WEIGHTS)
def test_training_curves_have_a_line_for_each_step(arm, project):
    steps = FINETUNE.epochs * -(-TRAIN // FINETUNE.batch_size)
    for name in ("loss", "mean_weight", "learning_rate", "gradient_norm"):
        assert list(curve_of(project, "gpt2", arm, f"train/{name}").index) == list(range(1, steps + 1))
    assert curve_of(project, "gpt2", arm, "train/loss").gt(0).all()
    rates = curve_of(project, "gpt2", arm, "train/learning_rate")
    assert rates.iloc[0] == 0
    assert rates.max() == FINETUNE.learning_rate
    weights = curve_of(project, "gpt2", arm, "train/mean_weight")
    assert weights.eq(1).all() if arm == "uniform" else weights.nunique() > 1
    evaluated = range(steps // FINETUNE.epochs, steps + 1, steps // FINETUNE.epochs)
    for name in METRICS:
        if name.startswith("nll"):
            assert list(curve_of(project, "gpt2", arm, f"valid/{name}").index) == list(evaluated)


# Weights that hardly spread, those of the paper, and equal ones.
@pytest.mark.parametrize(
    ("arm", "weights", "warned"),
    [
        ("weighting", {"alpha": 0.98, "gamma": 1.02}, True),
        ("weighting", {"alpha": 0.98, "gamma": 1.02, "renormalise": True}, True),
        ("weighting", {"alpha": 0.25, "gamma": 1.75, "renormalise": True}, False),
        ("uniform", {"alpha": 1.0, "gamma": 1.0}, False),
    ],
    ids=["tiny", "tiny, renormalised", "large", "uniform"],
)
def test_weights_that_hardly_spread_are_warned_of_with_the_figure(arm, weights, warned, fresh, capsys):
    settings = ArmConfig(**{**WEIGHTS["weighting"].model_dump(), **weights})
    finetune("gpt2", arm, settings, epochs=1)
    printed = capsys.readouterr().out
    found = facts_of(fresh, "gpt2", arm)
    card = (fresh / "models" / arm / "gpt2" / str(SEED) / "README.md").read_text(encoding="utf-8")
    if weights.get("renormalise"):
        assert found["weights"]["mean"] == pytest.approx(1)
        assert ", divided by its mean" in card
    if not warned:
        assert found["warning"] is None
        assert "warning" not in printed
        assert "Note:" not in card
        return
    figure = f"standard deviation {found['weights']['std']:.3f} around {found['weights']['mean']:.3f}"
    assert 0 < found["weights"]["std"] < 0.02
    assert figure in found["warning"]
    assert f"{found['weights']['effective_share']:.1%} of the pairs" in found["warning"]
    assert printed == f"warning: {found['warning']}\n"
    assert f"Note: {found['warning']}." in card


def test_an_end_of_text_that_the_base_never_learnt_is_warned_of_before_training(fresh, capsys, monkeypatch):
    """The figure is made up; test_end_of_text.py has models that give one like it."""
    monkeypatch.setattr(finetune_stage, "end_of_text_nll", lambda *_: 30.0)
    finetune("gpt2", "uniform", epochs=1)
    facts = facts_of(fresh, "gpt2", "uniform")
    assert facts["end_of_text_nll"] == 30.0
    assert "end-of-text <|endoftext|> a probability of 9.4e-14" in facts["warning"]
    assert capsys.readouterr().out == f"warning: {facts['warning']}\n"
    card = (fresh / "models/uniform/gpt2/17/README.md").read_text(encoding="utf-8")
    assert f"Note: {facts['warning']}." in card


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_the_card_says_loads_it_gives_the_logits_of_load_trained(
    architecture, method, fresh, project, monkeypatch
):
    if method == "lora":
        shutil.copytree(project / "models" / "weighting", fresh / "models" / "weighting")
    else:
        finetune(architecture, "weighting", method="full", epochs=2)
    folder = fresh / "models" / "weighting" / architecture / str(SEED)
    [code] = re.findall(
        r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    given = {}
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        exec(code, given)
    tokens = given["tokenizer"]("عندي صداع منذ يومين", return_tensors="pt")["input_ids"]
    base = fresh / "models" / "base" / architecture
    assert tokens.tolist() == [load_tokenizer(base)("عندي صداع منذ يومين")["input_ids"]]
    ours = load_trained(architecture, "weighting", SEED, torch.float32, 8)
    with torch.no_grad():
        found, expected = given["model"].eval()(tokens).logits, ours(tokens).logits
        untrained = load_decoder(base, torch.float32, 8)(tokens).logits
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert (found - untrained).abs().max() > 0.01


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_whole_model_is_trained_saved_and_evaluated(architecture, fresh, project):
    """Bases are tied: the output embedding is saved once."""
    finetune(architecture, "weighting", method="full", epochs=2, learning_rate=0.005)
    folder = fresh / "models" / "weighting" / architecture / str(SEED)
    names = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= names
    assert not {name for name in names if name.startswith("adapter")}
    base = load_file(fresh / "models" / "base" / architecture / "model.safetensors")
    trained = load_file(folder / "model.safetensors")
    assert trained.keys() == base.keys()
    assert sum(not torch.equal(trained[name], base[name]) for name in base) > len(base) - 3
    found = facts_of(fresh, architecture, "weighting")
    assert found["trained_parameters"] == sum(tensor.numel() for tensor in base.values())
    # Nothing of the base model is needed but its tokenizer.
    (fresh / "models" / "base" / architecture / "model.safetensors").unlink()
    evaluate(architecture, "weighting")
    after, before = (metrics_of(p, architecture, r) for p, r in ((fresh, "weighting"), (project, "base")))
    assert after["nll"] < before["nll"] - 0.05


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_severity_changes_what_is_learnt(architecture, project):
    uniform, weighted = (
        load_file(project / "models" / arm / architecture / str(SEED) / "adapter_model.safetensors")
        for arm in WEIGHTS
    )
    assert uniform.keys() == weighted.keys()
    assert any(not torch.equal(uniform[name], weighted[name]) for name in uniform)


def test_uniform_weights_are_exactly_one(fresh):
    """Plain cross-entropy is not to depend on how a classifier's probabilities are rounded."""
    found = data_of(fresh)
    assert [example.weight for example in found.examples] == [1.0] * TRAIN


def test_weights_are_those_of_the_rows_own_severity(fresh, scored):
    found = data_of(fresh, WEIGHTS["weighting"])
    train = scored[scored["split"] == "train"]
    expected = dict(zip(train["id"], pair_weights(train, WEIGHTS["weighting"]), strict=True))
    assert {example.id: example.weight for example in found.examples} == pytest.approx(expected)


def test_rows_are_a_stratified_choice_of_their_split(fresh, scored):
    found = data_of(fresh, train_rows=5, valid_rows=2, subset_seed=3)
    for split, count, examples in (("train", 5, found.examples), ("valid", 2, found.valid.examples)):
        expected = stratified_subset(scored[scored["split"] == split], count, 3)
        assert [example.id for example in examples] == expected["id"].tolist()
        assert len(examples) == count
    assert found.valid.severities == expected["severity"].tolist()
    other = data_of(fresh, train_rows=5, valid_rows=2, subset_seed=4)
    assert {example.id for example in other.examples} != {example.id for example in found.examples}


def test_renormalised_weights_have_the_mean_1_over_the_rows_trained_on(fresh, scored):
    weights = WEIGHTS["weighting"].model_copy(update={"renormalise": True})
    found = [example.weight for example in data_of(fresh, weights, train_rows=5).examples]
    chosen = stratified_subset(scored[scored["split"] == "train"], 5, FINETUNE.subset_seed)
    plain = pair_weights(chosen, WEIGHTS["weighting"])
    assert found == pytest.approx(plain / plain.mean())


@pytest.mark.parametrize("renormalise", [False, True])
def test_weights_are_those_of_the_pairs_that_have_room(fresh, scored, renormalise):
    """Left out before they are weighed, pairs do not count in the mean or in a placebo."""
    long = [2, 5]
    questions = [f"{q} " * (90 if n in long else 1) for n, q in enumerate(scored["question"])]
    scored.assign(question=questions).to_parquet("data/scored/pairs.parquet", index=False)
    own = WEIGHTS["weighting"].model_copy(update={"renormalise": renormalise})
    placebo = own.model_copy(update={"permute": 5})
    weights, permuted = data_of(fresh, own), data_of(fresh, placebo)
    assert weights.left_out == permuted.left_out == [f"row-{number}" for number in long]
    expected = pair_weights(scored[scored["split"] == "train"].drop(long), WEIGHTS["weighting"])
    expected = expected / expected.mean() if renormalise else expected
    assert [example.weight for example in weights.examples] == pytest.approx(expected)
    found = [example.weight for example in permuted.examples]
    assert sorted(found) == sorted(example.weight for example in weights.examples)
    assert found != [example.weight for example in weights.examples]
    assert [example.id for example in permuted.examples] == [example.id for example in weights.examples]


def test_adapter_repeats_to_the_last_byte(fresh, project):
    torch.manual_seed(12345)
    finetune("gpt2", "weighting")
    for name in ("adapter_model.safetensors", "adapter_config.json", "README.md"):
        again = fresh / "models" / "weighting" / "gpt2" / str(SEED) / name
        assert (
            again.read_bytes()
            == (project / "models" / "weighting" / "gpt2" / str(SEED) / name).read_bytes()
        ), name


def test_pairs_without_room_for_an_answer_are_left_out_and_named(fresh, scored, capsys):
    long = (3, FIRST_VALID + 1)
    questions = [f"{q} " * (30 if n in long else 1) for n, q in enumerate(scored["question"])]
    scored = scored.assign(question=questions)
    scored.to_parquet("data/scored/pairs.parquet", index=False)
    found = data_of(fresh)
    assert (len(found.examples), found.left_out) == (TRAIN - 1, ["row-3"])
    kept = [number for number in range(FIRST_VALID, FIRST_VALID + VALID) if number not in long]
    assert [example.id for example in found.valid.examples] == [f"row-{number}" for number in kept]
    assert found.valid.severities == scored["severity"][kept].tolist()
    capsys.readouterr()
    finetune("gpt2", "uniform", epochs=1)
    said = capsys.readouterr().out
    assert f"1 of {TRAIN} pairs" in said
    assert re.findall(r"row-\d+", said) == ["row-3"]
    assert scored["question"][3][:20] not in said, "patients' text is not printed"
    facts = facts_of(fresh, "gpt2", "uniform")
    assert (facts["left_out"], facts["pairs"], facts["valid"]["pairs"]) == (["row-3"], TRAIN - 1, VALID - 1)


@pytest.mark.parametrize("missing", ["data/scored/pairs.parquet", "models/base/gpt2"])
@pytest.mark.parametrize("stage", ["finetune", "evaluate"])
def test_missing_input_is_named(missing, stage, fresh):
    path = fresh / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(WaznError, match=rf"^{missing}: no .*dvc repro"):
        finetune("gpt2", "uniform") if stage == "finetune" else evaluate("gpt2", "base")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["gone", "cut off"])
def test_damaged_base_model_is_named(file, damage, fresh):
    path = fresh / "models" / "base" / "gpt2" / file
    content = path.read_bytes()
    path.unlink()
    if damage == "cut off":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WaznError, match=r"^models/base/gpt2: ") as caught:
        finetune("gpt2", "uniform")
    assert "\n" not in str(caught.value)


def test_no_usable_training_pair_is_one_sentence(fresh):
    with pytest.raises(WaznError, match=r"pairs.parquet: no training pair .*max_length = 16"):
        finetune("gpt2", "uniform", max_length=16)


# ---- evaluate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("run", ["base", *WEIGHTS])
def test_evaluate_writes_every_metric(architecture, run, project):
    found = metrics_of(project, architecture, run)
    assert found.keys() >= METRICS
    assert all(isinstance(found[name], float) for name in METRICS)
    assert 0 <= found["bertscore_f1"] <= 1
    assert 0 <= found["rouge_l"] <= 1
    assert 0 <= found["chrf"] <= 100
    assert found["rows"] == TEST
    assert sum(found["rows_by_severity"].values()) == TEST
    assert found["bertscore_encoder"] == "tiny_bert, layer 1"
    assert found["decoding"] == "greedy"
    rows = generated_of(project, architecture, run)
    assert tuple(rows.columns) == COLUMNS
    assert rows.drop(columns="severity_human").notna().all(axis=None)
    for name in ("bertscore_precision", "bertscore_recall", "bertscore_f1", "rouge_l", "repetition"):
        assert rows[name].between(0, 1).all(), name


@pytest.mark.parametrize("run", ["base", *WEIGHTS])
def test_evaluate_keeps_each_test_row_in_order(run, project, scored):
    found, test = generated_of(project, "gpt2", run), scored[scored["split"] == "test"]
    assert found["id"].tolist() == test["id"].tolist()
    assert found["severity"].tolist() == test["severity"].tolist()
    assert found["generated"].map(type).eq(str).all()


@pytest.mark.parametrize("run", ["base", *WEIGHTS])
def test_metrics_are_the_means_of_the_rows(run, project):
    found, rows = metrics_of(project, "qwen2", run), generated_of(project, "qwen2", run)
    for name in ("bertscore_f1", "chrf", "rouge_l"):
        assert found[name] == pytest.approx(rows[name].mean()), name
    assert found["nll"] == pytest.approx(rows["nll_sum"].sum() / rows["answer_tokens"].sum())
    for severity, group in rows.groupby("severity"):
        expected = group["nll_sum"].sum() / group["answer_tokens"].sum()
        assert found[f"nll_{severity}"] == pytest.approx(expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fine_tuning_makes_the_references_more_likely(architecture, project):
    base = metrics_of(project, architecture, "base")["nll"]
    for arm in WEIGHTS:
        assert metrics_of(project, architecture, arm)["nll"] < base - 0.05


def test_likelihood_is_that_of_the_very_row(project, scored):
    """The first test row by hand: its question, its answer, its tokens."""
    base = project / "models" / "base" / "gpt2"
    tokenizer, model = load_tokenizer(base), load_decoder(base, torch.float32, 8)
    row = scored[scored["split"] == "test"].iloc[0]
    start = tokenizer(f"\n{row.question}\n\nالاجابة:\n")["input_ids"]
    answer = [*tokenizer(row.answer)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        found = model(torch.tensor([[*start, *answer]])).logits[0, len(start) - 1 : -1]
    expected = torch.nn.functional.cross_entropy(found, torch.tensor(answer), reduction="sum")
    measured = generated_of(project, "gpt2", "base").iloc[0]
    assert measured["nll_sum"] == pytest.approx(expected.item(), rel=1e-5)
    assert measured["answer_tokens"] == len(answer)
    assert measured["answer_bytes"] == len(row.answer.encode())


def test_bytes_are_of_the_tokens_that_were_scored(fresh, scored):
    """Room for three answer tokens of the longest prompt."""
    test = scored[scored["split"] == "test"]
    tokenizer = load_tokenizer(fresh / "models" / "base" / "gpt2")
    lengths = [len(encode_prompt(tokenizer, question)) for question in test["question"]]
    evaluate("gpt2", "base", max_length=max(lengths) + 3)
    rows = generated_of(fresh, "gpt2", "base")
    for row, answer, length in zip(rows.itertuples(), test["answer"], lengths, strict=True):
        room = max(lengths) + 3 - length
        tokens = tokenizer(answer)["input_ids"]
        assert row.answer_tokens == min(len(tokens) + 1, room)
        kept = tokenizer.decode(tokens[:room]).rstrip("\ufffd")
        assert row.answer_bytes == len(kept.encode())
    assert rows["answer_bytes"].tolist() != [len(answer.encode()) for answer in test["answer"]]


def test_answers_that_a_limit_ended_are_marked(fresh, project):
    whole = generated_of(project, "gpt2", "base")
    assert whole["cut_off"].isin([0, 1]).all()
    evaluate("gpt2", "base", max_new_words=1)
    rows = generated_of(fresh, "gpt2", "base")
    first = [" ".join(answer.split()[:1]) for answer in whole["generated"]]
    assert rows["generated"].tolist() == first
    longer = whole["generated"].str.split().str.len() > 1
    assert longer.any()
    assert rows["cut_off"].tolist() == (longer | whole["cut_off"].eq(1)).astype(int).tolist()


def loaded(monkeypatch):
    """The number types in which `evaluate` loads a model from now on."""
    dtypes = []

    def noted(model, arm, seed, dtype, *others):
        dtypes.append(dtype)
        return load_trained(model, arm, seed, dtype, *others)

    monkeypatch.setattr(answering, "load_trained", noted)
    return dtypes


def test_likelihood_is_in_float32_whatever_the_number_type_of_answers(fresh, project, monkeypatch):
    shutil.copytree(project / "models" / "weighting", fresh / "models" / "weighting")
    dtypes = loaded(monkeypatch)
    evaluate("qwen2", "weighting", dtype="bfloat16", max_new_tokens=2)
    assert dtypes == [torch.float32, torch.bfloat16]
    found, exact = (generated_of(folder, "qwen2", "weighting") for folder in (fresh, project))
    assert found["nll_sum"].tolist() == exact["nll_sum"].tolist()
    assert found["generated"].map(type).eq(str).all()


def test_model_in_float32_is_loaded_once(fresh, monkeypatch):
    dtypes = loaded(monkeypatch)
    evaluate("gpt2", "base", max_new_tokens=1)
    assert dtypes == [torch.float32]


def test_what_is_measured_is_that_of_the_very_row(project, scored):
    rows = generated_of(project, "gpt2", "weighting")
    answers = list(rows["generated"])
    references = list(scored[scored["split"] == "test"]["answer"])
    assert rows["empty"].tolist() == [int(not answer) for answer in answers]
    assert rows["words"].tolist() == word_counts(answers)
    assert rows["repetition"].tolist() == repetition(answers)
    assert rows["chrf"].tolist() == chrf(answers, references)
    assert rows["rouge_l"].tolist() == rouge_l(answers, references)
    spoken = [index for index, answer in enumerate(answers) if answer]
    direct = BERTScorer(
        model_type=str(project / "models" / "base" / "tiny_bert"), num_layers=1, device="cpu"
    )
    expected = direct.score([answers[i] for i in spoken], [references[i] for i in spoken])
    for name, values in zip(("precision", "recall", "f1"), expected, strict=True):
        found = rows[f"bertscore_{name}"][spoken].tolist()
        assert found == pytest.approx(values.tolist(), abs=1e-6), name


def test_specialty_is_passed_on_where_the_pairs_have_it(fresh, scored):
    names = ["قلب", None, "عيون"] * len(scored)
    scored.assign(specialty=names[: len(scored)]).to_parquet("data/scored/pairs.parquet", index=False)
    evaluate("gpt2", "base")
    rows = generated_of(fresh, "gpt2", "base")
    assert tuple(rows.columns) == COLUMNS
    expected = [name or "" for name in names[TRAIN : TRAIN + TEST]]
    assert rows["specialty"].fillna("").tolist() == expected


def test_the_papers_decoding_is_drawn_with_its_seed(fresh, project):
    """Not the same as greedy, and the same again whatever the batches."""

    def answers(**changes):
        evaluate("gpt2", "base", embedded=True, decoding="paper", **changes)
        return generated_of(fresh, "gpt2", "base")["generated"].tolist()

    embed()
    first = answers()
    assert first != generated_of(project, "gpt2", "base")["generated"].tolist()
    assert answers(resources=EVALUATE_RESOURCES.model_copy(update={"batch_size": 1})) == first
    assert answers(seed=4) != first
    assert metrics_of(fresh, "gpt2", "base")["decoding"] == "paper"


def test_only_as_many_test_pairs_as_asked_for_are_embedded(fresh):
    embed(test_rows=4)
    note = json.loads((fresh / "data/references/references.json").read_text(encoding="utf-8"))
    assert note["rows"] == len(note["tokens"]) == 4
    states = np.load(fresh / "data/references/states.npy")
    assert states.shape[0] == sum(note["tokens"])
    assert np.abs(states).sum(axis=1).min() > 0
    assert (note["encoder"], note["layer"]) == ("tiny_bert", 1)


@pytest.mark.parametrize("stage", ["embed_references", "evaluate"])
def test_no_test_pair_is_one_sentence(stage, fresh, scored):
    scored[scored["split"] != "test"].to_parquet("data/scored/pairs.parquet", index=False)
    with pytest.raises(WaznError, match=r"^data/scored/pairs.parquet: no test pair; raise normalise.split"):
        embed() if stage == "embed_references" else evaluate("gpt2", "base", embedded=True)


def test_references_of_other_rows_are_refused_before_anything_is_generated(fresh, monkeypatch):
    embed(test_rows=3)
    monkeypatch.setattr(answering, "generate", pytest.fail)
    with pytest.raises(WaznError, match=r"references.json: .*rows_sha256 .*embed_references"):
        evaluate("gpt2", "base", embedded=True)


def test_evaluating_without_embedded_references_names_them(fresh):
    with pytest.raises(WaznError, match=r"^data/references/references.json: no such file; run `dvc repro`"):
        evaluate("gpt2", "base", embedded=True)


@pytest.mark.parametrize("run", WEIGHTS)
def test_evaluating_without_the_adapter_names_its_folder(run, fresh):
    with pytest.raises(WaznError, match=rf"^models/{run}/gpt2/17: no adapter"):
        evaluate("gpt2", run)


def test_evaluating_again_writes_the_same(fresh, project):
    evaluate("qwen2", "base")
    assert metrics_of(fresh, "qwen2", "base") == metrics_of(project, "qwen2", "base")
    pd.testing.assert_frame_equal(
        generated_of(fresh, "qwen2", "base"), generated_of(project, "qwen2", "base"), check_exact=True
    )


def test_severity_without_a_test_row_has_no_likelihood(fresh, scored):
    scored = scored.assign(severity=scored["severity"].replace("critical", "neutral"))
    scored.to_parquet("data/scored/pairs.parquet", index=False)
    evaluate("gpt2", "base")
    found = metrics_of(fresh, "gpt2", "base")
    assert found["nll_critical"] is None
    assert np.isfinite([found["nll"], found["nll_neutral"], found["nll_non_critical"]]).all()


def test_test_rows_takes_a_stratified_choice_and_leaves_out_what_has_no_room(fresh, scored, capsys):
    chosen = stratified_subset(scored[scored["split"] == "test"], 4, EVALUATE.seed)
    long = chosen.index[1]
    questions = [f"{q} " * (90 if n == long else 1) for n, q in enumerate(scored["question"])]
    scored.assign(question=questions).to_parquet("data/scored/pairs.parquet", index=False)
    evaluate("gpt2", "base", test_rows=4)
    expected = chosen["id"].drop(long).tolist()
    assert generated_of(fresh, "gpt2", "base")["id"].tolist() == expected
    assert metrics_of(fresh, "gpt2", "base")["rows"] == 3
    assert f"row-{long}" in capsys.readouterr().out


@pytest.mark.parametrize("run", ["base", "weighting"])
def test_validation_pairs_have_their_likelihood(run, project, scored):
    """Of the base model too; that of a training is what its last step saw."""
    valid = metrics_of(project, "gpt2", run)["valid"]
    assert valid["pairs"] == VALID
    severities = set(scored[scored["split"] == "valid"]["severity"])
    for severity in ("critical", "neutral", "non_critical"):
        assert (valid[f"nll_{severity}"] is not None) == (severity in severities)
    if run != "base":
        path = project / f"metrics/finetune/{run}/gpt2/{SEED}.json"
        facts = json.loads(path.read_text(encoding="utf-8"))
        assert valid["nll"] == pytest.approx(facts["valid"]["nll"], rel=1e-4)


def test_validation_rows_are_a_choice_and_change_nothing_of_the_test_rows(fresh, project, scored):
    evaluate("gpt2", "base", valid_rows=2)
    assert metrics_of(fresh, "gpt2", "base")["valid"]["pairs"] == 2
    pd.testing.assert_frame_equal(
        generated_of(fresh, "gpt2", "base"), generated_of(project, "gpt2", "base"), check_exact=True
    )
    scored[scored["split"] != "valid"].to_parquet("data/scored/pairs.parquet", index=False)
    evaluate("gpt2", "base")
    assert metrics_of(fresh, "gpt2", "base")["valid"] == {"pairs": 0}


def test_no_usable_test_pair_is_one_sentence(fresh):
    with pytest.raises(WaznError, match=r"pairs.parquet: no test pair .*max_length"):
        evaluate("gpt2", "base", max_length=16)
