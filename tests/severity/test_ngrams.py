"""The linear model of character n-grams: what scikit-learn's own pieces make of the same texts."""

import random

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES
from pipeline.severity.calibration import fit_temperature, softmax
from pipeline.severity.ngrams import NgramModel, linear_reference

# Each severity has words of its own, beside some that all have.
WORDS = {
    "non_critical": ("حكة", "خفيف", "الجلد", "الفراولة", "سعال"),
    "neutral": ("صداع", "دوخة", "الوقوف", "أنام", "الركبة"),
    "critical": ("نزيف", "شديد", "الصدر", "التنفس", "حاد"),
}
COMMON = ("عندي", "منذ", "يومين", "في", "طفلي", "بعد", "الأكل")


def drawn(rows, seed):
    """Texts and labels: two words of the severity after nine that all have; words repeat."""
    chance = random.Random(seed)
    labels = [SEVERITIES[number % 3] for number in range(rows)]
    texts = [" ".join(chance.choices(COMMON, k=9) + chance.choices(WORDS[label], k=2)) for label in labels]
    return texts, labels


@pytest.fixture(scope="module")
def fitted():
    return NgramModel.fit(*drawn(90, 1))


def test_probabilities_are_those_of_tfidf_and_logistic_regression_as_scikit_learn_has_them(fitted):
    reference = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        LogisticRegression(max_iter=1000),
    ).fit(*drawn(90, 1))
    # Of texts whose n-grams it has all seen: scikit-learn leaves out what is new, which has no bucket
    # of its own here.
    texts, _ = drawn(60, 1)
    columns = [list(reference.classes_).index(severity) for severity in SEVERITIES]
    expected = reference.predict_proba(texts)[:, columns]
    np.testing.assert_allclose(np.exp(fitted.log_probabilities(texts)), expected, atol=0.01)


def test_separable_severities_of_unseen_texts_are_told_apart(fitted):
    texts, labels = drawn(60, 2)
    found = fitted.log_probabilities(texts).argmax(axis=1)
    assert [SEVERITIES[index] for index in found] == labels


def test_rows_are_log_probabilities(fitted):
    found = fitted.log_probabilities([*drawn(9, 3)[0], "Panadol 500", "ص", ""])
    assert (found.shape, found.dtype) == ((12, 3), np.float64)
    assert found.max() < 0
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, atol=1e-12)


def test_no_texts_have_no_rows(fitted):
    assert fitted.log_probabilities([]).shape == (0, 3)


def test_a_text_has_the_same_row_whatever_stands_beside_it(fitted):
    texts, _ = drawn(20, 4)
    alone = np.concatenate([fitted.log_probabilities([text]) for text in texts])
    np.testing.assert_allclose(fitted.log_probabilities(texts), alone, atol=1e-6)


def test_columns_are_in_the_order_of_the_severities_whatever_that_of_the_rows():
    texts, labels = drawn(90, 1)
    backwards = NgramModel.fit(texts[::-1], labels[::-1])
    for severity, words in WORDS.items():
        row = backwards.log_probabilities([" ".join(words)])[0]
        assert SEVERITIES[row.argmax()] == severity


def test_the_same_rows_give_the_same_model_to_the_last_bit(fitted, tmp_path):
    for name, model in (("first", fitted), ("second", NgramModel.fit(*drawn(90, 1)))):
        model.save(tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_saved_model_is_loaded_as_it_was_and_is_as_small_as_it_says(fitted, tmp_path):
    fitted.save(tmp_path / "ngrams.safetensors")
    texts, _ = drawn(20, 5)
    again = NgramModel.load(tmp_path / "ngrams.safetensors")
    np.testing.assert_array_equal(again.log_probabilities(texts), fitted.log_probabilities(texts))
    assert (tmp_path / "ngrams.safetensors").stat().st_size == pytest.approx(4 * 2**20, rel=0.01)


@pytest.mark.parametrize("damage", ["gone", "empty", "cut off", "no safetensors", "other tensors"])
def test_a_damaged_file_is_one_sentence(fitted, damage, tmp_path):
    path = tmp_path / "ngrams.safetensors"
    fitted.save(path)
    content = path.read_bytes()
    match damage:
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut off":
            path.write_bytes(content[: len(content) // 2])
        case "no safetensors":
            path.write_bytes(b"text " * 100)
        case "other tensors":
            path.write_bytes(content.replace(b'"coefficients"', b'"coefficientX"'))
    with pytest.raises(WaznError, match=rf"^{path}: not readable; run `dvc repro`") as caught:
        NgramModel.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_linear_reference_is_calibrated_on_the_validation_rows_and_then_learns_from_them():
    train, valid, (texts, _) = drawn(90, 1), drawn(30, 2), drawn(12, 3)
    first = NgramModel.fit(*train)
    temperature = fit_temperature(first.log_probabilities(valid[0]), valid[1])
    both = NgramModel.fit(train[0] + valid[0], train[1] + valid[1])
    expected = softmax(both.log_probabilities(texts), temperature)
    np.testing.assert_allclose(linear_reference(*train, *valid, texts), expected, atol=1e-12)


@pytest.mark.slow
def test_the_linear_reference_is_not_sure_of_what_it_gets_wrong():
    """With validation labels turned about, its probabilities come close to equal ones."""
    train, (texts, labels) = drawn(90, 1), drawn(30, 2)
    turned = [SEVERITIES[(SEVERITIES.index(label) + 1) % 3] for label in labels]
    sure = linear_reference(*train, texts, labels, texts).max(axis=1).mean()
    assert linear_reference(*train, texts, turned, texts).max(axis=1).mean() < sure - 0.2
