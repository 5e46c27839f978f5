"""finetune and evaluate in a project of their own: what they write, and what they say is missing."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from pipeline.errors import WaznError
from pipeline.params import BertScore, Evaluate, Finetune, Lora, Model, Weights
from pipeline.severity.weights import pair_weights
from pipeline.stages import evaluate as evaluate_stage
from pipeline.stages import finetune as finetune_stage
from pipeline.training.runtime import load_decoder, load_tokenizer

TARGETS = {"gpt2": ["c_attn", "c_proj"], "qwen2": ["q_proj", "v_proj"]}
ARCHITECTURES = tuple(TARGETS)
WEIGHTS = {
    "uniform": Weights(alpha=1.0, beta=1.0, gamma=1.0),
    "weighting": Weights(alpha=0.25, beta=1.0, gamma=1.75),
}
FINETUNE = Finetune(
    lora=Lora(r=4, alpha=8.0, dropout=0.05),
    epochs=8,
    batch_size=4,
    tokens_per_microbatch=1000,
    max_length=300,
    learning_rate=0.02,
    warmup=0.1,
    max_grad_norm=1.0,
    dtype="float32",
    train_rows=None,
    seed=17,
)
EVALUATE = Evaluate(
    test_rows=None,
    batch_size=4,
    max_length=300,
    max_new_tokens=8,
    dtype="float32",
    bertscore=BertScore(encoder="tiny_bert", layer=1, batch_size=8),
)
TRAIN, TEST = 14, 6
METRICS = {
    "bertscore_f1",
    "chrf",
    "rouge_l",
    "nll",
    "nll_critical",
    "nll_neutral",
    "nll_non_critical",
}


def finetune(architecture, loss, **changes):
    entry = Model(title="Tiny", source=f"tiny:{architecture}", lora_targets=TARGETS[architecture])
    settings = FINETUNE.model_copy(update=changes)
    finetune_stage.run(architecture, loss, finetune=settings, entry=entry, weights=WEIGHTS[loss])


def evaluate(architecture, run, **changes):
    evaluate_stage.run(architecture, run, evaluate=EVALUATE.model_copy(update=changes))


def metrics_of(project, architecture, run):
    path = project / "metrics" / "evaluate" / run / f"{architecture}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def generated_of(project, architecture, run):
    return pd.read_parquet(project / "data" / "generated" / run / f"{architecture}.parquet")


def lay_out(folder, built, scored):
    """A project's folder with what finetune and evaluate read."""
    for name, architecture in (("gpt2", "gpt2"), ("qwen2", "qwen2"), ("tiny_bert", "modernbert")):
        shutil.copytree(built(architecture), folder / "models" / "base" / name)
    (folder / "data" / "scored").mkdir(parents=True)
    scored.to_parquet(folder / "data" / "scored" / "pairs.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def scored(scored_table):
    table = scored_table(TRAIN, TEST)
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
            for loss in WEIGHTS:
                finetune(architecture, loss)
                evaluate(architecture, loss)
    return folder


@pytest.fixture
def fresh(built, scored, tmp_path, monkeypatch):
    """A project in which nothing has run, and which the test stands in."""
    monkeypatch.chdir(lay_out(tmp_path / "fresh", built, scored))
    return tmp_path / "fresh"


# ---- finetune -----------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("loss", WEIGHTS)
def test_finetune_writes_adapter_tokenizer_and_card(architecture, loss, project):
    names = {path.name for path in (project / "models" / loss / architecture).iterdir()}
    needed = {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "README.md"}
    assert needed <= names
    assert all(name.endswith((".safetensors", ".json", ".md", ".txt", ".jinja")) for name in names), names
    adapter = load_file(project / "models" / loss / architecture / "adapter_model.safetensors")
    assert all(".lora_A." in name or ".lora_B." in name for name in adapter)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_base_model_is_left_as_it_was(architecture, project, built):
    for path in built(architecture).iterdir():
        assert (project / "models" / "base" / architecture / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("loss", WEIGHTS)
def test_card_says_what_the_model_is_and_is_not(loss, project):
    card = (project / "models" / loss / "gpt2" / "README.md").read_text(encoding="utf-8")
    assert "Not a medical device" in card
    assert "must not be used as medical advice" in card
    assert "tiny:gpt2" in card
    assert f"{TRAIN} Arabic" in card
    assert ("plain cross-entropy" in card) == (loss == "uniform")
    assert ("severity-aware loss" in card) == (loss == "weighting")
    shown = {"uniform": "w = 1 p_non_critical + 1 p_neutral + 1 p_critical"}
    assert shown.get(loss, "w = 0.25 p_non_critical + 1 p_neutral + 1.75 p_critical") in card


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ({"labels": "human"}, "a classifier that is itself often wrong"),
        (
            {"labels": "lexicon"},
            "a classifier that learnt from weak labels: a list of symptom terms, not people, gave them",
        ),
        ({"labels": None}, "the source of the pairs"),
        (None, "the source of the pairs"),
    ],
    ids=["human", "lexicon", "provided", "without a note"],
)
def test_card_says_where_the_severities_come_from(note, said, fresh):
    table = pq.read_table("data/scored/pairs.parquet").replace_schema_metadata(
        {} if note is None else {"wazn": json.dumps(note)}
    )
    pq.write_table(table, "data/scored/pairs.parquet")
    finetune("gpt2", "uniform", epochs=1, train_rows=2)
    card = (fresh / "models" / "uniform" / "gpt2" / "README.md").read_text(encoding="utf-8")
    assert f"Severity probabilities come from {said}." in " ".join(card.split())


