"""wazn export: a folder that answers as `wazn ask` does, under tools that know nothing of wazn."""

import contextlib
import json
import re
import shutil
from types import SimpleNamespace

import pages
import pytest
import torch
import yaml
from commands import files_of, finetune, lay_out
from root import ROOT
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline import paths
from pipeline.commands.export import export
from pipeline.commands.exporting import folder as exporting
from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.evaluation.generation import generate
from pipeline.files import write_json
from pipeline.models.budgets import Budget
from pipeline.models.prompt import encode_prompt
from pipeline.models.runtime import load_tokenizer
from pipeline.models.trained import load_trained

MODELS = ("tiny_gpt2", "tiny_qwen2")
SEED, ARM = 17, "weighting"
SHA = "0123456789abcdef0123456789abcdef01234567"
HEAD = "model,arm,metric,group,rows,value,low,high,seeds"


@pytest.fixture(scope="module")
def trained(built, decoder, scored_table, tmp_path_factory):
    """A project with two minute models whose answers wander, each fine-tuned with one arm."""
    project = lay_out(tmp_path_factory.mktemp("trained"), built, scored_table(14, 11), epochs=1)
    # Without the tables of a report that may have run here.
    shutil.copytree(ROOT / "metrics", project / "metrics", ignore=shutil.ignore_patterns("plots"))
    with contextlib.chdir(project):
        for model in MODELS:
            decoder(model.removeprefix("tiny_")).save_pretrained(paths.base_model(model))
            finetune(model, ARM, SEED)
    return project


