"""Tiny models: built to the same bytes, loaded like any model, and at home in Arabic."""

import hashlib
import json
import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
import torch
from small_devices import batch_sizes_on_four_gpus
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from pipeline.base_models import tiny
from pipeline.base_models.tiny import build_tiny

ARCHITECTURES = ("gpt2", "qwen2", "modernbert")

BUILD = """
import json, sys
from pathlib import Path
from pipeline.models.runtime import deterministic
from pipeline.base_models.tiny import build_tiny
from pipeline.config.models import TinyConfig

given = json.load(sys.stdin)
for architecture in given["architectures"]:
    deterministic(17)
    folder = Path(given["folder"]) / architecture
    build_tiny(architecture, given["texts"], TinyConfig(**given["shape"]), 17, folder)
"""


@pytest.fixture
def shape(minute_shape):
    return minute_shape.model_copy(update={"context": 64})


@pytest.fixture
def texts(pairs):
    return [text for pair in pairs for text in pair]


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_same_seed_gives_the_same_bytes(architecture, texts, shape, tmp_path):
    for name in ("first", "second"):
        build_tiny(architecture, texts, shape, 17, tmp_path / name)
        torch.rand(3)  # a random number that somebody else draws is no part of the result
    assert digests(tmp_path / "first") == digests(tmp_path / "second")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_another_seed_gives_other_weights(architecture, texts, shape, tmp_path):
    for seed in (17, 18):
        build_tiny(architecture, texts, shape, seed, tmp_path / str(seed))
    first, second = digests(tmp_path / "17"), digests(tmp_path / "18")
    assert first["model.safetensors"] != second["model.safetensors"]
    assert first["tokenizer.json"] == second["tokenizer.json"]


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(built, texts, minute_shape, tmp_path):
    given = {"architectures": ARCHITECTURES, "texts": texts, "folder": str(tmp_path)}
    given["shape"] = minute_shape.model_dump()
    subprocess.run(
        [sys.executable, "-c", BUILD],
        input=json.dumps(given),
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        check=True,
        capture_output=True,
    )
    for architecture in ARCHITECTURES:
        assert digests(tmp_path / architecture) == digests(built(architecture)), architecture


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_model_is_saved_as_safetensors_only(architecture, built):
    names = {path.name for path in built(architecture).iterdir()}
    assert "model.safetensors" in names
    assert all(name.endswith((".json", ".safetensors", ".txt", ".jinja")) for name in names), names


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_model_loads_by_its_folder_alone(architecture, built, pairs, minute_shape):
    kind = AutoModelForMaskedLM if architecture == "modernbert" else AutoModelForCausalLM
    model = kind.from_pretrained(built(architecture), use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(built(architecture))
    assert model.config.model_type == architecture
    assert len(tokenizer) <= minute_shape.vocabulary
    assert tokenizer.model_max_length == minute_shape.context
    logits = model(**tokenizer(pairs[0][0], return_tensors="pt")).logits
    assert logits.shape[-1] == len(tokenizer)
    assert logits.isfinite().all()


@pytest.mark.parametrize("architecture", ["gpt2", "qwen2"])
@pytest.mark.parametrize(
    "text",
    [
        "ألم في الصدر منذ ٣ أيام، هل هو خطير؟",
        "صُداعٌ شديدٌ",
        "Panadol 500mg مرتين",
        "\nسطر\n\nآخر  وفراغان",
        "گچپژ 🩺",
    ],
    ids=["plain", "diacritics", "latin", "white space", "never seen"],
)
def test_decoders_tokenizer_gives_back_any_text(architecture, text, built):
    tokenizer = AutoTokenizer.from_pretrained(built(architecture))
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_encoders_tokenizer_gives_back_arabic_words(built):
    tokenizer = AutoTokenizer.from_pretrained(built("modernbert"))
    ids = tokenizer("صداع شديد منذ يومين")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "صداع شديد منذ يومين"


def test_encoders_padding_is_masked(built, pairs):
    tokenizer = AutoTokenizer.from_pretrained(built("modernbert"))
    batch = tokenizer([pairs[0][0], pairs[1][0]], padding=True, return_tensors="pt")
    assert torch.equal(batch["attention_mask"] == 0, batch["input_ids"] == tokenizer.pad_token_id)
    assert batch["attention_mask"].sum() < batch["attention_mask"].numel()


def test_batches_are_as_large_as_asked_for_where_four_gpus_are_visible(texts, shape, tmp_path, monkeypatch):
    with batch_sizes_on_four_gpus(tiny, monkeypatch) as sizes:
        build_tiny("gpt2", texts, shape, 17, tmp_path)
    assert sizes == [shape.batch_size]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_source_is_noted(architecture, built):
    noted = json.loads((built(architecture) / "source.json").read_text(encoding="utf-8"))
    assert noted == {"source": f"tiny:{architecture}"}


# ---- latent semantic analysis -------------------------------------------------------------------

# Words that stand in each other's place, by subject; no text has two of them, so that words of like
# contexts never meet and are told by their contexts alone.
PLACES = {
    "pain": ("صداع", "وجع", "نبض", "ضغط", "وخز", "ثقل"),
    "skin": ("حكة", "طفح", "بثور", "جفاف", "احمرار", "قشور"),
}
CONTEXTS = {
    "pain": ("راسي", "جبيني", "عيني", "رقبتي", "اذني", "فكي"),
    "skin": ("جلدي", "يدي", "ساقي", "ظهري", "كتفي", "بطني"),
}
# Narrow beside the number of texts, as analysis has to be: else each keeps a direction of its own.
NARROW = {"hidden": 4, "vocabulary": 500, "steps": 0}


@pytest.fixture(scope="module")
def of_two_subjects():
    """Every word of a subject with every two of its contexts, between words that all texts have."""
    return [
        f"عندي {word} في {first} و {second}"
        for subject, words in PLACES.items()
        for word in words
        for first, second in combinations(CONTEXTS[subject], 2)
    ]


@pytest.fixture(scope="module")
def analysed(of_two_subjects, minute_shape, tmp_path_factory):
    """Folder of an encoder without a step of training, much narrower than there are texts."""
    folder = tmp_path_factory.mktemp("analysed")
    build_tiny("modernbert", of_two_subjects, minute_shape.model_copy(update=dict(**NARROW)), 17, folder)
    return folder


def embedded(folder):
    """The embedding of a word that is one token, as the model in the folder has it."""
    table = AutoModelForMaskedLM.from_pretrained(folder).get_input_embeddings().weight.detach().numpy()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def vector(word):
        [token] = tokenizer(word, add_special_tokens=False)["input_ids"]
        return table[token]

    return vector


def cosine(first, second):
    return first @ second / np.linalg.norm(first) / np.linalg.norm(second)


def test_words_of_like_contexts_start_nearer_than_unlike_ones(analysed):
    vector = embedded(analysed)
    like = [cosine(vector(a), vector(b)) for words in PLACES.values() for a, b in combinations(words, 2)]
    unlike = [cosine(vector(a), vector(b)) for a in PLACES["pain"] for b in PLACES["skin"]]
    assert min(like) > max(unlike) + 0.3


def test_without_analysis_likeness_would_be_chance(of_two_subjects, minute_shape, tmp_path, monkeypatch):
    """That the test before this one can fail: random embeddings do not have the property."""
    monkeypatch.setattr(tiny, "_start_from_lsa", lambda *_: None)
    build_tiny("modernbert", of_two_subjects, minute_shape.model_copy(update=dict(**NARROW)), 17, tmp_path)
    vector = embedded(tmp_path)
    like = [cosine(vector(a), vector(b)) for words in PLACES.values() for a, b in combinations(words, 2)]
    assert min(like) < 0


def test_embeddings_of_analysis_are_ten_times_as_wide_as_random_ones(analysed):
    table = AutoModelForMaskedLM.from_pretrained(analysed).get_input_embeddings().weight.detach()
    assert 0.15 < table.std() < 0.25
    assert table.isfinite().all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_without_a_step_of_training_is_a_model_and_repeats(architecture, texts, shape, tmp_path):
    still = shape.model_copy(update=dict(steps=0))
    for name in ("first", "second"):
        build_tiny(architecture, texts, still, 17, tmp_path / name)
        np.random.seed(1)  # a random state that somebody else sets is no part of the result
        torch.rand(3)
    assert digests(tmp_path / "first") == digests(tmp_path / "second")
    build_tiny(architecture, texts, shape, 17, tmp_path / "trained")
    first, trained = digests(tmp_path / "first"), digests(tmp_path / "trained")
    assert first["model.safetensors"] != trained["model.safetensors"], "and steps do something"


def test_fewer_texts_than_the_model_is_wide_are_analysed_too(shape, tmp_path):
    build_tiny("modernbert", ["صداع شديد", "سعال خفيف", "ألم في الصدر"], shape, 17, tmp_path)
    table = AutoModelForMaskedLM.from_pretrained(tmp_path).get_input_embeddings().weight
    assert table.isfinite().all()


@pytest.mark.parametrize("architecture", ["gpt2", "qwen2"])
def test_decoder_learns_to_end_where_a_text_ends(architecture, texts, shape, tmp_path):
    """Were end-of-text padding too, or left off, it would never be a label."""
    learning = shape.model_copy(update=dict(context=512, steps=100, learning_rate=0.01))
    build_tiny(architecture, texts, learning, 17, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    at_end, before = [], []
    for text in texts:
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0]
        ends = logits.softmax(dim=-1)[:, tokenizer.eos_token_id].tolist()
        at_end.append(ends[-1])
        before += ends[:-1]
    assert sum(at_end) / len(at_end) > 5 * sum(before) / len(before)
    assert tokenizer.eos_token_id != tokenizer.pad_token_id
