"""wazn code finetune: list the files that the code hash of a stage covers."""

from pipeline.code_hashes import PACKAGE, code_hash, stage_files, stage_names
from pipeline.errors import WaznError


def run(stage: str) -> None:
    """Print the files, then the hash.

    Raises:
        WaznError: there is no such stage.
    """
    if stage not in stage_names():
        raise WaznError(f"no stage '{stage}' has a code hash; there are {', '.join(stage_names())}")
    for path in stage_files(stage):
        print(path.relative_to(PACKAGE.parent).as_posix())
    print(code_hash(stage))
