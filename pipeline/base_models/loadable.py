"""Whether transformers reads what was fetched: found out at once, not hours later in another stage."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_MAPPING_NAMES

from pipeline.errors import WaznError

# A line of tiktoken's files: a token in base64, and its rank.
_TIKTOKEN = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n")
_ARABIC = "عندي صداع منذ يومين"


def refuse_unloadable(source: str, folder: Path, decoder: bool) -> None:
    """Refuse a model whose weights are no safetensors, or whose configuration or tokenizer cannot be used.

    Args:
        source: what messages call the model.
        folder: with config.json, a tokenizer and safetensors.
        decoder: whether it is to be a causal language model, else an encoder.

    Raises:
        WaznError: transformers does not read it, or its tokenizer reads no Arabic.
    """
    _check_architecture(source, folder, decoder)
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="np"):
                pass
        except SafetensorError as error:
            raise WaznError(
                f"{source}: {path.name} is damaged or cut off; fetch it again (in a clone without git-lfs "
                "a pointer stands in its place)"
            ) from error
    _check_tokenizer(source, folder)


def _check_architecture(source: str, folder: Path, decoder: bool) -> None:
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if decoder else MODEL_MAPPING_NAMES
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        # A damaged file, or an architecture that is known to code in its repository only.
        raise WaznError(
            f"{source}: transformers reads no architecture of its own in config.json, and a repository's "
            f"code is never run ({type(error).__name__}); take another model"
        ) from error
    if config.model_type not in known:
        expected = "causal language model" if decoder else "encoder"
        raise WaznError(f"{source}: is no {expected} but {config.model_type}; take another model")


def _check_tokenizer(source: str, folder: Path) -> None:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise WaznError(f"{source}: {_needed(folder) or _unread(error)}") from error
    # Without a vocabulary transformers makes a tokenizer of its own few special tokens.
    tokens = tokenizer(_ARABIC, add_special_tokens=False)["input_ids"]
    known = [token for token in tokens if token != tokenizer.unk_token_id]
    if not tokenizer.decode(known, clean_up_tokenization_spaces=False).strip():
        raise WaznError(
            f"{source}: its tokenizer makes nothing of Arabic text; it has no vocabulary, or one without "
            "Arabic"
        )


def _needed(folder: Path) -> str | None:
    """What to install for the tokenizer; None where nothing is missing."""
    if (folder / "tokenizer.json").is_file():
        return None
    for path in sorted([*folder.glob("*.model"), *folder.glob("*.tiktoken")]):
        with path.open("rb") as file:
            # transformers reads SentencePiece's files by two packages.
            asked = (
                ("tiktoken",) if _TIKTOKEN.fullmatch(file.readline(4096)) else ("sentencepiece", "protobuf")
            )
        if not all(map(_is_installed, asked)):
            return (
                f"its tokenizer ({path.name}) is in the format of {asked[0]}; run `pip install "
                f"{' '.join(asked)}`, then run the command again"
            )
    return None


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _unread(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0] or type(error).__name__
    return f"transformers cannot load its tokenizer ({first[:200]})"
