"""An encoder without a pooler of its own is classified by the mean of its states, not by random weights."""

import json
import shutil

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

from pipeline.models.budgets import Budget
from pipeline.severity.classifier import Classifier

TEXTS = ["صداع", "ألم في الصدر منذ ساعة مع ضيق في التنفس", "حرارة وسعال"]


@pytest.fixture(scope="module")
def bert(built, tmp_path_factory):
    """Folder of a random BERT, with its pooler or without."""
    tokenizer = AutoTokenizer.from_pretrained(built("modernbert"))

    def made(pooler):
        folder = tmp_path_factory.mktemp("bert")
        torch.manual_seed(1)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            pad_token_id=tokenizer.pad_token_id,
        )
        BertModel(config, add_pooling_layer=pooler).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return made


def mean_logits(classifier, folder, text):
    """The head on the mean of the states of one text, without padding."""
    encoder = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        states = encoder(torch.tensor(classifier.encode([text])))[0]
        return classifier.model.classifier(states.mean(dim=1))[0].tolist()


def check_mean(folder):
    torch.manual_seed(2)
    classifier = Classifier(folder)
    logits = classifier.logits(TEXTS, Budget(10_000))  # padded together
    for row, text in enumerate(TEXTS):
        assert logits[row].tolist() == pytest.approx(mean_logits(classifier, folder, text), abs=1e-5)
    return classifier, logits


def test_without_a_pooler_the_mean_of_the_states_is_classified(bert):
    check_mean(bert(False))


def test_so_it_is_where_modules_json_tells_an_encoder_of_sentences(bert):
    folder = bert(True)
    (folder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Pooling"}]))
    check_mean(folder)


def test_a_pooler_that_is_there_is_used(bert):
    folder = bert(True)
    torch.manual_seed(2)
    classifier = Classifier(folder)
    torch.manual_seed(2)
    plain = BertForSequenceClassification.from_pretrained(folder, num_labels=3).eval()
    plain.classifier.load_state_dict(classifier.model.classifier.state_dict())
    with torch.no_grad():
        expected = plain(torch.tensor(classifier.encode(TEXTS[1:2]))).logits[0].tolist()
    assert classifier.logits(TEXTS[1:2], Budget(10_000))[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert expected != pytest.approx(mean_logits(classifier, folder, TEXTS[1]), abs=1e-3)


def test_what_was_saved_is_pooled_as_it_was(bert, tmp_path):
    classifier, logits = check_mean(bert(False))
    classifier.save(tmp_path / "saved")
    again = Classifier(shutil.copytree(tmp_path / "saved", tmp_path / "copied"))
    assert again.logits(TEXTS, Budget(10_000)).tolist() == logits.tolist()
