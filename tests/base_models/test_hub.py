"""Models of the Hub, which a server on this machine plays: each is read, or refused in one sentence."""

import base64
import json
import re
import shutil
from importlib.metadata import PackageNotFoundError, version

import pytest
import torch
from hub_server import SHA, TOKEN, Hub, Repository, elsewhere
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.models.prompt import encode_prompt

# Each source is fetched into a folder of its own, as a decoder; what failed is said.
FETCH = """
import json, sys
from pathlib import Path
from pipeline.errors import WaznError
from pipeline.base_models.fetch import fetch

for source, folder in json.load(sys.stdin):
    try:
        fetch(source, Path(folder), Path(folder).parent, decoder=True)
        print(json.dumps(""))
    except WaznError as error:
        print(json.dumps(str(error)))
    except Exception as error:
        print(json.dumps(f"a traceback: {type(error).__name__} {error}"))
"""

# The same without torch, which takes seconds to import: what stands in the cache then.
DOWNLOAD = """
import json, sys, resource
from pipeline.errors import WaznError
from pipeline.base_models.hub import download

given = json.load(sys.stdin)
if given["most_bytes"]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (given["most_bytes"], given["most_bytes"]))
for name, revision, patterns in given["wanted"]:
    try:
        folder = download(f"hub:{name}@{revision}", name, revision, patterns)
        print(json.dumps(sorted(path.name for path in folder.iterdir())))
    except WaznError as error:
        print(json.dumps(str(error)))
    except Exception as error:
        print(json.dumps(f"a traceback: {type(error).__name__} {error}"))
"""
SMALL, WEIGHTS = ["*.json"], ["model.safetensors"]


def names(folder):
    return {path.name for path in folder.iterdir()}


def change(folder, file, **values):
    """A JSON file with other values; None takes one out."""
    changed = json.loads((folder / file).read_text(encoding="utf-8")) | values
    kept = {key: value for key, value in changed.items() if value is not None}
    (folder / file).write_text(json.dumps(kept), encoding="utf-8")


def without_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def pickle_weights(folder, parts=1, **options):
    """Old repositories have pickles, in parts where they are large, and a config without dtype.

    It is for want of a dtype that transformers looks into the weights before it loads them.
    """
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    change(folder, "config.json", dtype=None)
    if parts == 1:
        torch.save(weights, folder / "pytorch_model.bin", **options)
        return
    where = {key: f"pytorch_model-{n % parts:05}.bin" for n, key in enumerate(weights)}
    for file in set(where.values()):
        torch.save({key: weights[key] for key in weights if where[key] == file}, folder / file, **options)
    index = {"metadata": {}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index), encoding="utf-8")


def shard(folder):
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    assert len([name for name in names(folder) if name.endswith(".safetensors")]) > 1


def sentencepiece_of(pieces):
    """A SentencePiece file (ModelProto): pieces with their scores, of the kind BPE."""

    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    kinds = {"<unk>": b"\x18\x02", "<s>": b"\x18\x03", "</s>": b"\x18\x03"}
    written = b"".join(
        field(1, field(1, piece.encode()) + b"\x15\x00\x00\x00\x00" + kinds.get(piece, b""))
        for piece in pieces
    )
    return written + field(2, b"\x18\x02")


