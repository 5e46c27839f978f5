"""wazn ask: one question, read as the language model's training text was, and one answer."""

import shutil
from types import SimpleNamespace

import pytest
from root import ROOT

from pipeline.commands import ask
from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.evaluation.generation import Answer

NORMALISE = load(ROOT / "params.yaml").normalise
EVALUATE = SimpleNamespace(dtype="float32", max_length=200, max_new_tokens=6, max_new_words=None)


@pytest.fixture
def project(built, tmp_path, monkeypatch):
    """The present folder, with a minute model."""
    shutil.copytree(built("gpt2"), tmp_path / "models" / "base" / "minute")
    monkeypatch.chdir(tmp_path)


def asked(question):
    ask.run(question, "minute", "base", None, normalise=NORMALISE, evaluate=EVALUATE)


def test_the_question_is_normalised_as_for_the_language_model_and_answered(project, monkeypatch, capsys):
    given = []

    def generated(decoder, tokenizer, questions, **options):
        given.extend(questions)
        return [Answer(f"answer {options['max_new_tokens']}", cut_off=True)]

    monkeypatch.setattr(ask, "generate", generated)
    asked("عندي صُداعٌ   شديـــد منذ أسبوع، رقمي ٠٥٠١٢٣٤٥٦٧")
    [question] = given
    assert question.startswith("عندي صداع شديد منذ أسبوع")
    assert "0501234567" not in question
    said = capsys.readouterr()
    assert said.out == "answer 6\n"
    assert "Not medical advice" in said.err


def test_the_same_question_has_the_same_answer(project, capsys):
    answers = set()
    for _ in range(2):
        asked("عندي صداع منذ يومين")
        answers.add(capsys.readouterr().out)
    assert len(answers) == 1


@pytest.mark.parametrize("question", ["", "  \n", "\u200b"])
def test_an_empty_question_is_one_sentence(question, project):
    with pytest.raises(WaznError, match="the question is empty"):
        asked(question)
