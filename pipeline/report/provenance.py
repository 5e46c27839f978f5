"""What a page was made with: the commit and the versions that decide its figures."""

import platform
import subprocess
from importlib.metadata import version

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


def commit() -> str:
    """The commit of the working folder, with a note where files differ from it; empty outside git."""
    head = (git("rev-parse", "HEAD") or "").strip()
    changed = head and git("status", "--porcelain", "--untracked-files=no", "--", "pipeline", "params.yaml")
    return f"{head}, with uncommitted changes" if changed else head


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute."""
    return {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def git(*arguments: str) -> str | None:
    """What git says; None where it fails, or there is none."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
