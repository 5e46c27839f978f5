"""The severity classifier: a distribution a text, whatever the batch, able to learn, and calibrated."""

import shutil
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from small_devices import batch_sizes_on_four_gpus, holding

from pipeline.config.severity import ClassifierConfig
from pipeline.errors import WaznError
from pipeline.models.budgets import Budget
from pipeline.models.runtime import deterministic, on_one_device
from pipeline.severities import SEVERITIES
from pipeline.severity import fine_tuning
from pipeline.severity.calibration import fit_blend, fit_temperature, softmax
from pipeline.severity.classifier import Classifier
from pipeline.severity.ngrams import NgramModel

# Each severity has words of its own, so that a classifier which learns at all learns this.
WORDS = {
    "non_critical": ("حكة", "خفيف", "الجلد", "الفراولة", "سعال"),
    "neutral": ("صداع", "دوخة", "الوقوف", "أنام", "الركبة"),
    "critical": ("نزيف", "شديد", "الصدر", "التنفس", "حاد"),
}
CONFIG = ClassifierConfig(
    encoder="minute",
    epochs=8,
    patience=8,
    batch_size=5,
    learning_rate=0.005,
    class_weights=False,
    word_dropout=0.0,
    ngrams=False,
    max_length=32,
    folds=None,
    critical_recall=0.9,
    seed=17,
)
TURNED = {"non_critical": "critical", "neutral": "non_critical", "critical": "neutral"}


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

    tokenizer = AutoTokenizer.from_pretrained(built("modernbert"))
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
def train(to_train, toy, tmp_path_factory):
    """Trains a classifier; gives it and the epoch kept."""

    def trained(texts=toy[0], labels=toy[1], **changes):
        deterministic(17)
        checkpoints = tmp_path_factory.mktemp("checkpoints")
        classifier = Classifier(to_train)
        epoch = classifier.train(texts, labels, CONFIG.model_copy(update=changes), checkpoints)
        return classifier, epoch

    return trained


@pytest.fixture(scope="module")
def trained(train):
    return train()[0]


@pytest.fixture(scope="module")
def blended(train):
    return train(ngrams=True)[0]


def right(classifier, texts, labels):
    """The share of texts whose most likely severity is theirs."""
    found = classifier.probabilities(texts, Budget(100)).argmax(axis=1)
    return np.mean([SEVERITIES[index] == label for index, label in zip(found, labels, strict=True)])


def weights(classifier):
    return {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}


def equal(first, second):
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.fixture
def texts(pairs):
    return [text for pair in pairs for text in pair]


def test_rows_are_distributions(wide, texts):
    found = wide.probabilities(texts, Budget(100))
    assert (found.shape, found.dtype) == ((len(texts), 3), np.float32)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)


def test_no_texts_have_no_rows(trained, blended):
    for classifier in (trained, blended):
        assert classifier.probabilities([], Budget(100)).shape == (0, 3)


def test_logits_are_the_models_own_in_the_order_of_the_texts(wide, texts):
    found = wide.logits(texts, Budget(100))
    assert found.dtype == np.float64
    for text, row in zip(texts, found, strict=True):
        with torch.no_grad():
            logits = wide.model(**wide.tokenizer(text, return_tensors="pt")).logits[0]
        np.testing.assert_allclose(row, logits.numpy(), atol=1e-4)
    assert len({row.round(4).tobytes() for row in found}) > len(texts) // 2, "too alike to tell the order"


def test_probabilities_are_the_softmax_of_the_logits_over_the_temperature(random_bert, texts):
    classifier = Classifier(random_bert(0.3))
    logits = classifier.logits(texts, Budget(100))
    for temperature in (1.0, 2.5):
        classifier.temperature = temperature
        expected = np.exp(logits / temperature)
        expected /= expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(classifier.probabilities(texts, Budget(100)), expected, atol=1e-6)


