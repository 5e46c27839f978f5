"""BERTScore over stored references, against the package's own scorer."""

import json
import shutil

import numpy as np
import pytest
import torch
from bert_score import BERTScorer
from small_devices import holding

from pipeline.errors import WaznError
from pipeline.evaluation import bertscore
from pipeline.evaluation.bertscore import Encoder, References, store
from pipeline.models.budgets import Budget

SAME = "خذ قسطا من الراحة واشرب الماء"
OTHER = "توجه إلى الطوارئ فورا"
LONG = f"{SAME} " * 200
ANSWERS = [
    SAME,
    "اشرب الماء كثيرا",
    "",
    LONG,
    "take rest",
    "راجع الطبيب اليوم إذا استمر السعال",
    SAME,
    "  ",
]
TEXTS = [SAME, SAME, OTHER, SAME, "take some rest", f"{OTHER} " * 150, OTHER, OTHER]
IDS = [f"row-{number}" for number in range(len(TEXTS))]
SPOKEN = [index for index, answer in enumerate(ANSWERS) if answer.strip()]


@pytest.fixture(scope="module")
def folder(built, tmp_path_factory):
    """A random BERT of three layers that reads 512 tokens, with the minute encoder's tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    path = tmp_path_factory.mktemp("encoder")
    tokenizer = AutoTokenizer.from_pretrained(built("modernbert"))
    tokenizer.save_pretrained(path)
    torch.manual_seed(11)
    shape = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), initializer_range=0.3, pad_token_id=0, **shape)
    BertModel(config).save_pretrained(path)
    return path


def stored(folder, where, layer=2, batch_size=3, texts=TEXTS):
    encoder = Encoder(folder, layer, Budget(batch_size, "texts"))
    store(encoder, IDS[: len(texts)], texts, where)
    return References(where, encoder, IDS[: len(texts)], texts)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_precision_recall_and_f1_are_those_of_the_package(layer, folder, tmp_path):
    """Long texts on either side, equal texts, and empty answers among them."""
    direct = BERTScorer(model_type=str(folder), num_layers=layer, rescale_with_baseline=False, device="cpu")
    assert direct._tokenizer.model_max_length == 512
    assert len(direct._tokenizer(LONG)["input_ids"]) > 512
    expected = np.zeros((len(ANSWERS), 3))
    expected[SPOKEN] = torch.stack(
        direct.score([ANSWERS[i] for i in SPOKEN], [TEXTS[i] for i in SPOKEN]), dim=1
    ).numpy()
    found = stored(folder, tmp_path, layer).score(ANSWERS, range(len(ANSWERS)))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len({tuple(row) for row in expected[SPOKEN].round(4)}) == len(SPOKEN)


def test_layers_differ(folder, tmp_path):
    first, second = (
        stored(folder, tmp_path / str(layer), layer).score(ANSWERS, range(len(ANSWERS))) for layer in (1, 2)
    )
    assert np.abs(first - second)[SPOKEN[1:]].max() > 1e-3


def test_precision_is_of_the_answer_and_recall_of_the_reference(folder, tmp_path):
    """What stands in the reference is right, but not all of it is there."""
    [[precision, recall, f1]] = stored(folder, tmp_path, 1, texts=[f"{SAME} {OTHER}"]).score([SAME], [0])
    assert precision > recall
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_identical_texts_have_1(folder, tmp_path):
    found = stored(folder, tmp_path).score([SAME, LONG.strip()], [0, 0])
    np.testing.assert_allclose(found[0], 1.0, atol=1e-5)
    assert (found[1] < 0.999).all()


def test_answers_without_a_word_have_0(folder, tmp_path):
    assert not stored(folder, tmp_path).score(["", " \n"], [0, 1]).any()


@pytest.mark.parametrize("batch_size", [1, 64])
def test_batch_size_does_not_matter(batch_size, folder, tmp_path):
    expected = stored(folder, tmp_path / "3").score(ANSWERS, range(len(ANSWERS)))
    found = stored(folder, tmp_path / "other", batch_size=batch_size).score(ANSWERS, range(len(ANSWERS)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_does_not_fit_is_encoded_in_smaller_batches(folder, tmp_path, capsys):
    """References as well as answers."""
    expected = stored(folder, tmp_path / "3").score(ANSWERS, range(len(ANSWERS)))
    encoder = Encoder(folder, 2, Budget(64, "texts", "resources.evaluate.bertscore_batch_size"))
    with holding(encoder._model, 1300) as sizes:
        store(encoder, IDS, TEXTS, tmp_path / "small")
        references = References(tmp_path / "small", encoder, IDS, TEXTS)
        found = references.score(ANSWERS, range(len(ANSWERS)))
    assert max(sizes) > 1300
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert "texts at once; goes on with " in capsys.readouterr().out


def test_an_encoder_that_the_memory_does_not_hold_is_not_called_damaged(folder, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(bertscore, "get_model", full)
    with pytest.raises(WaznError, match=f"^{folder}: the memory does not hold this model"):
        Encoder(folder, 2, Budget(64, "texts"))


def test_each_answer_is_compared_with_the_row_that_is_named(folder, tmp_path):
    references = stored(folder, tmp_path)
    every = references.score([OTHER] * len(TEXTS), range(len(TEXTS)))
    rows = [6, 0, 4]
    np.testing.assert_allclose(references.score([OTHER] * 3, rows), every[rows], atol=1e-5)
    assert every[6, 2] > 0.999 > every[0, 2]


def test_references_are_encoded_once(folder, tmp_path, monkeypatch):
    references = stored(folder, tmp_path)
    seen = []
    plain = bertscore.get_bert_embedding
    monkeypatch.setattr(
        bertscore, "get_bert_embedding", lambda texts, *a, **k: seen.extend(texts) or plain(texts, *a, **k)
    )
    references.score(["اشرب", "الماء"], [0, 4])
    assert sorted(seen) == sorted(["اشرب", "الماء"])


def test_encoder_whose_tokenizer_names_no_limit_scores_the_same(folder, tmp_path):
    """As several on the Hub; bert-score would hand its tokenizer a limit of 10^30."""
    other = shutil.copytree(folder, tmp_path / "encoder")
    config = json.loads((other / "tokenizer_config.json").read_text(encoding="utf-8"))
    del config["model_max_length"]
    (other / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    found = stored(other, tmp_path / "a").score(ANSWERS, range(len(ANSWERS)))
    expected = stored(folder, tmp_path / "b").score(ANSWERS, range(len(ANSWERS)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_encoder_in_half_precision_is_computed_in_single(folder, tmp_path):
    from transformers import AutoModel

    other = shutil.copytree(folder, tmp_path / "encoder")
    AutoModel.from_pretrained(folder).to(torch.bfloat16).save_pretrained(other)
    found = stored(other, tmp_path / "a").score([SAME], [0])
    np.testing.assert_allclose(found, 1.0, atol=1e-5)


# ---- what does not fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "named"),
    [("ids", "rows_sha256"), ("texts", "rows_sha256"), ("fewer", "rows_sha256"), ("layer", "layer")],
)
def test_states_of_something_else_are_refused_and_the_stage_is_named(what, named, folder, tmp_path):
    stored(folder, tmp_path)
    ids, texts = list(IDS), list(TEXTS)
    if what == "ids":
        ids[0], ids[1] = ids[1], ids[0]
    elif what == "texts":
        texts[0] = OTHER
    elif what == "fewer":
        ids, texts = ids[:-1], texts[:-1]
    encoder = Encoder(folder, 1 if what == "layer" else 2, Budget(4, "texts"))
    with pytest.raises(WaznError, match=rf"references.json: .*another {named} .*embed_references"):
        References(tmp_path, encoder, ids, texts)


def test_states_of_another_encoder_are_refused(folder, tmp_path):
    from transformers import BertModel

    other = shutil.copytree(folder, tmp_path / folder.name)
    model = BertModel.from_pretrained(other)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[5] += 1
    model.save_pretrained(other)
    stored(folder, tmp_path / "states")
    with pytest.raises(WaznError, match=r"another sha256 .*embed_references"):
        References(tmp_path / "states", Encoder(other, 2, Budget(4, "texts")), IDS, TEXTS)


@pytest.mark.parametrize("file", ["states.npy", "references.json"])
def test_missing_or_damaged_file_is_named(file, folder, tmp_path):
    stored(folder, tmp_path)
    content = (tmp_path / file).read_bytes()
    for damaged in (content[: len(content) // 2], b""):
        (tmp_path / file).write_bytes(damaged)
        with pytest.raises(WaznError, match=rf"{file}: .*dvc repro"):
            References(tmp_path, Encoder(folder, 2, Budget(4, "texts")), IDS, TEXTS)
    (tmp_path / file).unlink()
    with pytest.raises(WaznError, match=rf"{file}: no such file; run `dvc repro`"):
        References(tmp_path, Encoder(folder, 2, Budget(4, "texts")), IDS, TEXTS)


def test_states_of_another_shape_are_refused(folder, tmp_path):
    stored(folder, tmp_path)
    states = np.load(tmp_path / "states.npy")
    for other in (states[:-1], states.ravel(), np.zeros((0, 2)), np.float32(1)):
        np.save(tmp_path / "states.npy", other)
        with pytest.raises(
            WaznError, match=r"states.npy: its shape .* not that of the references; run `dvc repro"
        ):
            References(tmp_path, Encoder(folder, 2, Budget(4, "texts")), IDS, TEXTS)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_damaged_encoder_is_named(file, folder, tmp_path):
    for content in (b"", b"[]", b"{}"):
        other = shutil.copytree(folder, tmp_path / "encoder", dirs_exist_ok=True)
        (other / file).write_bytes(content)
        with pytest.raises(WaznError, match=r"encoder: bert-score cannot load it .* run `dvc repro`"):
            Encoder(other, 2, Budget(4, "texts"))


def test_missing_encoder_is_named_and_not_looked_for_elsewhere(tmp_path):
    with pytest.raises(WaznError, match=r"mbert: no model there; run `dvc repro`"):
        Encoder(tmp_path / "mbert", 2, Budget(4, "texts"))


def test_layer_that_the_encoder_lacks_is_named(folder):
    with pytest.raises(WaznError, match=r"^embed_references.layer: .* fewer than 4 layers"):
        Encoder(folder, 4, Budget(4, "texts"))
