"""What a page was made with: code of each stage, versions of the packages that decide its figures."""

import sys
from importlib.metadata import version

from pipeline.code_hashes import code_hash, stage_names

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "tokenizers",
    "bert-score",
    "sacrebleu",
    "rouge-score",
    "scikit-learn",
    "scipy",
    "numpy",
    "pandas",
    "dvc",
)
DIGITS = 12


def stage_hashes() -> dict[str, str]:
    """The first `DIGITS` digits of each stage's code hash; code.yaml has all of them."""
    return {stage: code_hash(stage)[:DIGITS] for stage in stage_names()}


def versions() -> dict[str, str]:
    """Versions of Python (major and minor) and of the packages that compute."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"Python": python, **{name: version(name) for name in PACKAGES}}