@pytest.mark.parametrize("tokens_per_batch", [1, 60, 10_000])
def test_batch_size_does_not_matter(tokens_per_batch, wide, texts):
    expected = wide.probabilities(texts, Budget(100))
    np.testing.assert_allclose(wide.probabilities(texts, Budget(tokens_per_batch)), expected, atol=1e-5)


def test_what_does_not_fit_is_scored_in_smaller_batches(wide, texts, capsys):
    expected, budget = wide.probabilities(texts, Budget(10_000)), Budget(10_000)
    with holding(wide.model, 30) as sizes:
        found = wide.probabilities(texts, budget)
    assert max(sizes) > 30 >= budget.size
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert capsys.readouterr().out.startswith("out of memory with ")


@pytest.mark.parametrize("visible", [0, 1, 4])
def test_trainer_uses_one_device_however_many_are_visible(visible):
    arguments = SimpleNamespace(n_gpu=visible)
    assert on_one_device(arguments)._n_gpu == min(visible, 1)


def test_classifiers_batches_are_as_large_as_asked_for_where_four_gpus_are_visible(
    random_bert, toy, tmp_path, monkeypatch
):
    with batch_sizes_on_four_gpus(fine_tuning, monkeypatch) as sizes:
        Classifier(random_bert(0.3)).train(*toy, CONFIG, tmp_path)
    assert sizes == [CONFIG.batch_size]


