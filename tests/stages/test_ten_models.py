"""The paper's ten models, minute, as the Hub holds them, through base_model, finetune and evaluate."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from architectures import (
    ARCHITECTURES,
    DTYPES,
    KEYS,
    LFM2_LAYERS,
    PICKLED,
    SPARE,
    hub_folder,
    random_model,
)
from commands import paper_params
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, GenerationConfig

from pipeline.base_models.fetch import fetch
from pipeline.config.training import AdapterConfig
from pipeline.evaluation.generation import generate
from pipeline.models.budgets import Budget
from pipeline.models.lora import add_lora
from pipeline.models.prompt import ANSWER_CUE, encode, encode_prompt
from pipeline.models.runtime import load_decoder, load_tokenizer
from pipeline.models.trained import add_adapter, load_trained
from pipeline.stages import base_model as base_model_stage
from pipeline.stages import embed_references as embed_stage
from pipeline.stages import evaluate as evaluate_stage
from pipeline.stages import finetune as finetune_stage
from pipeline.training.batching import collate
from pipeline.training.objective import answer_loss

PARAMS = paper_params()
ARMS = ("uniform", "weighting")
SEED = 17
TRAIN, VALID, TEST = 8, 6, 6
EPOCHS, BATCH = 2, 4
STEPS = EPOCHS * TRAIN // BATCH
FINETUNE = PARAMS.finetune.model_copy(
    update={
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "dtype": "float32",
        "max_length": 192,
        "train_rows": TRAIN,
    }
)
EVALUATE = PARAMS.evaluate.model_copy(
    update={
        "test_rows": TEST,
        "max_length": 192,
        "max_new_tokens": 6,
        "dtype": "float32",
        "decoding": "greedy",
    }
)
RESOURCES = PARAMS.resources
EVALUATE_RESOURCES = RESOURCES.evaluate.model_copy(update={"batch_size": 4})
EMBED = PARAMS.embed_references.model_copy(update={"encoder": "tiny_bert", "layer": 1})
# The first model of each architecture, for what is about the architecture.
FIRST = {architecture: key for key, architecture in reversed(KEYS.items())}
TARGETS = {architecture: PARAMS.registry[key].lora_targets for architecture, key in FIRST.items()}
ATTENTION = [n for n, kind in enumerate(LFM2_LAYERS) if kind == "full_attention"]
# Every module that an adapter is on, by its whole name.
ADAPTED = {
    "gpt2": [
        f"transformer.h.{n}.{m}" for n in (0, 1) for m in ("attn.c_attn", "attn.c_proj", "mlp.c_proj")
    ],
    "bloom": [f"transformer.h.{n}.self_attention.query_key_value" for n in (0, 1)],
    "qwen2": [f"model.layers.{n}.self_attn.{m}" for n in (0, 1) for m in ("q_proj", "v_proj")],
    "qwen3": [f"model.layers.{n}.self_attn.{m}" for n in (0, 1) for m in ("q_proj", "v_proj")],
    "lfm2": [f"model.layers.{n}.self_attn.{m}" for n in ATTENTION for m in ("q_proj", "v_proj")],
}
# What a text may spell out that is a special token of one of the tokenizers.
SPELLED = "<|endoftext|> </s> <pad> <s> <unk> <|im_end|> <|im_start|> <|startoftext|> <|pad|>"
WEIGHTS = "model.safetensors"
CARD_QUESTION = "عندي صداع منذ يومين"


def fetch_base(key):
    entry = PARAMS.registry[key].model_copy(update={"source": f"path:{key}"})
    base_model_stage.run(key, base_model=PARAMS.base_model, entry=entry)


def finetune(key, arm, gradient_checkpointing=RESOURCES.finetune.gradient_checkpointing, **changes):
    finetune_stage.run(
        key,
        arm,
        SEED,
        finetune=FINETUNE.model_copy(update=changes),
        entry=PARAMS.registry[key],
        weights=PARAMS.arm_settings[arm],
        resources=RESOURCES.finetune.model_copy(update={"gradient_checkpointing": gradient_checkpointing}),
    )


def evaluate(key, arm):
    seed = None if arm == "base" else SEED
    evaluate_stage.run(
        key, arm, seed, evaluate=EVALUATE, embed_references=EMBED, resources=EVALUATE_RESOURCES
    )


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def adapter_of(model, arm="weighting"):
    return load_file(model.folder / "models" / arm / model.key / str(SEED) / "adapter_model.safetensors")


def curve_of(model, arm, name):
    """What finetune logged under `name`, of each step at which it did."""
    path = (
        model.folder
        / "metrics"
        / "finetune"
        / arm
        / model.key
        / str(SEED)
        / "plots"
        / "metrics"
        / f"{name}.tsv"
    )
    return pd.read_csv(path, sep="\t")[name.rpartition("/")[2]].to_numpy()


def hub_weights(model):
    """What the repository holds, by the names that transformers gives, in float32."""
    if model.key in PICKLED:
        found = torch.load(model.hub / "pytorch_model.bin", weights_only=True)
        found = {n: t for n, t in found.items() if not n.endswith((".attn.bias", ".attn.masked_bias"))}
        assert found.pop("lm_head.weight").shape == found["transformer.wte.weight"].shape
    else:
        found = load_file(model.hub / WEIGHTS)
    prefix = "transformer." if model.architecture == "bloom" else ""
    return {prefix + name: tensor.float() for name, tensor in found.items()}


@pytest.fixture(scope="module")
def project(built, scored_table):
    """Make a folder a project with scored pairs of every split and the encoder of BERTScore."""
    table = scored_table(TRAIN + VALID, TEST)
    table.loc[TRAIN : TRAIN + VALID - 1, "split"] = "valid"

    def make(root):
        (root / "data" / "scored").mkdir(parents=True)
        table.to_parquet(root / "data" / "scored" / "pairs.parquet", index=False)
        (root / "models" / "base").mkdir(parents=True)
        (root / "models" / "base" / "tiny_bert").symlink_to(built("modernbert"))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            embed_stage.run(
                embed_references=EMBED,
                test_rows=TEST,
                test_seed=EVALUATE.seed,
                resources=EVALUATE_RESOURCES,
            )
        return root

    return make


@pytest.fixture(scope="module")
def folder(project, tmp_path_factory):
    return project(tmp_path_factory.mktemp("ten"))


# Every day one model of each architecture.
EVERY = [key if key in FIRST.values() else pytest.param(key, marks=pytest.mark.slow) for key in KEYS]


@pytest.fixture(scope="module", params=EVERY)
def model(request, folder):
    """One of the ten after every stage, with the digests that its base had before it was fine-tuned."""
    key = request.param
    hub, base = folder / PARAMS.base_model.folder / key, folder / "models" / "base" / key
    hub_folder(key, hub)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fetch_base(key)
        before = digests(base)
        evaluate(key, "base")
        for arm in ARMS:
            finetune(key, arm)
        evaluate(key, "weighting")
    return SimpleNamespace(
        key=key, architecture=KEYS[key], folder=folder, hub=hub, base=base, before=before
    )


@pytest.fixture(scope="module")
def tokenizer(model):
    return load_tokenizer(model.base)


def test_these_are_the_models_of_the_profile():
    assert list(KEYS) == PARAMS.models
    assert set(FIRST) == set(ARCHITECTURES) == {"gpt2", "bloom", "qwen2", "qwen3", "lfm2"}


# ---- base_model -----------------------------------------------------------------------------------


def test_base_holds_safetensors_and_no_pickle(model):
    names = set(model.before)
    assert {WEIGHTS, "config.json", "tokenizer_config.json", "source.json"} <= names
    assert all(name.endswith((".safetensors", ".json", ".txt", ".jinja")) for name in names), names
    expected = DTYPES.get(model.key, torch.float32)
    assert {tensor.dtype for tensor in load_file(model.base / WEIGHTS).values()} == {expected}


def test_base_has_the_repositorys_weights_and_its_embedding_tied(model):
    decoder = load_decoder(model.base, torch.float32, FINETUNE.max_length)
    assert decoder.config.model_type == model.architecture
    found, expected = decoder.state_dict(), hub_weights(model)
    assert found.keys() == expected.keys() | {"lm_head.weight"}
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    assert decoder.get_output_embeddings().weight is decoder.get_input_embeddings().weight
    assert not [name for name in load_file(model.base / WEIGHTS) if "lm_head" in name]


# ---- finetune -------------------------------------------------------------------------------------


def test_adapters_are_on_the_entrys_modules_and_on_no_other(model):
    found = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in adapter_of(model)}
    assert found == set(ADAPTED[model.architecture])
    settings = (
        model.folder / "models" / "weighting" / model.key / str(SEED) / "adapter_config.json"
    ).read_text()
    assert json.loads(settings)["target_modules"] == sorted(PARAMS.registry[model.key].lora_targets)
    assert json.loads(settings)["fan_in_fan_out"] == (model.architecture == "gpt2")


@pytest.mark.parametrize("arm", ARMS)
def test_every_adapter_has_learnt(arm, model):
    for name, tensor in adapter_of(model, arm).items():
        assert tensor.isfinite().all(), name
        assert tensor.any(), name  # B starts as 0


@pytest.mark.parametrize("arm", ARMS)
def test_loss_curve_is_finite_and_positive(arm, model):
    for name, rows in (("train/loss", STEPS), ("train/gradient_norm", STEPS), ("valid/nll", None)):
        values = curve_of(model, arm, name)
        assert len(values) == (rows or len(values)) > 0
        assert np.isfinite(values).all()
        assert (values > 0).all()


def test_severity_changes_what_is_learnt(model):
    weighted, uniform = adapter_of(model), adapter_of(model, "uniform")
    assert any(not torch.equal(weighted[name], uniform[name]) for name in weighted)


def test_base_is_left_as_it_was(model):
    assert digests(model.base) == model.before


# ---- evaluate -------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["base", "weighting"])
def test_every_metric_is_finite(run, model):
    name = "base" if run == "base" else SEED
    path = model.folder / "metrics" / "evaluate" / run / model.key / f"{name}.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    numbers = {name: value for name, value in found.items() if name.startswith(("nll", "bert"))}
    numbers = {**numbers, "chrf": found["chrf"], "rouge_l": found["rouge_l"]}
    del numbers["bertscore_encoder"]
    assert {"nll", "nll_critical", "nll_neutral", "nll_non_critical", "bertscore_f1"} <= numbers.keys()
    assert np.isfinite(list(numbers.values())).all(), numbers
    assert found["rows"] == TEST


def test_likelihood_is_that_of_the_whole_model_read_alone(model, tokenizer):
    """The first test row through the model's own forward, its tokens put together by hand."""
    row = (
        pd.read_parquet(model.folder / "data" / "scored" / "pairs.parquet").query("split == 'test'").iloc[0]
    )
    start = tokenizer(f"\n{row.question}\n\n{ANSWER_CUE}\n")["input_ids"]
    answer = [*tokenizer(row.answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    decoder = load_decoder(model.base, torch.float32, FINETUNE.max_length)
    decoder = add_adapter(
        decoder, model.folder / "models" / "weighting" / model.key / str(SEED), merge=True
    )
    with torch.no_grad():
        logits = decoder(torch.tensor([[*start, *answer]])).logits[0, len(start) - 1 : -1]
    expected = cross_entropy(logits, torch.tensor(answer), reduction="sum")
    path = model.folder / "data" / "generated" / "weighting" / model.key / f"{SEED}.parquet"
    measured = pd.read_parquet(path).iloc[0]
    assert measured["nll_sum"] == pytest.approx(expected.item(), rel=1e-5)
    assert measured["answer_tokens"] == len(answer)


# ---- the prompt in each tokenizer -----------------------------------------------------------------


def test_tokenizer_is_the_repositorys(model, tokenizer):
    """Its special tokens are its own, and it reads as many tokens as the embedding has, less the spare."""
    special = {
        "gpt2": ("<|endoftext|>", "<|endoftext|>", None),
        "bloom": ("<s>", "</s>", "<pad>"),
        "qwen2": (None, "<|endoftext|>", "<|endoftext|>"),
        "qwen3": (None, "<|im_end|>", "<|endoftext|>"),
        "lfm2": ("<|startoftext|>", "<|im_end|>", "<|pad|>"),
    }[model.architecture]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == special
    config = json.loads((model.base / "config.json").read_text(encoding="utf-8"))
    assert len(tokenizer) + SPARE[model.architecture] == config["vocab_size"]


def test_prompt_is_open_and_starts_with_bos_where_the_tokenizer_adds_one(model, tokenizer, pairs):
    for question, _ in pairs:
        tokens = encode_prompt(tokenizer, question)
        written = f"\n{question}\n\n{ANSWER_CUE}\n"
        spoken = tokenizer(written, add_special_tokens=False)["input_ids"]
        if model.architecture == "lfm2":
            assert tokens == [tokenizer.bos_token_id, *spoken]
        else:
            assert tokens == spoken
        assert not {tokenizer.eos_token_id, tokenizer.pad_token_id} & set(tokens)
        assert tokenizer.decode(spoken) == written


def test_answer_is_closed_by_end_of_text_and_padding_is_no_label(tokenizer, pairs):
    examples = [encode(tokenizer, "row", *pair, weight=1.0, max_length=192) for pair in pairs]
    batch = collate(examples)
    for row, (pair, example) in enumerate(zip(pairs, examples, strict=True)):
        labels = batch.input_ids[row][batch.completion_mask[row]].tolist()
        assert labels == list(example.input_ids[example.prompt_length :])
        assert labels[-1] == tokenizer.eos_token_id
        assert not {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id} & {*labels[:-1]}
        assert tokenizer.decode(labels[:-1]) == pair[1]


def test_special_tokens_that_a_text_spells_out_are_text(tokenizer):
    special = set(tokenizer.all_special_ids)
    start = encode_prompt(tokenizer, SPELLED)
    assert not special & set(start[1:])
    example = encode(tokenizer, "row", SPELLED, SPELLED, 1.0, max_length=500)
    assert not special & set(example.input_ids[len(start) : -1])
    assert tokenizer.decode(example.input_ids[len(start) : -1]) == SPELLED


def test_tokenizer_beside_the_adapter_reads_alike(model, tokenizer, pairs):
    beside = AutoTokenizer.from_pretrained(model.folder / "models" / "weighting" / model.key / str(SEED))
    for name in ("bos_token", "eos_token", "pad_token", "all_special_ids"):
        assert getattr(beside, name) == getattr(tokenizer, name), name
    for question, answer in [*pairs, (SPELLED, SPELLED)]:
        written = [encode(found, "row", question, answer, 1.0, 500) for found in (beside, tokenizer)]
        assert written[0] == written[1]


# ---- the card's lines ------------------------------------------------------------------------------


def printed_by_the_card(folder, monkeypatch, capsys):
    """What the lines in the card of `folder` print, as they stand, run there."""
    monkeypatch.chdir(folder)
    [lines] = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.DOTALL)
    capsys.readouterr()
    exec(compile(lines, "README.md", "exec"), {})
    return capsys.readouterr().out.rstrip("\n")


def talkative(base, tokenizer):
    """Give the model in `base` weights with which its answers wander, over tokens of text only."""
    decoder = load_decoder(base, torch.float32, 8)
    torch.manual_seed(7)
    silent = torch.ones(decoder.config.vocab_size, dtype=torch.bool)
    silent[sorted(set(tokenizer.get_vocab().values()) - set(tokenizer.added_tokens_decoder))] = False
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)
        decoder.get_input_embeddings().weight[silent] = 0
    decoder.save_pretrained(base)


