"""Agreement of texts: each score against the package that defines it."""

import json
import shutil

import pytest
import torch
from bert_score import BERTScorer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_chrf

from pipeline.evaluation.overlap import WordTokenizer, bertscore_f1, chrf, rouge_l

SAME = "خذ قسطا من الراحة واشرب الماء"
OTHER = "توجه إلى الطوارئ فورا"
ANSWERS = [SAME, "اشرب الماء كثيرا", "", "take rest", "راجع الطبيب اليوم إذا استمر السعال"]
REFERENCES = [SAME, SAME, OTHER, "take some rest", "راجع الطبيب إذا استمر السعال أكثر من أسبوع"]


# ---- chrF ---------------------------------------------------------------------------------------


def test_chrf_is_that_of_sacrebleu_row_by_row():
    expected = [sentence_chrf(a, [r]).score for a, r in zip(ANSWERS, REFERENCES, strict=True)]
    assert chrf(ANSWERS, REFERENCES) == expected


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


# ---- BERTScore ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(built, tmp_path_factory):
    """A random BERT of three layers, with the minute encoder's tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = AutoTokenizer.from_pretrained(built("modernbert"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(11)
    shape = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), initializer_range=0.3, pad_token_id=0, **shape)
    BertModel(config).save_pretrained(folder)
    return folder


def scores(encoder, answers, references, layer=2, batch_size=64):
    return bertscore_f1(answers, references, encoder, layer, batch_size)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_bertscore_is_that_of_the_package(layer, encoder):
    rows = [index for index, answer in enumerate(ANSWERS) if answer]
    answers, references = ([texts[i] for i in rows] for texts in (ANSWERS, REFERENCES))
    direct = BERTScorer(
        model_type=str(encoder), num_layers=layer, rescale_with_baseline=False, device="cpu"
    )
    _, _, expected = direct.score(answers, references)
    assert scores(encoder, answers, references, layer) == pytest.approx(expected.tolist(), abs=1e-6)


def test_bertscore_depends_on_the_layer(encoder):
    first, second = (scores(encoder, ANSWERS, REFERENCES, layer) for layer in (1, 2))
    assert first != pytest.approx(second, abs=1e-4)


def test_bertscore_of_identical_texts_is_one_and_of_others_less(encoder):
    same, other = scores(encoder, [SAME, SAME], [SAME, OTHER])
    assert same == pytest.approx(1.0, abs=1e-5)
    assert other < 0.99


@pytest.mark.parametrize("batch_size", [1, 2])
def test_bertscore_does_not_depend_on_the_batch_size(batch_size, encoder):
    expected = scores(encoder, ANSWERS, REFERENCES)
    found = scores(encoder, ANSWERS, REFERENCES, batch_size=batch_size)
    assert found == pytest.approx(expected, abs=1e-5)


def test_empty_answer_has_bertscore_0_and_leaves_the_others_alone(encoder):
    found = scores(encoder, ["", *ANSWERS], [SAME, *REFERENCES])
    assert found[0] == 0.0
    assert found[1:] == pytest.approx(scores(encoder, ANSWERS, REFERENCES), abs=1e-5)
    assert found[3] == 0.0


def test_answers_that_are_all_empty_have_bertscore_0(encoder):
    assert scores(encoder, ["", ""], [SAME, OTHER]) == [0.0, 0.0]


def test_text_beyond_the_encoders_context_is_cut(encoder):
    [found] = scores(encoder, [f"{SAME} " * 200], [SAME])
    assert 0.0 < found < 1.0


def test_encoder_whose_tokenizer_names_no_limit_scores_the_same(encoder, tmp_path):
    """As several on the Hub; bert-score would hand its tokenizer a limit of 10^30."""
    folder = shutil.copytree(encoder, tmp_path / "encoder")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    del config["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    found = scores(folder, ANSWERS, REFERENCES)
    assert found == pytest.approx(scores(encoder, ANSWERS, REFERENCES), abs=1e-6)


@pytest.mark.parametrize("score", [chrf, rouge_l])
def test_answers_without_a_reference_each_are_refused(score):
    with pytest.raises(ValueError, match="argument"):
        score([SAME, SAME], [SAME])
