"""The severity classifier: a distribution a text, whatever the batch, and able to learn."""

from itertools import permutations

import numpy as np
import pytest
import torch

from pipeline.errors import WaznError
from pipeline.severity.classifier import Classifier
from pipeline.severity.labels import SEVERITIES
from pipeline.training.runtime import deterministic

# Each severity has words of its own, so that a classifier which learns at all learns this.
WORDS = {
    "non_critical": ("حكة", "خفيف", "الجلد", "الفراولة", "سعال"),
    "neutral": ("صداع", "دوخة", "الوقوف", "أنام", "الركبة"),
    "critical": ("نزيف", "شديد", "الصدر", "التنفس", "حاد"),
}
RECIPE = {"epochs": 8, "batch_size": 5, "learning_rate": 0.005, "max_length": 32, "seed": 17}


@pytest.fixture(scope="module")
def toy():
    """Texts and labels by split."""
    pairs = zip(*(permutations(words, 2) for words in WORDS.values()), strict=True)
    rows = [(" ".join(pair), label) for row in pairs for label, pair in zip(WORDS, row, strict=True)]
    splits = {"train": rows[::2], "valid": rows[1::4], "test": rows[3::4]}
    texts = {split: [text for text, _ in rows] for split, rows in splits.items()}
    labels = {split: [label for _, label in rows] for split, rows in splits.items()}
    return texts, labels


@pytest.fixture(scope="module")
def random_bert(built, tmp_path_factory):
    """Folder of a random BERT with a head, its weights of the spread given; seconds teach it something."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(built("bert"))
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}

    def folder(spread):
        path = tmp_path_factory.mktemp("bert")
        tokenizer.save_pretrained(path)
        torch.manual_seed(11)
        config = BertConfig(vocab_size=len(tokenizer), initializer_range=spread, num_labels=3, **shape)
        BertForSequenceClassification(config).save_pretrained(path)
        return path

    return folder


@pytest.fixture(scope="module")
def wide(random_bert):
    """Weights so large that probabilities differ between texts."""
    return Classifier(random_bert(0.3))


@pytest.fixture(scope="module")
def to_train(random_bert):
    return random_bert(0.1)


@pytest.fixture(scope="module")
def trained(to_train, toy):
    deterministic(17)
    classifier = Classifier(to_train)
    classifier.train(*toy, **RECIPE)
    return classifier


@pytest.fixture
def texts(pairs):
    return [text for pair in pairs for text in pair]


def test_rows_are_distributions(wide, texts):
    found = wide.probabilities(texts, batch_size=4, max_length=64)
    assert (found.shape, found.dtype) == ((len(texts), 3), np.float32)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)


def test_probabilities_are_the_models_softmax_in_the_order_of_the_texts(wide, texts):
    found = wide.probabilities(texts, batch_size=4, max_length=64)
    for text, row in zip(texts, found, strict=True):
        with torch.no_grad():
            logits = wide.model(**wide.tokenizer(text, return_tensors="pt")).logits[0]
        np.testing.assert_allclose(row, logits.softmax(dim=-1).numpy(), atol=1e-5)
    assert len({row.round(4).tobytes() for row in found}) > len(texts) // 2, "too alike to tell the order"


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batch_size_does_not_matter(batch_size, wide, texts):
    expected = wide.probabilities(texts, batch_size=7, max_length=64)
    found = wide.probabilities(texts, batch_size=batch_size, max_length=64)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_probabilities_repeat_to_the_last_bit(trained, texts):
    first, second = (trained.probabilities(texts, batch_size=4, max_length=64) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_text_beyond_max_length_does_not_count(wide):
    long = "صداع " * 40
    found = wide.probabilities([long, long + "نزيف شديد"], batch_size=2, max_length=16)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_max_length_beyond_the_models_own_is_no_error(wide):
    assert wide.probabilities(["صداع " * 2000], batch_size=1, max_length=10_000).shape == (1, 3)


def test_head_names_the_severities_in_their_order(built):
    config = Classifier(built("bert")).model.config
    assert [config.id2label[index] for index in range(3)] == list(SEVERITIES)
    assert config.label2id == {severity: index for index, severity in enumerate(SEVERITIES)}


def test_separable_severities_are_learnt(trained, toy):
    texts, labels = toy
    found = trained.probabilities(texts["test"], batch_size=4, max_length=32).argmax(axis=1)
    right = [SEVERITIES[index] == label for index, label in zip(found, labels["test"], strict=True)]
    assert np.mean(right) > 0.9


def test_training_repeats_to_the_last_bit(trained, to_train, toy):
    deterministic(17)
    again = Classifier(to_train)
    again.train(*toy, **RECIPE)
    for name, tensor in trained.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name


def test_epoch_with_the_least_validation_loss_is_kept(to_train, toy):
    """With the validation labels turned about, whoever has learnt is worse than chance, ln 3."""
    texts, labels = toy
    turned = {"non_critical": "critical", "neutral": "non_critical", "critical": "neutral"}
    labels = {**labels, "valid": [turned[label] for label in labels["valid"]]}
    deterministic(17)
    classifier = Classifier(to_train)
    classifier.train(texts, labels, **RECIPE)
    found = classifier.probabilities(texts["valid"], batch_size=4, max_length=32)
    wanted = [SEVERITIES.index(label) for label in labels["valid"]]
    assert -np.log(found[range(len(wanted)), wanted]).mean() < 1.2


def test_saved_classifier_is_loaded_as_it_was(trained, texts, tmp_path):
    trained.save(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".bin", ".pt", ".py")]
    found = Classifier(tmp_path).probabilities(texts, batch_size=4, max_length=64)
    np.testing.assert_array_equal(found, trained.probabilities(texts, batch_size=4, max_length=64))


def test_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(WaznError, match=f"{tmp_path / 'none'}: no model there"):
        Classifier(tmp_path / "none")


def test_folder_without_weights_is_named(built, tmp_path):
    (tmp_path / "config.json").write_bytes((built("bert") / "config.json").read_bytes())
    with pytest.raises(WaznError, match=f"{tmp_path}: transformers cannot load it"):
        Classifier(tmp_path)