def test_probabilities_repeat_to_the_last_bit(blended, texts):
    first, second = (blended.probabilities(texts, Budget(100)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_text_beyond_max_length_does_not_count(random_bert):
    classifier = Classifier(random_bert(0.3))
    classifier.max_length = 16
    long = "صداع " * 40
    assert {len(ids) for ids in classifier.encode([long])} == {16}
    found = classifier.logits([long, long + "نزيف شديد"], Budget(1000))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_max_length_beyond_the_models_own_is_no_error(random_bert):
    classifier = Classifier(random_bert(0.3))
    classifier.max_length = 10_000
    assert classifier.probabilities(["صداع " * 2000], Budget(1)).shape == (1, 3)


def test_head_names_the_severities_in_their_order(built):
    config = Classifier(built("modernbert")).model.config
    assert [config.id2label[index] for index in range(3)] == list(SEVERITIES)
    assert config.label2id == {severity: index for index, severity in enumerate(SEVERITIES)}


def test_fresh_head_is_neither_calibrated_nor_blended(built):
    classifier = Classifier(built("modernbert"))
    assert (classifier.temperature, classifier.ngram_weight, classifier.ngrams) == (1.0, 0.0, None)


# ---- training -----------------------------------------------------------------------------------


def test_separable_severities_are_learnt(trained, blended, toy):
    texts, labels = toy
    assert right(trained, texts["test"], labels["test"]) > 0.9
    assert right(blended, texts["test"], labels["test"]) > 0.9


def test_training_repeats_to_the_last_bit(blended, train, toy):
    again, _ = train(ngrams=True)
    assert equal(weights(blended), weights(again))
    assert (again.temperature, again.ngram_weight) == (blended.temperature, blended.ngram_weight)
    texts = toy[0]["test"]
    assert (
        again.probabilities(texts, Budget(100)).tobytes()
        == blended.probabilities(texts, Budget(100)).tobytes()
    )


def test_another_seed_trains_to_other_weights(trained, train):
    assert not equal(weights(trained), weights(train(seed=18)[0]))


def calibrated_loss(classifier, texts, labels):
    """Log-loss at the temperature that is best for these texts."""
    logits = classifier.logits(texts, Budget(100))
    truth = [SEVERITIES.index(label) for label in labels]
    return log_loss(truth, softmax(logits, fit_temperature(logits, labels)), labels=[0, 1, 2])


def test_no_epoch_has_a_lower_calibrated_validation_loss_than_the_one_kept(train, toy):
    """Each kept epoch of shorter trainings is at most as good; the warm-up is the same for all of them."""
    texts, labels = toy
    noisy = [TURNED[label] if n % 3 == 0 else label for n, label in enumerate(labels["valid"])]
    classifier, epoch = train(labels={**labels, "valid": noisy})
    kept = calibrated_loss(classifier, texts["valid"], noisy)
    assert 1 <= epoch <= CONFIG.epochs
    assert kept < np.log(3)
    assert classifier.temperature == pytest.approx(
        fit_temperature(classifier.logits(texts["valid"], Budget(100)), noisy), rel=1e-3
    )


def test_training_that_gets_no_better_stops_after_the_patience(train, toy):
    """With the validation labels turned about, the first epochs are the best."""
    _, labels = toy
    turned = {**labels, "valid": [TURNED[label] for label in labels["valid"]]}
    _, patient = train(labels=turned, patience=8)
    _, impatient = train(labels=turned, patience=1)
    assert impatient <= patient < CONFIG.epochs


def test_a_classifier_worse_than_chance_is_not_sure_of_itself(train, toy):
    """With the validation labels turned about, whoever has learnt is worse than chance, ln 3."""
    texts, labels = toy
    turned = [TURNED[label] for label in labels["valid"]]
    classifier, _ = train(labels={**labels, "valid": turned})
    found = classifier.probabilities(texts["valid"], Budget(100))
    wanted = [SEVERITIES.index(label) for label in turned]
    assert -np.log(found[range(len(wanted)), wanted]).mean() < 1.2


def test_the_temperature_is_fitted_on_the_validation_split(train, toy):
    texts, labels = toy
    noisy = [TURNED[label] if n % 3 == 0 else label for n, label in enumerate(labels["valid"])]
    classifier, _ = train(labels={**labels, "valid": noisy})
    expected = fit_temperature(classifier.logits(texts["valid"], Budget(100)), noisy)
    assert classifier.temperature == pytest.approx(expected, rel=1e-3)
    assert classifier.temperature != 1.0


def test_class_weights_make_the_rare_severity_count(train, toy):
    """Of texts that say nothing, a model that cannot tell gives each severity its share of the loss."""
    unequal = dict.fromkeys(toy[0], ["critical", *["neutral"] * 3, *["non_critical"] * 6] * 60)
    said_nothing = {split: ["سعال"] * len(rows) for split, rows in unequal.items()}
    shares = {}
    for class_weights in (False, True):
        classifier, _ = train(said_nothing, unequal, class_weights=class_weights, epochs=1, batch_size=20)
        logits = classifier.logits(["سعال"], Budget(100))[0]
        shares[class_weights] = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(shares[False], [0.6, 0.3, 0.1], atol=0.1)
    np.testing.assert_allclose(shares[True], [1 / 3] * 3, atol=0.1)


def test_word_dropout_is_part_of_training_and_only_of_training(trained, train, toy):
    dropped, _ = train(word_dropout=0.5)
    assert not equal(weights(trained), weights(dropped))
    first, second = (dropped.logits(toy[0]["test"], Budget(100)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


# ---- the blend ----------------------------------------------------------------------------------


def test_a_blend_is_the_opinion_pool_of_both_models(blended, toy):
    texts = toy[0]["test"]
    assert blended.ngram_weight > 0
    pooled = blended.logits(texts, Budget(100)) / blended.temperature
    pooled += blended.ngram_weight * blended.ngrams.log_probabilities(texts)
    expected = np.exp(pooled - pooled.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(blended.probabilities(texts, Budget(100)), expected, atol=1e-6)


def test_without_ngrams_there_are_none(trained):
    assert (trained.ngrams, trained.ngram_weight) == (None, 0.0)


def test_the_blend_does_not_change_the_encoder(trained, blended):
    assert equal(weights(trained), weights(blended))


def test_the_weight_of_the_ngrams_is_fitted_before_they_see_the_validation_split(train, toy):
    texts, labels = toy
    noisy = [TURNED[label] if n % 3 == 0 else label for n, label in enumerate(labels["valid"])]
    labels = {**labels, "valid": noisy}
    classifier, _ = train(labels=labels, ngrams=True)
    unseen = NgramModel.fit(texts["train"], labels["train"]).log_probabilities(texts["valid"])
    expected = fit_blend(classifier.logits(texts["valid"], Budget(160)), unseen, labels["valid"])
    assert (classifier.temperature, classifier.ngram_weight) == pytest.approx(expected, rel=1e-3)
    both = NgramModel.fit(texts["train"] + texts["valid"], labels["train"] + labels["valid"])
    np.testing.assert_array_equal(
        classifier.ngrams.log_probabilities(texts["test"]), both.log_probabilities(texts["test"])
    )


# ---- saving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["trained", "blended"])
def test_saved_classifier_is_loaded_as_it_was(kind, request, texts, tmp_path):
    classifier = request.getfixturevalue(kind)
    classifier.save(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".bin", ".pt", ".py", ".pkl")]
    assert (tmp_path / "ngrams.safetensors").is_file() == (kind == "blended")
    again = Classifier(tmp_path)
    for name in ("temperature", "ngram_weight", "max_length", "labels"):
        assert getattr(again, name) == getattr(classifier, name), name
    np.testing.assert_array_equal(
        again.probabilities(texts, Budget(100)), classifier.probabilities(texts, Budget(100))
    )


def test_what_it_learnt_from_is_saved(wide, tmp_path):
    assert wide.labels == "human"
    wide.labels = "lexicon"
    wide.save(tmp_path)
    wide.labels = "human"
    assert Classifier(tmp_path).labels == "lexicon"


def test_missing_ngrams_are_named(blended, tmp_path):
    blended.save(tmp_path)
    (tmp_path / "ngrams.safetensors").unlink()
    with pytest.raises(WaznError, match=rf"^{tmp_path / 'ngrams.safetensors'}: .*dvc repro"):
        Classifier(tmp_path)


def test_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(WaznError, match=f"{tmp_path / 'none'}: no model there"):
        Classifier(tmp_path / "none")


def test_folder_without_weights_is_named(built, tmp_path):
    (tmp_path / "config.json").write_bytes((built("modernbert") / "config.json").read_bytes())
    with pytest.raises(WaznError, match=f"{tmp_path}: transformers cannot load it"):
        Classifier(tmp_path)


# ---- interrupted trainings ----------------------------------------------------------------------


def same(one, other):
    first, second = one.model.state_dict(), other.model.state_dict()
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.fixture
def interrupted(to_train, toy, tmp_path, capsys):
    """Trains in one folder, again and again; gives the classifier, the epoch, and what was printed."""

    def train_on():
        deterministic(17)
        classifier = Classifier(to_train)
        config = CONFIG.model_copy(update={"epochs": 4, "word_dropout": 0.2})
        epoch = classifier.train(*toy[:2], config, tmp_path / "epochs")
        return classifier, epoch, capsys.readouterr().out

    return train_on


def newest(folder):
    return max(folder.glob("checkpoint-*/"), key=lambda path: int(path.name.partition("-")[2]))


def lose(folder):
    shutil.rmtree(newest(folder))


def unmark(folder):
    newest(folder).with_suffix(".sha256").unlink()


def damage(folder):
    path = newest(folder) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_off(folder):
    path = newest(folder) / "optimizer.pt"
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    "fate", [damage, *(pytest.param(fate, marks=pytest.mark.slow) for fate in (lose, unmark, cut_off))]
)
def test_a_training_goes_on_after_the_last_whole_epoch_and_ends_with_the_same_weights(
    fate, interrupted, tmp_path
):
    first, epoch, said = interrupted()
    assert "goes on" not in said
    fate(tmp_path / "epochs")
    again, same_epoch, said = interrupted()
    assert "goes on after step" in said
    assert same_epoch == epoch
    assert same(first, again)


def test_without_a_whole_epoch_it_starts_anew(interrupted, tmp_path):
    first, _, _ = interrupted()
    for mark in (tmp_path / "epochs").glob("*.sha256"):
        mark.unlink()
    again, _, said = interrupted()
    assert "goes on" not in said
    assert same(first, again)
