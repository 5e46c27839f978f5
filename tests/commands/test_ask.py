"""wazn ask: a complaint, read as training read it, the answers of every arm, and a notice above them."""

import io
import json
import shutil

import numpy as np
import pytest
from root import ROOT
from typer.testing import CliRunner

from pipeline import paths
from pipeline.__main__ import app
from pipeline.commands.asking import answers, emergency, session, severity
from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.evaluation import answering
from pipeline.evaluation.generation import Answer
from pipeline.files import write_json

PARAMS = load(ROOT / "params.yaml")
MODEL, SEED = "tiny_gpt2", 17
MILD, CHEST_PAIN = "عندي سعال خفيف", "ألم شديد في الصدر وضيق في التنفس"
NOTICE = "Call 112 now, or go to the nearest emergency department at once."
ARABIC_NOTICE = "اتصل الآن بالإسعاف على الرقم 112"


@pytest.fixture
def project(built, tmp_path, monkeypatch):
    """The present folder, with a minute model and no classifier."""
    shutil.copytree(built("gpt2"), tmp_path / paths.base_model(MODEL))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def judged(project, monkeypatch):
    """Sets the probabilities of the severities, and a threshold of 0.3 on the last of them."""

    def as_(*probabilities):
        monkeypatch.setattr(severity.Judge, "__init__", lambda *_: None)
        monkeypatch.setattr(
            severity.Judge, "__call__", lambda *_: np.array(probabilities, dtype=np.float32)
        )
        monkeypatch.setattr(emergency, "_threshold", lambda: 0.3)

    as_(0.6, 0.3, 0.1)
    return as_


@pytest.fixture
def answered(judged, monkeypatch):
    """Stands in for the models: an arm's answer is its name, or what is set; what was loaded and asked."""

    class Record:
        loaded, asked, says = [], [], {}

    def load_trained(model, arm, seed, dtype, max_tokens):
        Record.loaded.append((arm, seed))
        return arm

    def generate(decoder, tokenizer, questions, **options):
        Record.asked.extend(questions)
        return [Answer(Record.says.get(decoder, f"{decoder} answers"), cut_off=decoder == "weighting")]

    Record.loaded, Record.asked, Record.says = [], [], {}
    monkeypatch.setattr(answers, "load_trained", load_trained)
    monkeypatch.setattr(answering, "generate", generate)
    for arm in ("uniform", "weighting"):
        paths.trained_model(arm, MODEL, SEED).mkdir(parents=True)
    return Record


def ask(question=MILD, arms=None, as_json=False, params=PARAMS):
    session.run(question, params, MODEL, arms, SEED, as_json=as_json)


def lines(monkeypatch, *questions):
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{question}\n" for question in questions)))


# ---- answers ----------------------------------------------------------------------------------------


def test_every_arm_answers_beside_the_others_with_severity_and_weight(answered, capsys):
    ask()
    out, err = capsys.readouterr()
    assert "severity: non_critical 0.60, neutral 0.30, critical 0.10" in out
    rows = [line.split() for line in out.splitlines() if line.rstrip().endswith(("answers", "…"))]
    assert rows == [
        ["base", "base", "answers"],
        ["uniform", "1.00", "uniform", "answers"],
        ["weighting", "0.75", "weighting", "answers", "…"],
    ]
    assert "Not medical advice. In an emergency, call 112." in err


def test_the_complaint_is_normalised_as_for_the_language_model(answered):
    ask("عندي صُداعٌ   شديـــد منذ أسبوع، رقمي ٠٥٠١٢٣٤٥٦٧")
    assert len(set(answered.asked)) == 1
    assert answered.asked[0].startswith("عندي صداع شديد منذ أسبوع")
    assert "0501234567" not in answered.asked[0]


def test_a_model_is_loaded_once_for_all_complaints(answered, monkeypatch, capsys):
    lines(monkeypatch, MILD, "", "عندي صداع", "\u200b", "عندي حكة")
    ask(None)
    assert answered.loaded == [("base", None), ("uniform", SEED), ("weighting", SEED)]
    assert len(answered.asked) == 9
    out, err = capsys.readouterr()
    assert out.count("severity:") == 3
    assert err.count("the question is empty") == 1


