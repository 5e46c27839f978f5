"""GGUF files of a folder, which the tests write."""

import hashlib
import json
import struct

import gguf
import numpy as np
import pytest
import torch
from gguf_files import as_stored, refusal, write_gguf
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from pipeline import paths
from pipeline.base_models import gguf_header
from pipeline.base_models.build import fetch_or_build
from pipeline.base_models.gguf import convert
from pipeline.base_models.gguf_header import read_header
from pipeline.config.models import BaseModelConfig, ModelEntry
from pipeline.errors import WaznError
from pipeline.models.prompt import encode_prompt
from pipeline.models.runtime import load_decoder, load_tokenizer

# transformers takes 1,024 positions for granted in a GGUF file of a GPT-2.
SHAPES = {"gpt2": {"n_positions": 1024}, "qwen2": {}}


# ---- what comes out -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["F32", "BF16", "Q8_0", "Q4_0"])
@pytest.mark.parametrize("architecture", SHAPES)
def test_converted_model_is_the_original_with_its_weights_as_the_file_has_them(
    architecture, kind, decoder, tokenizer, pairs, local, tmp_path
):
    original = decoder(architecture, **SHAPES[architecture])
    write_gguf(local / "mine.gguf", original, tokenizer, kind)
    convert("gguf:mine.gguf", tmp_path / "out", local, decoder=True)
    with torch.no_grad():
        for name, parameter in original.named_parameters():
            if parameter.ndim == 2:
                # Blocks run along the rows as the file has them.
                turned = architecture == "gpt2" and ".h." in name
                value = np.ascontiguousarray((parameter.T if turned else parameter).numpy())
                stored = torch.from_numpy(as_stored(value, kind))
                parameter.copy_(stored.T if turned else stored)
    converted = load_decoder(tmp_path / "out", torch.float32, 512)
    ours = load_tokenizer(tmp_path / "out")
    for question, answer in pairs:
        ids = tokenizer(f"{question}\n{answer}")["input_ids"]
        assert ours(f"{question}\n{answer}")["input_ids"] == ids
        with torch.no_grad():
            logits = [model(torch.tensor([ids])).logits for model in (original, converted)]
        # fuse_activations computes GPT-2's activation in another order.
        torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        expected = getattr(original.config, name)
        assert getattr(ours, name) == expected
        assert getattr(converted.config, name) == expected
        assert getattr(converted.generation_config, name) == expected


def test_conversion_changes_what_the_file_holds_by_no_bit(decoder, tokenizer, good, local, tmp_path):
    convert("gguf:good.gguf", tmp_path / "out", local, decoder=True)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    original = dict(decoder("qwen2").named_parameters())
    assert weights.keys() == original.keys(), "tied weights are saved once"
    assert all(torch.equal(weights[name], parameter) for name, parameter in original.items())
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["dtype"] == "float32"
    assert "quantization_config" not in config


@pytest.mark.parametrize("tied", [True, False])
def test_output_layer_of_its_own_is_kept(tied, decoder, tokenizer, local, tmp_path):
    original = decoder("qwen2", tie_word_embeddings=tied)
    write_gguf(local / "mine.gguf", original, tokenizer)
    convert("gguf:mine.gguf", tmp_path / "out", local, decoder=True)
    converted = load_decoder(tmp_path / "out", torch.float32, 512)
    assert converted.config.tie_word_embeddings is tied
    expected = original.get_output_embeddings().weight
    assert torch.equal(converted.get_output_embeddings().weight, expected)


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("architecture", SHAPES)
def test_tokens_are_those_of_transformers_own_choice_of_a_tokenizer(
    architecture, start, decoder, tokenizer, local, tmp_path
):
    """Its class is not asked for, as finding it takes long."""
    metadata = {"tokenizer.ggml.add_bos_token": start, "tokenizer.chat_template": "{{ messages }}"}
    original = decoder(architecture, **SHAPES[architecture])
    write_gguf(local / "mine.gguf", original, tokenizer, metadata=metadata)
    convert("gguf:mine.gguf", tmp_path / "out", local, decoder=True)
    ours, chosen = (
        load_tokenizer(tmp_path / "out"),
        AutoTokenizer.from_pretrained(local, gguf_file="mine.gguf"),
    )
    for text in ("", "صداع  شديد\n\nمنذ يومين ", "Panadol 500mg 🩺", "<|endoftext|>ألم"):
        assert ours(text)["input_ids"] == chosen(text)["input_ids"]
        assert ours.decode(ours(text)["input_ids"]) == chosen.decode(chosen(text)["input_ids"])
    assert (encode_prompt(ours, "صداع")[0] == ours.bos_token_id) is start
    assert ours.chat_template == "{{ messages }}"


def test_a_file_is_an_encoder_where_one_is_asked_for(decoder, tokenizer, good, local, tmp_path):
    convert("gguf:good.gguf", tmp_path / "out", local, decoder=False)
    encoder = AutoModel.from_pretrained(tmp_path / "out")
    assert type(encoder).__name__ == "Qwen2Model"
    ids = torch.tensor([tokenizer("صداع شديد")["input_ids"]])
    with torch.no_grad():
        expected = decoder("qwen2").model(ids).last_hidden_state
        assert torch.equal(encoder(ids).last_hidden_state, expected)


