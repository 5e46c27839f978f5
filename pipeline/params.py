"""params.yaml as typed, validated values.

The schema has no defaults and computes nothing: every value that a stage uses stands in
params.yaml, where DVC sees it; what a source may leave out is None, and then found in its data.
So a change here can refuse a file but never change a result, and this module is no dependency of
any stage.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.data.grammar import check_hash, kind_of
from pipeline.errors import WaznError
from pipeline.mistakes import nearest, sentence

Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]


def _is_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", value):
        raise ValueError("a name has letters, digits, - and _ only (DVC takes a dot for a separator)")
    return value


def _is_model_source(value: str) -> str:
    if not re.fullmatch(r"tiny:(gpt2|qwen2|modernbert)|hub:[\w.-]+/[\w.-]+@[\w./-]+|path:.+", value):
        raise ValueError(
            "expected tiny:gpt2, tiny:qwen2, tiny:modernbert, hub:<owner>/<name>@<revision> or "
            f"path:<folder>, found {value!r}"
        )
    return value


def _is_source(value: str) -> str:
    kind_of(value)
    return value


def _is_hash(value: str) -> str:
    check_hash(value)
    return value


Name = Annotated[str, AfterValidator(_is_name)]
ModelSource = Annotated[str, AfterValidator(_is_model_source)]


class Section(BaseModel):
    """A part of params.yaml: complete, without unknown keys, without silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Weights(Section):
    """`w = alpha * p_non_critical + beta * p_neutral + gamma * p_critical` (arXiv:2604.06346)."""

    alpha: Annotated[float, Field(ge=0)]
    beta: Annotated[float, Field(ge=0)]
    gamma: Annotated[float, Field(ge=0)]
    renormalise: bool

    @model_validator(mode="after")
    def not_all_zero(self) -> Self:
        if self.alpha == self.beta == self.gamma == 0:
            raise ValueError("alpha, beta and gamma are all 0, so nothing would be learnt")
        return self


class LabelNames(Section):
    """What the three severities are called in a source."""

    non_critical: Text
    neutral: Text
    critical: Text


class TableSource(Section):
    """A table: where it is, and which one. What is left out is not needed, or recognised (docs/data.md)."""

    source: Annotated[Text, AfterValidator(_is_source)]
    hash: Annotated[str, AfterValidator(_is_hash)] | None = None
    file: Text | None = None
    table: Text | None = None
    specialty: Text | None = None

    @model_validator(mode="after")
    def files_have_hashes(self) -> Self:
        given = {"hash", "file", "table"} & self.model_fields_set
        if self.source.startswith("hf:") and given:
            raise ValueError(f"{min(given)} is for files; an hf: data set is pinned by its revision")
        return self


class PairSource(TableSource):
    """A table of complaint–response pairs and the names of its columns."""

    question: Text | None = None
    answer: Text | None = None
    probabilities: LabelNames | None = None

    @model_validator(mode="after")
    def has_answers(self) -> Self:
        if self.source == "lexicon":
            raise ValueError(
                "lexicon labels complaints and has no pairs; it is a source of `labelled` only"
            )
        return self


class LabelledSource(TableSource):
    """A table of complaints with a severity label, and the names of its columns and labels."""

    text: Text | None = None
    label: Text | None = None
    labels: LabelNames | None = None

    @model_validator(mode="after")
    def lexicon_needs_nothing(self) -> Self:
        if self.source == "lexicon" and self.model_fields_set != {"source"}:
            raise ValueError("lexicon labels the pairs' questions and takes no other key")
        return self


class Download(Section):
    folder: Text
    max_unpacked_mb: Positive
    timeout_s: Annotated[float, Field(gt=0)]
    retries: Annotated[int, Field(ge=0)]
    pairs: Annotated[list[PairSource], Field(min_length=1)]
    labelled: Annotated[list[LabelledSource], Field(min_length=1)]


class Rules(Section):
    """Which of the normalisation rules apply (`pipeline/text/normalise.py`)."""

    html: bool
    presentation: bool
    invisible: bool
    diacritics: bool
    tatweel: bool
    lookalikes: bool
    alef: bool
    ya: bool
    ta_marbuta: bool
    digits: bool
    punctuation: bool
    elongation: bool
    links: bool
    emails: bool
    phones: bool
    ids: bool
    whitespace: bool


class RuleSets(Section):
    """The two presets of rules."""

    classifier: Rules
    language_model: Rules


class Split(Section):
    train: Fraction
    valid: Fraction
    test: Fraction

    @model_validator(mode="after")
    def sums_to_one(self) -> Self:
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + valid + test is {total:g}, expected 1")
        return self


class Normalise(Section):
    rules: RuleSets
    min_arabic: Fraction
    max_chars: Positive
    split: Split
    seed: Seed


class Tiny(Section):
    """Shape and pre-training of a `tiny:` model."""

    vocabulary: Annotated[int, Field(ge=300)]
    hidden: Positive
    layers: Positive
    heads: Positive
    context: Annotated[int, Field(ge=16)]
    steps: Annotated[int, Field(ge=0)]
    batch_size: Positive
    learning_rate: Rate

    @model_validator(mode="after")
    def heads_divide_hidden(self) -> Self:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of 2 x heads ({self.heads})")
        return self


class BaseModels(Section):
    """How `tiny:` models are built (`base_model` for decoders, `base_encoder` for encoders)."""

    folder: Text
    tiny: Tiny
    most_texts: Positive
    seed: Seed