def test_arms_can_be_chosen(answered):
    ask(arms=["weighting", "base", "weighting"])
    assert [arm for arm, _ in answered.loaded] == ["weighting", "base"]


def test_an_arm_that_is_not_trained_is_left_out_and_named(answered, capsys):
    shutil.rmtree(paths.trained_model("uniform", MODEL, SEED))
    ask()
    assert [arm for arm, _ in answered.loaded] == ["base", "weighting"]
    assert "not trained with seed 17, so left out: uniform" in capsys.readouterr().err


def test_placebos_are_asked_when_they_are_named_and_have_no_weight(answered, capsys):
    placebo = PARAMS.arm_settings["weighting"].model_copy(update={"permute": 1})
    settings = {**PARAMS.arm_settings, "placebo": placebo}
    params = PARAMS.model_copy(update={"arms": [*PARAMS.arms, "placebo"], "arm_settings": settings})
    paths.trained_model("placebo", MODEL, SEED).mkdir(parents=True)
    ask(params=params)
    assert "placebo" not in dict(answered.loaded)
    capsys.readouterr()
    ask(params=params, arms=["placebo"], as_json=True)
    [row] = json.loads(capsys.readouterr().out)["answers"]
    assert (row["arm"], row["weight"]) == ("placebo", None)


def test_json_is_a_line_for_each_complaint(answered, monkeypatch, capsys):
    lines(monkeypatch, MILD, CHEST_PAIN)
    ask(None, as_json=True)
    mild, urgent = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(mild) == ["emergency", "disclaimer", "question", "severity", "answers"]
    assert mild["emergency"] is None
    assert mild["severity"] == pytest.approx({"non_critical": 0.6, "neutral": 0.3, "critical": 0.1})
    assert [row.pop("weight") for row in mild["answers"]] == [None, 1.0, pytest.approx(0.75)]
    assert mild["answers"][2] == {"arm": "weighting", "answer": "weighting answers", "cut_off": True}
    assert urgent["emergency"]["signs"] == ["words"]
    assert ARABIC_NOTICE in urgent["emergency"]["notice"]["ar"]
    assert NOTICE in urgent["emergency"]["notice"]["en"]


def test_the_minute_model_itself_answers_the_same_twice(judged, capsys):
    said = set()
    for _ in range(2):
        ask(arms=["base"], as_json=True)
        said.add(capsys.readouterr().out)
    assert len(said) == 1


@pytest.mark.parametrize("question", ["", "  \n", "\u200b"])
def test_an_empty_question_is_one_sentence(question, answered):
    with pytest.raises(WaznError, match="the question is empty"):
        ask(question)


# ---- emergencies ------------------------------------------------------------------------------------


def noticed(capsys):
    """Whether the notice was printed, above all else."""
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert out.count(NOTICE) == out.count(ARABIC_NOTICE) <= 1
    if NOTICE not in out:
        return False
    assert "answers" not in out.split(NOTICE)[0]
    assert "severity:" not in out.split(NOTICE)[0]
    return True


def test_a_mild_complaint_has_no_notice(answered, capsys):
    ask()
    assert not noticed(capsys)


def test_p_critical_at_the_threshold_gives_one(answered, judged, capsys):
    judged(0.35, 0.34, 0.31)
    ask()
    assert noticed(capsys)


def test_a_likely_critical_complaint_gives_one_whatever_the_threshold(
    answered, judged, monkeypatch, capsys
):
    judged(0.3, 0.3, 0.4)
    monkeypatch.setattr(emergency, "_threshold", lambda: 0.9)
    ask()
    assert noticed(capsys)


def test_words_of_the_complaint_give_one(answered, capsys):
    ask(CHEST_PAIN)
    assert noticed(capsys)


def test_an_answer_that_sends_to_hospital_gives_one(answered, capsys):
    answered.says["uniform"] = "توجه إلى الطوارئ فورا"
    ask()
    assert noticed(capsys)
    ask(as_json=True)
    assert json.loads(capsys.readouterr().out)["emergency"]["signs"] == ["answer"]


