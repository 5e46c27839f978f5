"""Gemma 3 270M out of a GGUF file of 4 and 5 bits."""

import json

import pytest
import torch
from real_models import gemma_folder
from safetensors.torch import load_file

from pipeline import paths
from pipeline.models.prompt import encode_prompt
from pipeline.models.runtime import load_decoder, load_tokenizer


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    folder = gemma_folder(tmp_path_factory)
    return load_decoder(folder, torch.float32, 512), load_tokenizer(folder), folder


@pytest.mark.slow
def test_gemma_is_what_it_says(gemma):
    model, tokenizer, folder = gemma
    assert model.num_parameters() == 268_098_176
    weights = load_file(folder / "model.safetensors")
    assert sum(tensor.numel() for tensor in weights.values()) == 268_098_176, "the tied table is saved once"
    assert encode_prompt(tokenizer, "صداع شديد")[0] == tokenizer.bos_token_id == 2
    assert (tokenizer.eos_token, tokenizer.eos_token_id, tokenizer.pad_token_id) == ("<eos>", 1, 0)
    assert model.generation_config.eos_token_id == model.config.eos_token_id == 1
    assert model.config.sliding_window == 512
    assert model.config.layer_types.count("full_attention") == 3
    note = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    assert note["sha256"] == "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
    assert (note["license"], note["tensors"]["Q4_K"]) == ("gemma", 27)


def nats_per_byte(model, tokenizer, texts, start=True):
    nats, size = 0.0, 0
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"][0 if start else 1 :]])
        with torch.no_grad():
            nats += model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        size += len(text.encode())
    return nats / size


@pytest.mark.slow
def test_gemma_expects_arabic(gemma):
    """Norms that are off by one, as a GGUF file has them, would give 3.5 nats a byte, and chance 2.6."""
    model, tokenizer, _ = gemma
    lines = paths.SAMPLE.read_text(encoding="utf-8").splitlines()[:8]
    complaints = [json.loads(line)["question"] for line in lines]
    article = (
        "مرض السكري هو مجموعة من الأمراض الاستقلابية التي تتميز بارتفاع مستوى السكر في الدم على مدى فترة "
        "طويلة. وتشمل أعراض ارتفاع سكر الدم كثرة التبول وزيادة العطش وزيادة الجوع."
    )
    assert 0.8 < nats_per_byte(model, tokenizer, complaints) < 1.2
    assert 0.35 < nats_per_byte(model, tokenizer, [article]) < 0.6
    assert nats_per_byte(model, tokenizer, complaints, start=False) > 1.3, "it needs its start of text"


@pytest.mark.slow
def test_gemma_goes_on_in_arabic(gemma):
    model, tokenizer, _ = gemma
    question = tokenizer("السؤال: ما هي أعراض مرض السكري؟ الجواب:", return_tensors="pt")
    with torch.no_grad():
        answer = model.generate(**question, max_new_tokens=24, do_sample=False)
    text = tokenizer.decode(answer[0, question["input_ids"].shape[1] :], skip_special_tokens=True)
    letters = [character for character in text if character.isalpha()]
    assert len(letters) > 30
    assert sum("ء" <= character <= "ي" for character in letters) > 0.95 * len(letters)