def test_the_source_is_noted_with_what_the_file_says_of_itself(decoder, tokenizer, local, tmp_path):
    file = write_gguf(local / "mine.gguf", decoder("qwen2"), tokenizer, "Q8_0")
    convert("gguf:mine.gguf", tmp_path / "out", local, decoder=True)
    # Two layers of seven matrices, two norms and three biases; the embedding; the last norm.
    assert json.loads((tmp_path / "out" / "source.json").read_text(encoding="utf-8")) == {
        "source": "gguf:mine.gguf",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "architecture": "qwen2",
        "name": "Minute model",
        "license": "apache-2.0",
        "tensors": {"Q8_0": 15, "F32": 11},
    }


def test_the_stage_converts_says_so_and_replaces_what_was_there(
    good, local, minute_shape, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    folder = paths.base_model("mine")
    folder.mkdir(parents=True)
    (folder / "old.json").write_text("{}", encoding="utf-8")
    config = BaseModelConfig(folder=str(local), tiny=minute_shape, max_texts=1, seed=1)
    entry = ModelEntry(title="Mine", source="gguf:good.gguf", lora_targets=["q_proj"])
    fetch_or_build("mine", config, entry, lambda: pytest.fail("no text is needed"), decoder=True)
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "source.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["reading", "converting", "saving", "converting"]


# ---- where the file is --------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["name", "path", "in a folder"])
def test_a_file_in_the_folder_is_found(written, good, local, tmp_path):
    (local / "deeper").mkdir()
    (local / "deeper" / "other.gguf").write_bytes(good.read_bytes())
    name = {"name": "good.gguf", "path": str(good), "in a folder": "deeper/other.gguf"}[written]
    convert(f"gguf:{name}", tmp_path / "out", local, decoder=True)
    assert load_decoder(tmp_path / "out", torch.float32, 512).config.model_type == "qwen2"


def test_other_files_beside_it_change_nothing(good, local, tmp_path):
    """transformers would read an adapter or a tokenizer that lies in the same folder."""
    for name in ("adapter_config.json", "tokenizer.json", "tokenizer_config.json", "config.json"):
        (local / name).write_text("{", encoding="utf-8")
    convert("gguf:good.gguf", tmp_path / "out", local, decoder=True)
    assert len(load_tokenizer(tmp_path / "out")) == 300


@pytest.mark.parametrize("written", ["absolute", "relative", "link"])
def test_a_file_outside_the_folder_is_refused(written, good, local, tmp_path):
    outside = tmp_path / "outside.gguf"
    good.rename(outside)
    (local / "link.gguf").symlink_to(outside)
    name = {"absolute": str(outside), "relative": "../outside.gguf", "link": "link.gguf"}[written]
    assert f"lies outside {local}" in refusal(f"gguf:{name}", tmp_path / "base" / "out", local)


def test_a_missing_file_and_a_folder_are_one_sentence(local, tmp_path):
    out = tmp_path / "base" / "out"
    assert f"no such file, nor in {local}" in refusal("gguf:theirs.gguf", out, local)
    (local / "folder.gguf").mkdir()
    assert "is a folder" in refusal("gguf:folder.gguf", out, local)


def test_a_file_that_the_system_does_not_give_is_one_sentence(good, local, tmp_path, monkeypatch):
    class Guarded(type(good)):
        def open(self, *args, **kwargs):
            raise PermissionError(13, "Permission denied", str(self))

    with pytest.raises(WaznError, match=r"^gguf:good\.gguf: could not be read \(Permission denied\)"):
        read_header(Guarded(good), "gguf:good.gguf")


# ---- what the file is ---------------------------------------------------------------------------


def number_of_version(number, order="<"):
    return lambda content: content[:4] + struct.pack(f"{order}I", number) + content[8:]


BAD_BYTES = {
    "empty": (lambda content: b"", "is no GGUF file"),
    "web page": (lambda content: b"<!doctype html>" * 20, "is no GGUF file"),
    "pointer": (lambda content: b"version https://git-lfs.github.com/spec/v1\n", "is no GGUF file"),
    "magic alone": (lambda content: content[:4], "is cut off: it ends after 4 bytes"),
    "within the header": (lambda content: content[:300], "is cut off: it ends after 300 bytes"),
    "within the tensors": (lambda content: content[: len(content) // 2], "is cut off"),
    "last byte": (lambda content: content[:-1], "is cut off"),
    "first version": (number_of_version(1), "is of version 1; little-endian"),
    "next version": (number_of_version(4), "is of version 4; little-endian"),
    "big-endian": (number_of_version(3, ">"), "is a big-endian file"),
    "no architecture": (
        lambda content: content.replace(b"general.architecture", b"general.architectura", 1),
        "holds no model",
    ),
    "many tensors": (lambda content: content[:8] + b"\xff" * 8 + content[16:], "is cut off"),
    "much metadata": (lambda content: content[:16] + b"\xff" * 8 + content[24:], "is cut off"),
    "metadata of no type": (
        lambda content: content.replace(b"general.name\x08", b"general.name\x2a", 1),
        r"its header is damaged (metadata of a type (42) that is not defined)",
    ),
}


@pytest.mark.parametrize("damage", BAD_BYTES)
def test_a_damaged_file_is_one_sentence(damage, good, local, tmp_path):
    spoil, sentence = BAD_BYTES[damage]
    content = good.read_bytes()
    assert spoil(content) != content
    good.write_bytes(spoil(content))
    assert sentence in refusal("gguf:good.gguf", tmp_path / "base" / "out", local)


def test_a_file_cut_anywhere_is_refused(good):
    content = good.read_bytes()
    for length in [*range(4, 6000, 101), *range(6000, len(content), 5003), len(content) - 1]:
        good.write_bytes(content[:length])
        with pytest.raises(WaznError, match="is cut off"):
            read_header(good, "gguf:good.gguf")


def test_whatever_a_header_says_reading_it_ends_in_a_header_or_a_sentence(good):
    content = good.read_bytes()
    generator = np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        spoilt = bytearray(content)
        for position in generator.integers(4, 9000, 5):
            spoilt[position] = generator.integers(256)
        good.write_bytes(spoilt)
        try:
            read_header(good, "gguf:good.gguf")
        except WaznError as error:
            refused += 1
            assert "\n" not in str(error)
    assert 30 < refused < 300


BAD_MODELS = {
    "unknown architecture": (
        {"architecture": "parrot"},
        "transformers cannot convert its model (GGUF model with",
    ),
    "vision projector": (
        {"architecture": "clip"},
        "transformers cannot convert its model (GGUF model with",
    ),
    "encoder and decoder": (
        {"architecture": "t5"},
        "transformers cannot convert its model (Unrecognized config",
    ),
    "adapter": (
        {"metadata": {"general.type": "adapter"}},
        "holds no language model but what llama.cpp calls 'ad",
    ),
    "projector": (
        {"metadata": {"general.type": "mmproj"}},
        "holds no language model but what llama.cpp calls 'mm",
    ),
    "piece": ({"metadata": {"split.count": 3}}, "is one of 3 pieces of a model; join them"),
    "vocabulary alone": ({"without": [".weight", ".bias"]}, "holds no model"),
    "no tokenizer": ({"without": ["tokenizer."]}, "holds no tokenizer"),
    "unknown tokenizer": (
        {"metadata": {"tokenizer.ggml.model": "rwkv"}},
        "transformers cannot convert its tok",
    ),
    "no end-of-text": ({"without": ["eos_token_id"]}, "names no end-of-text token"),
    "lacks a weight": (
        {"without": ["blk.1.ffn_up"]},
        "its weights lack 1 that its metadata asks for, such as model.lay",
    ),
    "other shape": (
        {"metadata": {"qwen2.feed_forward_length": 96}},
        "6 of its weights have other shapes than its me",
    ),
    "unreadable type": ({"kind": "I8"}, "15 of its tensors are of the type I8, which cannot be turned"),
}


@pytest.mark.parametrize("problem", BAD_MODELS)
def test_a_file_that_holds_no_whole_model_that_can_be_read_is_one_sentence(
    problem, decoder, tokenizer, local, tmp_path
):
    changes, sentence = BAD_MODELS[problem]
    write_gguf(local / "bad.gguf", decoder("qwen2"), tokenizer, **changes)
    assert sentence in refusal("gguf:bad.gguf", tmp_path / "base" / "out", local)


def test_a_type_of_tensors_that_nobody_knows_is_named_by_its_number(good, local, tmp_path):
    content = good.read_bytes()
    place = content.index(b"token_embd.weight") + len(b"token_embd.weight") + 4 + 2 * 8
    good.write_bytes(content[:place] + struct.pack("<I", 99) + content[place + 4 :])
    assert "1 of its tensors are of the type number 99" in refusal(
        "gguf:good.gguf", tmp_path / "base" / "out", local
    )


def test_without_the_package_gguf_it_is_one_sentence(good, local, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf_header, "gguf", None)
    assert "the package gguf is not installed" in refusal(
        "gguf:good.gguf", tmp_path / "base" / "out", local
    )


def test_the_header_tells_values_and_types(good):
    header = read_header(good, "gguf:good.gguf")
    assert header.values["general.architecture"] == "qwen2"
    assert header.values["qwen2.rope.freq_base"] == 10000
    assert header.values["tokenizer.ggml.tokens"] == 300, "of an array its length"
    reader = gguf.GGUFReader(good)
    # The library calls three fields of its own fields too.
    assert header.values.keys() == {name for name in reader.fields if not name.startswith("GGUF.")}
    assert header.types == {"F32": len(reader.tensors)}