def make(root, built):
    """Folders of repositories, as there are on the Hub."""

    def model(name, architecture="gpt2"):
        shutil.copytree(built(architecture), root / name)
        return root / name

    good = model("good")
    (good / "modeling_evil.py").write_text("raise SystemExit", encoding="utf-8")
    for unwanted in (
        "pytorch_model.bin",
        "consolidated.safetensors",
        "onnx/model.safetensors",
        "run/config.json",
    ):
        (good / unwanted).parent.mkdir(exist_ok=True)
        (good / unwanted).write_bytes(b"many gigabytes")
    (good / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")

    pickle_weights(model("pickled", "qwen2"))
    pickle_weights(model("older"), _use_new_zipfile_serialization=False)
    pickle_weights(model("pickled-parts"), parts=3)
    shard(model("parts", "qwen2"))
    lacking = root / "lacking"
    shutil.copytree(root / "parts", lacking)
    min(lacking.glob("*.safetensors")).unlink()
    change(lacking, "config.json")
    escaping = root / "escaping"
    shutil.copytree(root / "parts", escaping)
    change(escaping, "model.safetensors.index.json", weight_map={"a": "../../../good/model.safetensors"})

    # An adapter as PEFT saves it, alone and beside a model.
    adapter = {
        "peft_type": "LORA",
        "base_model_name_or_path": "owner/base",
        "r": 2,
        "target_modules": ["c_attn"],
    }
    for name in ("adapter", "adapter-beside"):
        folder = model(name)
        (folder / "adapter_config.json").write_text(json.dumps(adapter), encoding="utf-8")
        shutil.copy(folder / "model.safetensors", folder / "adapter_model.safetensors")
    for name in ("config.json", "model.safetensors"):
        (root / "adapter" / name).unlink()

    for name, file in (("other-weights", "tf_model.h5"), ("gguf", "model-Q4_K_M.gguf")):
        folder = model(name)
        (folder / "model.safetensors").rename(folder / file)
    (root / "gguf" / "config.json").unlink()
    own = model("own-code")
    change(own, "config.json", model_type="grover", auto_map={"AutoConfig": "evil.Config"})
    (own / "evil.py").write_text("raise SystemExit", encoding="utf-8")
    change(model("encoder"), "config.json", model_type="t5", architectures=["T5Model"])
    (model("damaged") / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")

    without_tokenizer(model("wordless"))
    pieces = ["<unk>", "<s>", "</s>", "▁", *sorted(set("عندي صداع منذ يومين") - {" "})]
    for name, file in (("sentencepiece", sentencepiece_of(pieces)), ("tiktoken", tiktoken())):
        folder = model(name, "qwen2")
        without_tokenizer(folder)
        change(folder, "config.json", model_type="llama" if name == "sentencepiece" else "qwen2")
        (folder / "tokenizer.model").write_bytes(file)
        called = "LlamaTokenizer" if name == "sentencepiece" else "PreTrainedTokenizerFast"
        settings = {"tokenizer_class": called, "eos_token": "</s>", "unk_token": "<unk>"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    latin = model("latin")
    without_tokenizer(latin)
    (latin / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\npain\n", encoding="utf-8")
    (latin / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")


def tiktoken():
    return b"".join(base64.b64encode(bytes([n])) + f" {n}\n".encode() for n in range(256))


MODELS = (
    *(
        "good",
        "pickled",
        "older",
        "pickled-parts",
        "parts",
        "adapter-beside",
        "lacking",
        "escaping",
        "adapter",
    ),
    *(
        "other-weights",
        "gguf",
        "own-code",
        "encoder",
        "damaged",
        "wordless",
        "sentencepiece",
        "tiktoken",
        "latin",
    ),
)
REVISIONS = (SHA, "v1.0", "refs/pr/1", "nowhere", "ffff456789abcdef0123456789abcdef01234567")
# Repositories with the files of `good`, and how the Hub answers for them.
REFUSED = ("private", "gated", "disabled", "broken", "cut")


@pytest.fixture(scope="session")
def folders(built, tmp_path_factory):
    root = tmp_path_factory.mktemp("repositories")
    make(root, built)
    return root


@pytest.fixture(scope="session")
def hub(folders):
    repositories = {f"wazn/{name}": Repository(folders / name) for name in MODELS}
    repositories |= {f"wazn/{how}": Repository(folders / "good", how) for how in REFUSED}
    with Hub(repositories, renamed={"before/good": "wazn/good"}).running() as hub:
        yield hub


@pytest.fixture(scope="session")
def fetched(hub, tmp_path_factory):
    """For each source the folder that it was fetched into and the sentence, or ""; and what was asked."""
    sources = [
        *(f"hub:wazn/{name}@main" for name in (*MODELS, *REFUSED, "unknown", "no--name")),
        *(f"hub:wazn/good@{revision}" for revision in REVISIONS),
        "hub:before/good@main",
    ]
    root = tmp_path_factory.mktemp("fetched")
    wanted = [(source, str(root / str(number))) for number, source in enumerate(sources)]
    before = len(hub.asked)
    sentences, _ = elsewhere(FETCH, wanted, root / "hf", hub.url)
    found = {
        source: (root / str(number), sentence)
        for number, (source, sentence) in enumerate(zip(sources, sentences, strict=True))
    }
    return found, hub.asked[before:]


def download(hub, home, *wanted, most_bytes=0, **variables):
    """What a process without torch gets of the Hub: for each the names of the files, or a sentence."""
    given = {"wanted": wanted, "most_bytes": most_bytes}
    return elsewhere(DOWNLOAD, given, home, hub.url if isinstance(hub, Hub) else hub, **variables)


# ---- what is there ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        *(f"hub:wazn/good@{revision}" for revision in ("main", SHA, "v1.0", "refs/pr/1")),
        "hub:before/good@main",
        "hub:wazn/adapter-beside@main",
    ],
)
def test_a_model_is_copied_and_its_commit_noted(source, fetched, built):
    folder, sentence = fetched[0][source]
    assert sentence == ""
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (folder / file).read_bytes() == (built("gpt2") / file).read_bytes()
        assert not (folder / file).is_symlink()
    noted = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    assert noted == {"source": source, "commit": SHA}
    assert not [name for name in names(folder) if name.startswith("adapter")]


def test_only_what_is_read_is_downloaded(fetched, folders):
    results, asked = fetched
    folder, _ = results["hub:wazn/good@main"]
    unwanted = {"modeling_evil.py", "pytorch_model.bin", "consolidated.safetensors", "onnx", "run"}
    assert names(folder) == names(folders / "good") - unwanted | {"source.json"}
    files = {request.split("/")[-1] for request in asked if "wazn/good/resolve" in request}
    assert files.isdisjoint(unwanted)
    assert not [
        request for request in asked if request.endswith(".py") or "/onnx/" in request or "/run/" in request
    ]


@pytest.mark.parametrize(
    ("name", "architecture"),
    [("pickled", "qwen2"), ("older", "gpt2"), ("pickled-parts", "gpt2"), ("parts", "qwen2")],
)
def test_weights_in_parts_and_pickles_become_safetensors_of_equal_numbers(
    name, architecture, fetched, built
):
    folder, sentence = fetched[0][f"hub:wazn/{name}@main"]
    assert sentence == ""
    found = {}
    for path in folder.glob("*.safetensors"):
        found |= load_file(path)
    expected = load_file(built(architecture) / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(
        torch.equal(found[key], expected[key]) and found[key].dtype == expected[key].dtype for key in found
    )
    assert not [file for file in names(folder) if file.endswith((".bin", ".bin.index.json"))]
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    again = model.state_dict()
    assert all(torch.equal(again[key], expected[key]) for key in expected)
    assert len(AutoTokenizer.from_pretrained(folder)) == model.config.vocab_size


def test_a_chat_template_comes_along_and_changes_no_prompt(fetched, built):
    folder, _ = fetched[0]["hub:wazn/good@main"]
    given, plain = (AutoTokenizer.from_pretrained(path) for path in (folder, built("gpt2")))
    assert given.chat_template == "{{ messages }}"
    assert plain.chat_template is None
    assert encode_prompt(given, "عندي صداع") == encode_prompt(plain, "عندي صداع")


def installed(package):
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize(
    ("name", "packages"), [("sentencepiece", "sentencepiece protobuf"), ("tiktoken", "tiktoken")]
)
def test_a_tokenizer_in_another_format_is_read_or_the_package_is_named(name, packages, fetched):
    folder, sentence = fetched[0][f"hub:wazn/{name}@main"]
    if all(map(installed, packages.split())):
        assert sentence == ""
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer.decode(tokenizer("صداع")["input_ids"], skip_special_tokens=True).strip() == "صداع"
    else:
        assert sentence == (
            f"hub:wazn/{name}@main: its tokenizer (tokenizer.model) is in the format of {name}; "
            f"run `pip install {packages}`, then run the command again"
        )
        assert not folder.exists()


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("wazn/unknown@main", r"no such model at http://\S+, or it is private; .* HF_TOKEN"),
        ("wazn/private@main", r"no such model at http://\S+, or it is private; .* HF_TOKEN"),
        (
            "wazn/gated@main",
            r"asks for an account .* accept them at http://\S+/wazn/gated, and set HF_TOKEN",
        ),
        ("wazn/disabled@main", "is disabled on the Hub"),
        ("wazn/good@nowhere", "the model is there, but it has no such branch, tag or commit"),
        (f"wazn/good@{REVISIONS[-1]}", "the model is there, but it has no such branch, tag or commit"),
        ("wazn/broken@main", r"could not be fetched from http://\S+ \(it answered 500\)"),
        ("wazn/cut@main", r"could not be fetched from http://\S+ \(\w+\); check the network"),
        ("wazn/no--name@main", "no model of the Hub can have this name"),
        ("wazn/adapter@main", r"holds an adapter .* name the model that it is for \(owner/base\)"),
        ("wazn/gguf@main", "has no config.json"),
        ("wazn/other-weights@main", "holds neither model.safetensors nor pytorch_model.bin"),
        (
            "wazn/lacking@main",
            r"lacks 1 of the \d+ files that model.safetensors.index.json names, such as model",
        ),
        ("wazn/escaping@main", "model.safetensors.index.json names files that do not lie beside it"),
        ("wazn/own-code@main", "transformers reads no architecture of its own in config.json"),
        ("wazn/encoder@main", "is no causal language model but t5"),
        ("wazn/damaged@main", "model.safetensors is damaged or cut off"),
        ("wazn/wordless@main", "its tokenizer makes nothing|transformers cannot load its tokenizer"),
        ("wazn/latin@main", "its tokenizer makes nothing of Arabic text"),
    ],
)
def test_what_cannot_be_had_or_read_is_one_sentence(source, expected, fetched):
    folder, sentence = fetched[0][f"hub:{source}"]
    assert re.match(f"hub:{re.escape(source)}: {expected}", sentence), sentence
    assert "\n" not in sentence
    assert not folder.exists()
    assert not list(folder.parent.glob(f".{folder.name}*"))


def test_code_of_a_repository_is_not_even_asked_for(fetched):
    assert not [request for request in fetched[1] if "evil" in request]


# ---- tokens, mirrors, caches and disks ----------------------------------------------------------


def test_a_token_opens_what_it_may_and_is_told_to_the_hub_alone(hub, tmp_path):
    hub.told.clear()
    wanted = [(f"wazn/{name}", "main", [*SMALL, *WEIGHTS]) for name in ("gated", "private", "unknown")]
    (gated, private, unknown), printed = download(hub, tmp_path, *wanted, HF_TOKEN=TOKEN)
    assert "model.safetensors" in gated
    assert gated == private
    assert "no such model" in unknown
    assert hub.told
    assert not any(hub.told)
    assert TOKEN not in printed


def test_a_token_that_the_hub_does_not_know_is_one_sentence(hub, tmp_path):
    [sentence], printed = download(hub, tmp_path, ("wazn/good", "main", SMALL), HF_TOKEN="hf_no_such")
    assert sentence.startswith("hub:wazn/good@main: the Hub refuses the token in HF_TOKEN")
    assert "hf_no_such" not in printed


def test_a_mirror_below_a_path_is_asked_alone(folders, tmp_path):
    with Hub({"wazn/good": Repository(folders / "good")}, prefix="/mirror/hub").running() as mirror:
        [found, sentence], _ = download(
            mirror, tmp_path, ("wazn/good", "main", [*SMALL, *WEIGHTS]), ("wazn/no", "main", SMALL)
        )
    assert "model.safetensors" in found
    assert sentence.startswith(f"hub:wazn/no@main: no such model at {mirror.url}, or it is private")


def test_a_warm_cache_needs_no_network_and_a_cold_one_says_so(hub, tmp_path):
    download(
        hub,
        tmp_path,
        ("wazn/good", "main", SMALL),
        ("wazn/good", "main", WEIGHTS),
        ("wazn/parts", "main", SMALL),
    )
    before = len(hub.asked)
    wanted = [
        *(
            (f"wazn/{name}", revision, [*SMALL, *WEIGHTS])
            for name, revision in (("good", "main"), ("good", SHA))
        ),
        ("wazn/parts", "main", ["*.safetensors"]),
        ("wazn/pickled", "main", SMALL),
    ]
    (branch, commit, half, cold), _ = download(hub, tmp_path, *wanted, HF_HUB_OFFLINE="1")
    assert "model.safetensors" in branch
    assert branch == commit
    for sentence, name in ((half, "parts"), (cold, "pickled")):
        assert sentence.startswith(f"hub:wazn/{name}@main: is not in the Hub's cache {tmp_path}")
        assert "HF_HUB_OFFLINE is set" in sentence
    assert len(hub.asked) == before


@pytest.mark.slow
def test_a_model_of_which_all_is_in_the_cache_is_fetched_without_network(fetched, hub, tmp_path):
    """Also by what asks whether there is one file of weights or several."""
    home = next(iter(fetched[0].values()))[0].parent / "hf"
    before = len(hub.asked)
    wanted = [
        (f"hub:wazn/{name}@main", str(tmp_path / name)) for name in ("good", "parts", "pickled-parts")
    ]
    sentences, _ = elsewhere(FETCH, wanted, home, hub.url, HF_HUB_OFFLINE="1")
    assert sentences == ["", "", ""]
    assert len(hub.asked) == before
    for name in ("good", "parts", "pickled-parts"):
        online = fetched[0][f"hub:wazn/{name}@main"][0]
        assert names(online) == names(tmp_path / name)
        assert all(
            (online / file).read_bytes() == (tmp_path / name / file).read_bytes() for file in names(online)
        )


def test_a_full_disk_is_one_sentence(hub, tmp_path):
    [sentence], _ = download(hub, tmp_path, ("wazn/good", "main", WEIGHTS), most_bytes=20_000)
    assert sentence.startswith(
        f"hub:wazn/good@main: the Hub's cache {tmp_path}/hub could not be written (File too large)"
    )
    assert "HF_HOME" in sentence
    [names_], _ = download(hub, tmp_path, ("wazn/good", "main", WEIGHTS))
    assert names_ == WEIGHTS


def test_a_cache_that_cannot_be_written_is_one_sentence(hub, tmp_path):
    (tmp_path / "hub").write_text("in the way", encoding="utf-8")
    [sentence], _ = download(hub, tmp_path, ("wazn/good", "main", SMALL))
    assert sentence.startswith(f"hub:wazn/good@main: the Hub's cache {tmp_path}/hub could not be written")


@pytest.mark.slow
def test_a_hub_that_is_down_is_one_sentence(folders, tmp_path):
    with Hub({}).running() as gone:
        pass
    [sentence], _ = download(gone, tmp_path, ("wazn/good", "main", SMALL))
    assert sentence.startswith(f"hub:wazn/good@main: could not be fetched from {gone.url} (ConnectError)")
    assert "\n" not in sentence