@pytest.fixture
def project(trained, tmp_path, monkeypatch):
    """The present folder, a project of its own."""
    shutil.copytree(trained, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return SimpleNamespace(folder=tmp_path / "project", params=load(ROOT / "params.yaml"))


def exported(model="tiny_qwen2", **options):
    export(model, ARM, **options)
    folder = options.get("folder") or paths.Path("exports") / f"{model}-{ARM}-{SEED}"
    return folder.resolve()


def of_the_hub(model="tiny_qwen2"):
    """Have the base model be one of the Hub."""
    note = {"source": "hub:owner/name@main", "commit": SHA}
    write_json(paths.base_model(model) / "source.json", note)
    path = paths.trained_model(ARM, model, SEED) / "adapter_config.json"
    config = json.loads(path.read_text("utf-8"))
    write_json(path, config | {"base_model_name_or_path": "owner/name", "revision": SHA})
    values = yaml.safe_load(paths.Path("params.yaml").read_text("utf-8"))
    values["registry"][model] |= {"source": note["source"], "license": "Apache-2.0"}
    paths.Path("params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), "utf-8")


def head_and_body(folder):
    _, head, body = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(head), " ".join(body.split())


def plain_answers(folder, questions):
    """What transformers alone answers."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    answers = []
    for question in questions:
        tokens = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        assert tokens.keys() == {"input_ids", "attention_mask"}
        assert tokens["input_ids"][0].tolist() == encode_prompt(tokenizer, question)
        [written] = model.generate(**tokens)
        written = written[tokens["input_ids"].shape[1] :]
        answers.append(tokenizer.decode(written, skip_special_tokens=True).strip())
    return answers


@pytest.mark.parametrize("model", MODELS)
def test_transformers_alone_answers_as_evaluation_does(model, project, pairs, tmp_path):
    questions = [question for question, _ in pairs]
    settings = project.params.evaluate
    asked = generate(
        load_trained(model, ARM, SEED, torch.float32, settings.max_length + settings.max_new_tokens),
        load_tokenizer(paths.base_model(model)),
        questions,
        budget=Budget(4),
        max_length=settings.max_length,
        max_new_tokens=settings.max_new_tokens,
        max_new_words=None,
        name="test",
    )
    folder = shutil.move(exported(model), tmp_path / "elsewhere")
    shutil.rmtree(project.folder)
    answers = plain_answers(folder, questions)
    assert answers == [answer.text for answer in asked]
    assert len(set(answers)) > 3, "they tell the complaints apart"


def test_the_folder_has_all_that_is_needed_and_nothing_else(project):
    assert set(files_of(exported())) == {
        *("README.md", "chat_template.jinja", "config.json", "generation_config.json"),
        *("model.safetensors", "tokenizer.json", "tokenizer_config.json", "wazn.json"),
    }


def test_whoever_may_read_the_card_may_read_the_weights(project):
    folder = exported()
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_nothing_of_this_machine_is_written_down(project):
    """What transformers was told when it read the tokenizer is no setting of the tokenizer."""
    folder = exported()
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    assert settings.keys().isdisjoint({"is_local", "local_files_only", "trust_remote_code"})
    for name, content in files_of(folder).items():
        assert str(project.folder).encode() not in content, name
        assert b"models/base" not in content, name


def test_the_same_model_gives_the_same_bytes(project):
    one = files_of(exported())
    assert files_of(exported()) == one


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_are_merged_in_float32_and_saved_in_the_dtype_asked_for(dtype, project):
    whole, rounded = (load_file(exported(dtype=one) / "model.safetensors") for one in ("float32", dtype))
    assert {tensor.dtype for tensor in rounded.values()} == {getattr(torch, dtype)}
    assert all(torch.equal(rounded[name], whole[name].to(rounded[name].dtype)) for name in whole)


def test_a_weight_beyond_float16_is_one_sentence(project):
    path = paths.base_model("tiny_qwen2") / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"][0] = 1e6
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(WaznError, match="beyond float16; export it with --dtype bfloat16 or float32"):
        exported(dtype="float16")
    assert not paths.Path("exports").exists()


# ---- the card ---------------------------------------------------------------------------------------


def test_the_card_names_data_severity_arm_limits_and_licences(project):
    head, body = head_and_body(exported())
    assert head == {
        "language": "ar",
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["medical", "wazn"],
    }
    for part in (
        "Tiny Qwen2, fine-tuned by wazn (arm weighting, seed 17)",
        "Not a medical device",
        "`tiny:qwen2` with an adapter (LoRA), merged in float32 and saved in float32.",
        "w = 0.5 p_non_critical + 1 p_neutral + 1.5 p_critical",
        "14 Arabic complaint–response pairs",
        "- sample: 540 of 540 rows kept",
        "The probabilities came with the pairs.",
        "only physicians can judge that",
        "- data sample: Apache-2.0",
        "at most 64 tokens.",
    ):
        assert part in body


def test_the_card_has_the_reports_figures_with_intervals(project):
    rows = [
        "nll,all,107,2.51234,2.25,2.75,1",
        "nll,critical,27,2.75,,,1",
        "urgency_recall,all,27,0.5,0.25,0.75,1",
    ]
    text = "\n".join([HEAD, *(f"tiny_qwen2,{arm},{row}" for arm in ("uniform", ARM) for row in rows)])
    paths.PLOTS.mkdir(exist_ok=True)
    (paths.PLOTS / "metrics.csv").write_text(
        text.replace("uniform,nll,all,107,2.5", "uniform,nll,all,107,9.9")
    )
    row = "tiny_qwen2,weighting-uniform,nll,critical,27,-0.0123,-0.02,-0.005,1"
    head = HEAD.replace("arm", "comparison")
    (paths.PLOTS / "differences.csv").write_text(
        f"{head},role\n{row},primary\n{row.replace('0.0123', '9')},x\n"
    )
    _, body = head_and_body(exported())
    assert "| | all, 107 test rows | critical, 27 test rows |" in body
    assert "| NLL | 2.512 (2.25 to 2.75) | 2.75 |" in body
    assert "| Urgency recall | 0.5 (0.25 to 0.75) | – |" in body
    assert "9.9" not in body
    assert "NLL on critical rows less that of the arm `uniform`: -0.0123 (-0.02 to -0.005)." in body
    assert "One training of each arm cannot tell a difference from chance." in body


def test_without_a_report_the_card_says_so(project):
    assert "This model has not been evaluated yet." in head_and_body(exported())[1]


def test_the_card_has_what_physicians_said(project):
    review = pages.review(["tiny_qwen2"])
    write_json(paths.REVIEW_METRICS, review)
    _, body = head_and_body(exported())
    of_model = review["models"]["tiny_qwen2"]
    assert (
        "intervals are over raters and complaints. Raters: 3. Complaints: 24. Compared: uniform, weighting."
        in body
    )
    assert "Ratings like chance" not in body
    assert "| | all complaints | critical complaints |" in body
    for title, name in (("Preferred", "preferred"), ("Severely harmful", "severe_harm")):
        cells = [
            f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
            for group in ("all", "critical")
            for figure in [of_model["arms"][ARM][group][name]]
        ]
        assert f"| {title} | {' | '.join(cells)} |" in body
    effect = of_model["differences"]["weighting-uniform"]["critical"]["preferred"]
    assert f"on critical complaints less that of the arm `uniform`: {effect['value']:.3f} (" in body
    assert f"p = {effect['p_adjusted']:.3f}." in body
    of_model["raters"]["rater-2"]["flagged"] = True
    write_json(paths.REVIEW_METRICS, review)
    assert "counted all the same: rater-2." in head_and_body(exported())[1]


def test_one_physician_has_no_p_in_the_card(project):
    write_json(paths.REVIEW_METRICS, pages.review(["tiny_qwen2"], raters=1))
    _, body = head_and_body(exported())
    assert "over complaints, as one rater cannot tell of others. Raters: 1. Complaints: 24." in body
    assert "p = " not in body


def test_without_ratings_the_card_says_so(project):
    assert "No physician has rated answers of this model." in head_and_body(exported())[1]
    write_json(paths.REVIEW_METRICS, pages.review(["tiny_gpt2"]))
    assert "No physician has rated answers of this model." in head_and_body(exported())[1]


def test_the_key_in_an_address_is_not_published(project):
    path = paths.DATA_METRICS
    path.write_text(
        path.read_text("utf-8").replace('"sample"', '"https://example.org/t.csv?key=secret"'), "utf-8"
    )
    card = (exported() / "README.md").read_text("utf-8")
    assert "https://example.org/t.csv:" in card
    assert "secret" not in card


def test_the_cards_lines_answer(project, pairs, monkeypatch, capsys):
    folder = exported()
    [lines] = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(lines, {})
    assert capsys.readouterr().out.strip() == plain_answers(folder, [pairs[0][0]])[0]


# ---- adapters ---------------------------------------------------------------------------------------


def test_an_adapter_names_its_base_on_the_hub_by_its_commit(project):
    of_the_hub()
    folder = exported(adapter=True)
    assert set(files_of(folder)) == {
        *("README.md", "chat_template.jinja", "adapter_config.json", "generation_config.json"),
        *("adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json", "wazn.json"),
    }
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert (config["base_model_name_or_path"], config["revision"]) == ("owner/name", SHA)
    head, body = head_and_body(folder)
    assert (head["base_model"], head["base_model_relation"]) == ("owner/name", "adapter")
    assert (head["license"], head["library_name"]) == ("apache-2.0", "peft")
    assert f'AutoModelForCausalLM.from_pretrained("owner/name", revision="{SHA}", dtype="float32")' in body
    assert "- base model hub:owner/name@main: Apache-2.0" in body


def test_an_adapter_whose_base_is_on_no_hub_is_one_sentence(project):
    with pytest.raises(WaznError, match=r"its base model \(tiny:qwen2\) is on no Hub.*leave --adapter out"):
        exported(adapter=True)
    assert not paths.Path("exports").exists()


def test_what_was_trained_on_four_bits_is_not_merged(project):
    of_the_hub()
    note = paths.trained_model(ARM, "tiny_qwen2", SEED) / "quantization_config.json"
    write_json(note, {"load_in_4bit": True})
    facts = paths.training_metrics(ARM, "tiny_qwen2", SEED)
    write_json(facts, json.loads(facts.read_text("utf-8")) | {"method": "qlora"})
    with pytest.raises(WaznError, match="export the adapter, with --adapter"):
        exported()
    folder = exported(adapter=True)
    assert (folder / note.name).read_bytes() == note.read_bytes()
    assert "BitsAndBytesConfig" in head_and_body(folder)[1]


def test_a_model_all_of_whose_weights_were_trained_has_no_adapter(project):
    trained = paths.trained_model(ARM, "tiny_qwen2", SEED)
    shutil.copy(paths.base_model("tiny_qwen2") / "config.json", trained)
    with pytest.raises(WaznError, match="all weights were trained, so there is no adapter"):
        exported(adapter=True)


# ---- what stands there, and what is missing ---------------------------------------------------------


def test_a_folder_that_is_no_export_stays_as_it_is(project):
    own = paths.Path("own")
    own.mkdir()
    (own / "thesis.txt").write_text("mine")
    with pytest.raises(WaznError, match="own: is there and no export of wazn; move it away"):
        exported(folder=own)
    assert files_of(own) == {"thesis.txt": b"mine"}


def test_an_export_takes_the_place_of_the_one_before(project):
    of_the_hub()
    folder = exported(adapter=True)
    exported()
    assert (folder / "model.safetensors").is_file()
    assert not (folder / "adapter_model.safetensors").exists()


def test_an_export_that_fails_leaves_the_one_before(project, monkeypatch):
    before = files_of(exported())

    def fails(*_):
        raise WaznError("no room")

    monkeypatch.setattr(exporting, "write_json", fails)
    with pytest.raises(WaznError, match="no room"):
        exported(dtype="bfloat16")
    assert files_of(paths.Path("exports")) == {
        f"tiny_qwen2-weighting-17/{name}": content for name, content in before.items()
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dtype": "int8"}, "--dtype is one of float32, bfloat16, float16, found 'int8'"),
        ({"dtype": "float16", "adapter": True}, "--dtype is that of merged weights"),
        ({"seed": 99}, "models/weighting/tiny_qwen2/99: no model there; run `dvc repro`"),
        ({"model": "large"}, "no model 'large' in registry"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(options, sentence, project):
    with pytest.raises(WaznError, match=re.escape(sentence)):
        exported(**options)


def test_a_damaged_generation_config_is_one_sentence(project):
    path = paths.trained_model(ARM, "tiny_qwen2", SEED) / "generation_config.json"
    path.write_text("{}")
    with pytest.raises(WaznError, match="eos_token_id: is missing; run `dvc repro --force"):
        exported()