def asked(decoder, tokenizer):
    """What evaluation has a model answer to the card's question, up to the length of the card."""
    start = encode_prompt(tokenizer, CARD_QUESTION)
    limits = {"max_length": len(start), "max_new_tokens": FINETUNE.max_length - len(start)}
    [answer] = generate(
        decoder, tokenizer, [CARD_QUESTION], budget=Budget(1), max_new_words=None, name="test", **limits
    )
    return answer.text


def test_the_cards_lines_answer_in_another_folder_as_evaluation_does(
    model, tokenizer, tmp_path, monkeypatch, capsys
):
    """Also where the answer ends by itself, which models as small as these seldom do."""
    trained, base = Path("models/weighting") / model.key / str(SEED), Path("models/base") / model.key
    for part in (trained, base):
        shutil.copytree(model.folder / part, tmp_path / part)
    monkeypatch.chdir(tmp_path)
    talkative(base, tokenizer)
    decoder = load_trained(model.key, "weighting", SEED, torch.float32, FINETUNE.max_length)
    expected = asked(decoder, tokenizer)
    assert printed_by_the_card(tmp_path / trained, monkeypatch, capsys) == expected
    settings = json.loads(Path("generation_config.json").read_text(encoding="utf-8"))
    assert tokenizer.eos_token_id in settings["eos_token_id"]
    # The token in the middle of the answer becomes an end.
    start = encode_prompt(tokenizer, CARD_QUESTION)
    written = decoder.generate(torch.tensor([start]), generation_config=GenerationConfig(**settings))[0]
    middle = written[(len(start) + len(written)) // 2].item()
    settings["eos_token_id"].append(middle)
    Path("generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    shorter = printed_by_the_card(tmp_path / trained, monkeypatch, capsys)
    assert len(shorter) < len(expected)
    assert expected.startswith(shorter)


def test_what_is_saved_ends_where_training_ends_an_answer(model, tokenizer):
    """GPT2-Small-Arabic's own configuration names the end of other weights (QwenLM/Qwen3#927)."""
    trained = model.folder / "models" / "weighting" / model.key / str(SEED)
    settings = json.loads((trained / "generation_config.json").read_text(encoding="utf-8"))
    own = {"qwen3": ["<|endoftext|>", "<|im_end|>"]}.get(model.architecture, [tokenizer.eos_token])
    assert settings["eos_token_id"] == sorted(tokenizer.convert_tokens_to_ids(own))
    assert settings["do_sample"] is False
    assert settings["max_length"] == FINETUNE.max_length
    said = (trained / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}` ({tokenizer.convert_tokens_to_ids(name)})" in said for name in own)


# ---- every weight trained -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("key", FIRST.values(), ids=FIRST)
def test_full_fine_tuning_moves_every_weight_and_keeps_the_embedding_tied(
    key, project, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(project(tmp_path / "full"))
    hub_folder(key, Path(PARAMS.base_model.folder) / key)
    fetch_base(key)
    finetune(key, "weighting", method="full")
    evaluate(key, "weighting")
    before, after = (
        load_decoder(Path("models") / part, torch.float32, 8)
        for part in (f"base/{key}", f"weighting/{key}/{SEED}")
    )
    assert after.get_output_embeddings().weight is after.get_input_embeddings().weight
    trained = dict(after.named_parameters())
    for name, tensor in before.named_parameters():
        assert trained[name].isfinite().all(), name
        assert not torch.equal(trained[name], tensor), name
    assert "lm_head.weight" not in load_file(Path("models/weighting") / key / str(SEED) / WEIGHTS)
    trained = Path("models/weighting") / key / str(SEED)
    assert not (trained / "adapter_config.json").exists()
    # Alone, in another folder.
    expected = asked(after, load_tokenizer(trained))
    shutil.copytree(trained, tmp_path / "elsewhere")
    assert printed_by_the_card(tmp_path / "elsewhere", monkeypatch, capsys) == expected


@pytest.mark.slow
@pytest.mark.parametrize("key", FIRST.values(), ids=FIRST)
def test_gradient_checkpointing_changes_nothing(key, project, tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path / "checkpointing"))
    hub_folder(key, Path(PARAMS.base_model.folder) / key)
    fetch_base(key)
    found = []
    for again in (True, False):
        finetune(key, "weighting", gradient_checkpointing=again)
        found.append(load_file(Path("models/weighting") / key / str(SEED) / "adapter_model.safetensors"))
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], rtol=1e-4, atol=1e-6)


# ---- pickles of every architecture ----------------------------------------------------------------


@pytest.mark.parametrize("key", FIRST.values(), ids=FIRST)
@pytest.mark.parametrize("names", ["whole", "without prefix"])
def test_pickle_of_any_architecture_is_saved_again_with_every_weight(names, key, tmp_path):
    """As path: models may be: pickled with the tied embedding under both names, or the base model only."""
    hub_folder(key, tmp_path / "hub" / key)
    expected = load_decoder_of(key, tmp_path)
    state = dict(expected.state_dict())
    if names == "without prefix":
        prefix = f"{expected.base_model_prefix}."
        state = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    (tmp_path / "hub" / key / WEIGHTS).unlink(missing_ok=True)
    torch.save(state, tmp_path / "hub" / key / "pytorch_model.bin")
    fetch(f"path:{key}", tmp_path / "again", tmp_path / "hub", decoder=True)
    assert not list((tmp_path / "again").glob("*.bin"))
    found = load_decoder(tmp_path / "again", torch.float32, 8)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert found.get_output_embeddings().weight is found.get_input_embeddings().weight


def load_decoder_of(key, folder):
    fetch(f"path:{key}", folder / "once", folder / "hub", decoder=True)
    return load_decoder(folder / "once", torch.float32, 8)


# ---- in float64 -----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=ARCHITECTURES)
def exact(request, tmp_path_factory):
    """An architecture and its tokenizer."""
    path = tmp_path_factory.mktemp("exact") / request.param
    hub_folder(FIRST[request.param], path)
    return SimpleNamespace(architecture=request.param, tokenizer=load_tokenizer(path))


def adapted(architecture):
    """A random model with adapters that do something."""
    found = add_lora(
        random_model(architecture), TARGETS[architecture], AdapterConfig(r=4, alpha=8.0, dropout=0.0)
    )
    torch.manual_seed(7)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return found.eval()


def loss_of(decoder, batch):
    """Negative log-likelihood of all answers, with gradient; and that of each, without."""
    return answer_loss(decoder, batch, torch.ones(len(batch.input_ids), dtype=torch.float64))


def test_loss_of_a_padded_batch_is_that_of_each_pair_alone(exact, pairs):
    """With its gradients, in float64: neither padding nor positions nor the mask leak in."""
    peft = adapted(exact.architecture)
    decoder = peft.get_base_model()
    examples = [encode(exact.tokenizer, "row", *pair, weight=1.0, max_length=192) for pair in pairs]
    trained = [parameter for parameter in peft.parameters() if parameter.requires_grad]
    total, nll = loss_of(decoder, collate(examples))
    gradients = torch.autograd.grad(total, trained)
    alone = []
    for example in examples:
        tokens = torch.tensor([example.input_ids])
        logits = peft(tokens).logits[0, example.prompt_length - 1 : -1]
        alone.append(cross_entropy(logits, tokens[0, example.prompt_length :], reduction="sum"))
    expected = torch.stack(alone)
    # Bloom computes attention's softmax in float32 whatever the number type.
    near = {"rtol": 1e-5, "atol": 1e-5} if exact.architecture == "bloom" else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(nll, expected.detach(), **near)
    torch.testing.assert_close(total, expected.sum(), **near)
    for found, wanted in zip(gradients, torch.autograd.grad(expected.sum(), trained), strict=True):
        torch.testing.assert_close(found, wanted, **near)
        assert found.abs().max() > 0.01


def test_merged_adapter_gives_the_logits_of_the_trained_one(exact, pairs, tmp_path):
    peft = adapted(exact.architecture)
    tokens = torch.tensor([encode_prompt(exact.tokenizer, pairs[1][0])])
    with torch.no_grad():
        expected, base = peft(tokens).logits, random_model(exact.architecture)(tokens).logits
        peft.save_pretrained(tmp_path)
        found = add_adapter(random_model(exact.architecture), tmp_path, merge=True)(tokens).logits
    assert (expected - base).abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def writer(exact):
    """A random model whose every token is text of the tokenizer.

    Of Bloom in float32: in float64 the mask of a padding position, which may attend to nothing, is -inf
    when its softmax comes, and what the position holds then is not a number.
    """
    dtype = torch.float32 if exact.architecture == "bloom" else torch.float64
    return random_model(exact.architecture, dtype, vocabulary=len(exact.tokenizer))


def test_answers_do_not_depend_on_the_batch(exact, pairs):
    """Padding at the left is neither attended to, nor counted as a position, nor convolved."""
    decoder = writer(exact)
    settings = {"max_length": 192, "max_new_tokens": 12, "max_new_words": None, "name": "test"}
    questions = [question for question, _ in pairs]
    together = generate(decoder, exact.tokenizer, questions, budget=Budget(len(pairs)), **settings)
    alone = generate(decoder, exact.tokenizer, questions, budget=Budget(1), **settings)
    assert together == alone
    assert len(set(alone)) == len(pairs)


def test_answers_are_greedy_by_the_whole_models_logits(exact, pairs):
    """Without a cache: each token is the likeliest after all before it."""
    decoder = writer(exact)
    tokens = encode_prompt(exact.tokenizer, pairs[2][0])
    start = len(tokens)
    with torch.no_grad():
        for _ in range(8):
            tokens.append(decoder(torch.tensor([tokens])).logits[0, -1].argmax().item())
            if tokens[-1] == exact.tokenizer.eos_token_id:
                break
    expected = exact.tokenizer.decode(tokens[start:], skip_special_tokens=True).strip()
    questions = [question for question, _ in pairs[:4]]
    limits = {"max_length": 192, "max_new_tokens": 8, "max_new_words": None}
    answers = generate(decoder, exact.tokenizer, questions, budget=Budget(4), name="test", **limits)
    assert answers[2].text == expected