def test_without_a_classifier_every_complaint_has_one(built, project, monkeypatch, capsys):
    for broken in (False, True):
        if broken:
            shutil.copytree(built("gpt2"), paths.CLASSIFIER)
            write_json(paths.CLASSIFIER / "severity.json", {})
        ask(arms=["base"], as_json=True)
        out, err = capsys.readouterr()
        said = json.loads(out)
        assert said["emergency"]["signs"] == ["severity not judged"]
        assert said["severity"] is None
        assert said["answers"][0]["weight"] is None
        assert "severity is not judged: models/classifier" in err
        ask(arms=["base"])
        assert noticed(capsys)


@pytest.mark.parametrize(
    ("question", "signs"),
    [
        (MILD, None),
        ("My baby turned blue and does not breathe", ["severity not judged"]),
        ("ibni azra2 w ma byitnaffas", ["severity not judged"]),
        ("!!! 😱", ["severity not judged"]),
    ],
)
def test_what_is_not_in_arabic_is_not_judged_and_has_one(project, monkeypatch, capsys, question, signs):
    class Careless:
        max_length = 8

        def __init__(self, *_):
            pass

        def probabilities(self, texts, _):
            return np.array([[1.0, 0.0, 0.0]] * len(texts))

    monkeypatch.setattr(severity, "Classifier", Careless)
    paths.CLASSIFIER.mkdir(parents=True)
    write_json(paths.CLASSIFIER / "severity.json", {})
    ask(question, arms=["base"], as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["emergency"] or {}).get("signs") == signs
    assert (said["severity"] is None) == bool(signs)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_model_that_cannot_be_loaded_does_not_hold_it_back(as_json, judged, capsys):
    shutil.rmtree(paths.base_model(MODEL))
    with pytest.raises(WaznError, match="no model there"):
        ask(CHEST_PAIN, as_json=as_json)
    assert NOTICE in " ".join(capsys.readouterr()[as_json].replace("│", " ").split())


def test_the_number_is_that_of_params(answered, capsys):
    here = PARAMS.model_copy(update={"ask": PARAMS.ask.model_copy(update={"emergency_number": "997"})})
    ask(CHEST_PAIN, params=here)
    out, err = capsys.readouterr()
    assert "Call 997 now" in out
    assert "الرقم 997" in out
    assert "call 997" in err


@pytest.mark.parametrize("content", [None, "[", "{}"])
def test_without_a_measured_threshold_a_low_one_is_taken(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        paths.METRICS.mkdir()
        paths.CLASSIFIER_METRICS.write_text(content)
    assert emergency.signs(MILD, np.array([0.8, 0.09, 0.11])) == ["p_critical"]
    assert emergency.signs(MILD, np.array([0.8, 0.11, 0.09])) == []


def test_the_threshold_is_the_one_that_was_measured(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "metrics", tmp_path / "metrics")
    monkeypatch.chdir(tmp_path)
    measured = json.loads(paths.CLASSIFIER_METRICS.read_text("utf-8"))
    limit = measured["critical"]["alarms"]["classifier"]["threshold"]
    below, at = (np.array([1 - p, 0, p]) for p in (limit - 1e-6, limit))
    assert emergency.signs(MILD, below) == []
    assert emergency.signs(MILD, at) == ["p_critical"]


# ---- the command line -------------------------------------------------------------------------------


def test_the_command_line_hands_on_what_it_is_given(project, monkeypatch):
    given = []
    monkeypatch.setattr(session, "run", lambda *values, **options: given.append((values, options)))
    shutil.copy(ROOT / "params.yaml", project)
    done = CliRunner().invoke(
        app, ["ask", "--model", MODEL, "--arm", "base", "--arm", "mild", "--json", MILD]
    )
    assert done.exit_code == 0, done.output
    [(values, options)] = given
    assert (values[0], *values[2:], options) == (MILD, MODEL, ["base", "mild"], SEED, {"as_json": True})
    assert CliRunner().invoke(app, ["ask", "--model", MODEL]).exit_code == 0
    assert (given[1][0][0], given[1][0][3]) == (None, None)


def test_an_unknown_arm_is_one_sentence(project):
    shutil.copy(ROOT / "params.yaml", project)
    done = CliRunner().invoke(app, ["ask", "--model", MODEL, "--arm", "heavy", MILD])
    assert isinstance(done.exception, WaznError)
    assert "no arm 'heavy'; there are base, uniform" in str(done.exception)