@pytest.mark.parametrize("loss", WEIGHTS)
def test_loss_curve_has_a_line_for_each_step(loss, project):
    curve = pd.read_csv(project / "metrics" / "finetune" / loss / "gpt2.csv")
    steps = FINETUNE.epochs * -(-TRAIN // FINETUNE.batch_size)
    assert list(curve.columns) == ["number", "loss", "learning_rate", "epoch"]
    assert curve["number"].tolist() == list(range(1, steps + 1))
    assert curve["loss"].gt(0).all()
    assert curve["epoch"].iloc[-1] == FINETUNE.epochs


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_severity_changes_what_is_learnt(architecture, project):
    uniform, weighted = (
        load_file(project / "models" / loss / architecture / "adapter_model.safetensors")
        for loss in WEIGHTS
    )
    assert uniform.keys() == weighted.keys()
    assert any(not torch.equal(uniform[name], weighted[name]) for name in uniform)


def test_uniform_weights_are_exactly_one(fresh):
    """Plain cross-entropy is not to depend on how a classifier's probabilities are rounded."""
    tokenizer = load_tokenizer(fresh / "models" / "base" / "gpt2")
    found = finetune_stage.training_examples(tokenizer, FINETUNE, WEIGHTS["uniform"])
    assert [example.weight for example in found] == [1.0] * TRAIN


def test_weights_are_those_of_the_rows_own_severity(fresh, scored):
    tokenizer = load_tokenizer(fresh / "models" / "base" / "gpt2")
    found = finetune_stage.training_examples(tokenizer, FINETUNE, WEIGHTS["weighting"])
    train = scored[scored["split"] == "train"]
    expected = dict(zip(train["id"], pair_weights(train, 0.25, 1.0, 1.75), strict=True))
    assert {example.id: example.weight for example in found} == pytest.approx(expected)


def test_train_rows_takes_the_first_training_pairs(fresh):
    tokenizer = load_tokenizer(fresh / "models" / "base" / "gpt2")
    settings = FINETUNE.model_copy(update={"train_rows": 5})
    found = finetune_stage.training_examples(tokenizer, settings, WEIGHTS["uniform"])
    assert [example.id for example in found] == [f"row-{number}" for number in range(5)]


def test_adapter_repeats_to_the_last_byte(fresh, project):
    torch.manual_seed(12345)
    finetune("gpt2", "weighting")
    for name in ("adapter_model.safetensors", "adapter_config.json", "README.md"):
        again = fresh / "models" / "weighting" / "gpt2" / name
        assert again.read_bytes() == (project / "models" / "weighting" / "gpt2" / name).read_bytes(), name


def test_pairs_without_room_for_an_answer_are_left_out_and_named(fresh, scored, capsys):
    scored = scored.assign(
        question=[f"{q} " * (30 if n == 3 else 1) for n, q in enumerate(scored["question"])]
    )
    scored.to_parquet("data/scored/pairs.parquet", index=False)
    tokenizer = load_tokenizer(fresh / "models" / "base" / "gpt2")
    found = finetune_stage.training_examples(tokenizer, FINETUNE, WEIGHTS["uniform"])
    assert len(found) == TRAIN - 1
    said = capsys.readouterr().out
    assert re.findall(r"row-\d+", said) == ["row-3"]
    assert scored["question"][3][:20] not in said, "patients' text is not printed"


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
    for loss in WEIGHTS:
        assert metrics_of(project, architecture, loss)["nll"] < base - 0.05


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


@pytest.mark.parametrize("run", WEIGHTS)
def test_evaluating_without_the_adapter_names_its_folder(run, fresh):
    with pytest.raises(WaznError, match=rf"^models/{run}/gpt2: no adapter"):
        evaluate("gpt2", run)


def test_evaluating_again_writes_the_same(fresh, project):
    evaluate("qwen2", "base", batch_size=4)
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


def test_test_rows_takes_the_first_and_leaves_out_what_has_no_room(fresh, scored, capsys):
    long = TRAIN + 1
    questions = [f"{q} " * (30 if n == long else 1) for n, q in enumerate(scored["question"])]
    scored.assign(question=questions).to_parquet("data/scored/pairs.parquet", index=False)
    evaluate("gpt2", "base", test_rows=4)
    expected = [f"row-{number}" for number in range(TRAIN, TRAIN + 4) if number != long]
    assert generated_of(fresh, "gpt2", "base")["id"].tolist() == expected
    assert metrics_of(fresh, "gpt2", "base")["rows"] == 3
    assert f"row-{long}" in capsys.readouterr().out


def test_no_usable_test_pair_is_one_sentence(fresh):
    with pytest.raises(WaznError, match=r"pairs.parquet: no test pair .*max_length"):
        evaluate("gpt2", "base", max_length=16)
