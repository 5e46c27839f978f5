"""Minute models for every test that needs one; they are built once a session, and nothing is fetched."""

import os

# Set before torch and huggingface_hub are imported: minute models are quickest on one thread, and no
# test may reach a network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

DECODERS = ("gpt2", "qwen2")
PAIRS = [
    ("عندي صداع منذ يومين", "خذ قسطا من الراحة واشرب الماء."),
    ("ألم حاد في الصدر مع ضيق في التنفس وتعرق بارد", "توجه إلى الطوارئ فورا."),
    ("سعال خفيف", "اشرب السوائل الدافئة، وراجع الطبيب إذا استمر السعال أكثر من أسبوع."),
    ("حكة في الجلد بعد أكل الفراولة", "قد تكون حساسية، فتجنب الفراولة."),
    ("ما هي الجرعة المناسبة من فيتامين د للأطفال؟", "يحدد الطبيب الجرعة بعد تحليل الدم."),
    ("أشعر بدوخة عند الوقوف", "قم ببطء، وقس ضغط الدم."),
    ("نزيف شديد لا يتوقف", "اضغط على الجرح واتصل بالإسعاف."),
    ("طفلي عمره سنة وحرارته تسع وثلاثون", "أعطه خافض الحرارة وراقبه، وراجع الطبيب اليوم."),
    ("ألم في الركبة", "استرح وضع كمادات باردة."),
    ("لا أنام جيدا", "تجنب القهوة مساء."),
]


@pytest.fixture(scope="session")
def pairs():
    """Ten complaints with their answers, in Arabic, of differing lengths."""
    return PAIRS


@pytest.fixture(scope="session")
def minute_shape():
    from pipeline.config.models import TinyConfig

    return TinyConfig(
        vocabulary=300,
        hidden=32,
        layers=1,
        heads=2,
        context=512,
        steps=3,
        batch_size=4,
        learning_rate=0.002,
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory, minute_shape):
    """Folder of the minute model of an architecture, as `build_tiny` saves it."""
    from pipeline.base_models.tiny import build_tiny
    from pipeline.models.runtime import deterministic

    folders = {}

    def folder(architecture):
        if architecture not in folders:
            path = tmp_path_factory.mktemp("built") / architecture
            deterministic(17)
            build_tiny(architecture, [text for pair in PAIRS for text in pair], minute_shape, 17, path)
            folders[architecture] = path
        return folders[architecture]

    return folder


@pytest.fixture(scope="session")
def tokenizer(built):
    """The byte-level tokenizer of the minute decoders; its padding is not its end-of-text."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(built("gpt2"))


@pytest.fixture(scope="session")
def decoder(tokenizer):
    """A fresh random decoder, the same at every call.

    Its weights are large, so that its greedy answers wander, as those of a model with the usual
    small random weights do not: it repeats one token.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

    common = {
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.3,
    }

    def fresh(architecture, dtype=torch.float32, seed=5, **changes):
        torch.manual_seed(seed)
        if architecture == "gpt2":
            shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512}
            no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
            model = GPT2LMHeadModel(GPT2Config(**{**common, **shape, **no_dropout, **changes}))
        else:
            shape = {
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "max_position_embeddings": 512,
                "tie_word_embeddings": True,
            }
            model = Qwen2ForCausalLM(Qwen2Config(**{**common, **shape, **changes}))
        return model.to(dtype).eval()

    return fresh


@pytest.fixture(scope="session")
def examples(tokenizer):
    """The ten pairs as token ids, with weights that float32 holds exactly."""
    from pipeline.models.prompt import encode

    weights = [0.5, 1.5, 1.0, 0.75, 1.25, 0.875, 1.375, 0.625, 1.0, 1.125]
    encoded = [
        encode(tokenizer, f"row-{number}", question, answer, weight, max_length=500)
        for number, ((question, answer), weight) in enumerate(zip(PAIRS, weights, strict=True))
    ]
    assert all(encoded)
    return encoded


@pytest.fixture(scope="session")
def scored_table():
    """A table as `score` writes it: `n` rows of each split, probabilities as float32 softmax gives them."""
    import numpy as np
    import pandas as pd

    from pipeline.severities import PROBABILITIES, SEVERITIES

    def table(train, test):
        rows = train + test
        logits = np.random.default_rng(3).normal(size=(rows, 3))
        logits[np.arange(rows), np.arange(rows) % 3] += 2  # each severity comes by in turn, mostly
        found = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype("float32")
        return pd.DataFrame(
            {
                "source": "own.csv",
                "line": range(2, rows + 2),
                "id": [f"row-{number}" for number in range(rows)],
                "question": [PAIRS[number % len(PAIRS)][0] for number in range(rows)],
                "answer": [PAIRS[number % len(PAIRS)][1] for number in range(rows)],
                "split": ["train"] * train + ["test"] * test,
                "specialty": "",
                "severity_human": None,
                # No two are alike.
                "group": [f"group-{number}" for number in range(rows)],
                "severity": [SEVERITIES[index] for index in found.argmax(axis=1)],
                **{name: found[:, column] for column, name in enumerate(PROBABILITIES)},
            }
        )

    return table


def pytest_collection_modifyitems(items):
    """Those that run whole pipelines first, or one worker is left alone with them at the end."""
    items.sort(key=lambda item: item.path.name != "test_caching.py")
