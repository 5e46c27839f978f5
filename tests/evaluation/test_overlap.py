"""What is counted of texts: each score against the package that defines it."""

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_chrf

from pipeline.evaluation.overlap import WordTokenizer, chrf, repetition, rouge_l, word_counts

SAME = "خذ قسطا من الراحة واشرب الماء"
OTHER = "توجه إلى الطوارئ فورا"
ANSWERS = [SAME, "اشرب الماء كثيرا", "", "take rest", "راجع الطبيب اليوم إذا استمر السعال"]
REFERENCES = [SAME, SAME, OTHER, "take some rest", "راجع الطبيب إذا استمر السعال أكثر من أسبوع"]


# ---- chrF++ -------------------------------------------------------------------------------------


def test_chrf_is_chrf_plus_plus_of_sacrebleu_row_by_row():
    expected = [sentence_chrf(a, [r], word_order=2).score for a, r in zip(ANSWERS, REFERENCES, strict=True)]
    assert chrf(ANSWERS, REFERENCES) == expected
    assert expected != [sentence_chrf(a, [r]).score for a, r in zip(ANSWERS, REFERENCES, strict=True)]


def test_chrf_goes_from_0_to_100():
    assert chrf([SAME, "abc", ""], [SAME, OTHER, OTHER]) == pytest.approx([100.0, 0.0, 0.0])


# ---- ROUGE-L ------------------------------------------------------------------------------------


def test_rouge_l_is_that_of_rouge_score_with_our_words():
    scorer = RougeScorer(["rougeL"], tokenizer=WordTokenizer())
    expected = [
        scorer.score(target=reference, prediction=answer)["rougeL"].fmeasure
        for answer, reference in zip(ANSWERS, REFERENCES, strict=True)
    ]
    assert rouge_l(ANSWERS, REFERENCES) == expected


def test_rouge_l_by_hand():
    """Two of three words answered, in order, of six: P = 2/3, R = 2/6, F1 = 4/9."""
    assert rouge_l(["اشرب الماء كثيرا"], ["خذ قسطا واشرب اشرب ثم الماء"]) == pytest.approx([4 / 9])


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        (SAME, SAME, 1.0),
        (SAME, OTHER, 0.0),
        ("", SAME, 0.0),
        ("صُداعٌ", "صُداعٌ", 1.0),
        ("٣ أيام", "٣ أيام", 1.0),
    ],
    ids=["identical", "disjoint", "empty", "diacritics", "digits"],
)
def test_rouge_l_reads_arabic(answer, reference, expected):
    assert rouge_l([answer], [reference]) == [expected]


def test_rouge_scores_own_tokenizer_would_not_read_arabic():
    """Why there is a tokenizer of ours."""
    assert RougeScorer(["rougeL"]).score(SAME, SAME)["rougeL"].fmeasure == 0.0


def test_words_are_runs_of_letters_and_digits():
    assert WordTokenizer().tokenize("ألم، في الصدر (٣ أيام) 500mg!") == [
        "ألم",
        "في",
        "الصدر",
        "٣",
        "أيام",
        "500mg",
    ]


def test_a_mark_on_a_letter_does_not_end_a_word():
    assert WordTokenizer().tokenize("صُداعٌ شَدِيدٌ") == ["صُداعٌ", "شَدِيدٌ"]


@pytest.mark.parametrize("score", [chrf, rouge_l])
def test_answers_without_a_reference_each_are_refused(score):
    with pytest.raises(ValueError, match="argument"):
        score([SAME, SAME], [SAME])


# ---- length and repetition ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words", "repeated"),
    [
        ("", 0, 0.0),
        ("نعم", 1, 0.0),
        ("نعم نعم", 2, 0.0),
        ("نعم نعم نعم", 3, 0.0),
        ("نعم نعم نعم نعم نعم", 5, 2 / 3),
        ("خذ قسطا من الراحة، خذ قسطا من", 7, 1 / 5),
        ("خذ قسطا من الراحة", 4, 0.0),
        ("، ؟ !", 0, 0.0),
    ],
    ids=[
        "empty",
        "1 word",
        "2 words",
        "3 alike",
        "5 alike",
        "one 3-gram again",
        "nothing again",
        "no word",
    ],
)
def test_words_and_repetition_by_hand(answer, words, repeated):
    """Of five equal words the three 3-grams are one: 1 - 1/3."""
    assert word_counts([answer]) == [words]
    assert repetition([answer]) == [pytest.approx(repeated)]


def test_a_word_repeated_for_ever_approaches_1():
    assert repetition(["الماء " * 64]) == [pytest.approx(1 - 1 / 62)]