class TrainClassifier(Section):
    encoder: Name
    epochs: Positive
    patience: Positive
    batch_size: Positive
    learning_rate: Rate
    class_weights: bool
    word_dropout: Fraction
    ngrams: bool
    max_length: Annotated[int, Field(ge=8)]
    folds: Annotated[int, Field(ge=2)] | None
    seed: Seed


class Severity(Section):
    """Where the pairs' severity probabilities come from."""

    source: Literal["classifier", "provided"]


class Score(Section):
    shard_rows: Positive
    tokens_per_batch: Positive
    dtype: Literal["auto", "float32", "bfloat16"]


class Lora(Section):
    r: Positive
    alpha: Annotated[float, Field(gt=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Finetune(Section):
    method: Literal["lora", "qlora", "full"]
    lora: Lora
    loss_mean: Literal["sequence", "token"]
    epochs: Positive
    batch_size: Positive
    length_window: Positive
    tokens_per_microbatch: Positive
    gradient_checkpointing: bool
    max_length: Annotated[int, Field(ge=16)]
    optimiser: Literal["adamw", "adafactor"]
    learning_rate: Rate
    weight_decay: Fraction
    schedule: Literal["linear", "cosine", "constant"]
    warmup: Fraction
    max_grad_norm: Annotated[float, Field(gt=0)]
    dtype: Literal["auto", "float32", "bfloat16"]
    train_rows: Positive | None
    valid_rows: Positive | None
    evaluate_every: Annotated[float, Field(gt=0)]
    keep: Literal["last", "best"]
    checkpoint_every: Positive


class EmbedReferences(Section):
    """The encoder of BERTScore."""

    encoder: Name
    layer: Positive
    batch_size: Positive


class Evaluate(Section):
    test_rows: Positive | None
    batch_size: Positive
    max_length: Annotated[int, Field(ge=16)]
    max_new_tokens: Positive
    decoding: Literal["greedy", "paper"]
    seed: Seed
    dtype: Literal["auto", "float32", "bfloat16"]

    @model_validator(mode="after")
    def paper_writes_fifty_tokens(self) -> Self:
        if self.decoding == "paper" and self.max_new_tokens != 50:
            raise ValueError(
                f"decoding: paper writes 50 new tokens, set max_new_tokens to 50, not {self.max_new_tokens}"
            )
        return self


class Report(Section):
    examples: Annotated[int, Field(ge=0)]


class Model(Section):
    """Everything known about one model."""

    title: Text
    source: ModelSource
    lora_targets: list[Text] | None


class Params(Section):
    """The whole of params.yaml."""

    models: Annotated[list[Name], Field(min_length=1)]
    encoders: Annotated[list[Name], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    weighting: Weights
    uniform: Weights
    presets: dict[Name, Weights]
    download: Download
    normalise: Normalise
    base_model: BaseModels
    base_encoder: BaseModels
    train_classifier: TrainClassifier
    severity: Severity
    score: Score
    finetune: Finetune
    embed_references: EmbedReferences
    evaluate: Evaluate
    report: Report
    registry: dict[Name, Model]

    @model_validator(mode="after")
    def names_exist(self) -> Self:
        for key, names in (("models", self.models), ("encoders", self.encoders)):
            for name in names:
                if name not in self.registry:
                    raise ValueError(f"{key}: '{name}' is not in registry{nearest(name, self.registry)}")
            repeated = {name for name in names if names.count(name) > 1}
            if repeated:
                raise ValueError(f"{key}: '{min(repeated)}' is listed twice")
        repeated_seeds = {seed for seed in self.seeds if self.seeds.count(seed) > 1}
        if repeated_seeds:
            raise ValueError(f"seeds: {min(repeated_seeds)} is listed twice")
        both = set(self.models) & set(self.encoders)
        if both:
            raise ValueError(f"encoders: '{min(both)}' is in models too; a model is one or the other")
        for name in self.models:
            if not self.registry[name].lora_targets:
                raise ValueError(f"registry.{name}.lora_targets: a model to fine-tune names at least one")
        for key, name in (
            ("train_classifier.encoder", self.train_classifier.encoder),
            ("embed_references.encoder", self.embed_references.encoder),
        ):
            if name not in self.encoders:
                raise ValueError(f"{key}: '{name}' is not in encoders{nearest(name, self.encoders)}")
        if self.uniform != Weights(alpha=1.0, beta=1.0, gamma=1.0, renormalise=False):
            raise ValueError(
                "uniform: alpha, beta and gamma are 1 and renormalise is false, that is plain cross-entropy"
            )
        return self


def load(path: Path) -> Params:
    """Read and check a parameter file.

    Raises:
        WaznError: the file is missing, is not YAML, or has a key or value that the schema
            does not allow; the sentence names the file, the key and the nearest known one.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise WaznError(
            f"{path}: no such file; run wazn in the project's folder, beside dvc.yaml"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise WaznError(f"{path}{where}: not valid YAML ({problem})") from error
    if not isinstance(values, dict):
        raise WaznError(f"{path}: expected keys and values, found {type(values).__name__}")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # An unknown key and the missing one it was meant to be come as two problems; the
        # unknown one says more.
        problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise WaznError(f"{path}: {sentence(problems[0], Params)}{more}") from error
