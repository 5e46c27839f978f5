"""python -m pipeline code

Write one hash for each stage over its code, on which that stage depends in place of file names.
"""

from pathlib import Path

from pipeline.code_hashes import code_hash, stage_names
from pipeline.files import replacing

CODE = Path("code.yaml")


def run() -> None:
    """Write code.yaml: stage to hash. It changes only where the code of a stage does."""
    lines = [f"{stage}: {code_hash(stage)}\n" for stage in stage_names()]
    with replacing(CODE) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
