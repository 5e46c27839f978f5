"""Tiny models: built to the same bytes, loaded like any model, and at home in Arabic."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from pipeline.training.tiny import build

ARCHITECTURES = ("gpt2", "qwen2", "bert")

BUILD = """
import json, sys
from pathlib import Path
from pipeline.training.runtime import deterministic
from pipeline.training.tiny import Shape, build

given = json.load(sys.stdin)
for architecture in given["architectures"]:
    deterministic(17)
    build(architecture, given["texts"], Shape(**given["shape"]), 17, Path(given["folder"]) / architecture)
"""


@pytest.fixture
def shape(minute_shape):
    return dataclasses.replace(minute_shape, context=64)


@pytest.fixture
def texts(pairs):
    return [text for pair in pairs for text in pair]


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_same_seed_gives_the_same_bytes(architecture, texts, shape, tmp_path):
    for name in ("first", "second"):
        build(architecture, texts, shape, 17, tmp_path / name)
        torch.rand(3)  # a random number that somebody else draws is no part of the result
    assert digests(tmp_path / "first") == digests(tmp_path / "second")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_another_seed_gives_other_weights(architecture, texts, shape, tmp_path):
    for seed in (17, 18):
        build(architecture, texts, shape, seed, tmp_path / str(seed))
    first, second = digests(tmp_path / "17"), digests(tmp_path / "18")
    assert first["model.safetensors"] != second["model.safetensors"]
    assert first["tokenizer.json"] == second["tokenizer.json"]


def test_another_process_gives_the_same_bytes(built, texts, minute_shape, tmp_path):
    given = {"architectures": ARCHITECTURES, "texts": texts, "folder": str(tmp_path)}
    given["shape"] = dataclasses.asdict(minute_shape)
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
    kind = AutoModelForMaskedLM if architecture == "bert" else AutoModelForCausalLM
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
    tokenizer = AutoTokenizer.from_pretrained(built("bert"))
    ids = tokenizer("صداع شديد منذ يومين")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "صداع شديد منذ يومين"


def test_encoders_padding_is_masked(built, pairs):
    tokenizer = AutoTokenizer.from_pretrained(built("bert"))
    batch = tokenizer([pairs[0][0], pairs[1][0]], padding=True, return_tensors="pt")
    assert torch.equal(batch["attention_mask"] == 0, batch["input_ids"] == tokenizer.pad_token_id)
    assert batch["attention_mask"].sum() < batch["attention_mask"].numel()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_source_is_noted(architecture, built):
    noted = json.loads((built(architecture) / "source.json").read_text(encoding="utf-8"))
    assert noted == {"source": f"tiny:{architecture}"}


@pytest.mark.parametrize("architecture", ["gpt2", "qwen2"])
def test_decoder_learns_to_end_where_a_text_ends(architecture, texts, shape, tmp_path):
    """Were end-of-text padding too, or left off, it would never be a label."""
    learning = dataclasses.replace(shape, context=512, steps=100, learning_rate=0.01)
    build(architecture, texts, learning, 17, tmp_path)
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
