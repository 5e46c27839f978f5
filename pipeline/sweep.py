"""wazn sweep: the presets of params.yaml as DVC experiments."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from pipeline.errors import WaznError
from pipeline.files import replacing

_BACKUP = Path(".dvc/tmp/params-before-sweep.yaml")


def run(presets: Sequence[str], *, queue: bool, params: Path) -> None:
    """Run each preset as a DVC experiment of its name, or hand all of them to DVC's queue.

    In the workspace (the default) one runs after the other. One that was killed is taken up again by the
    same command: what it has finished comes out of DVC's cache. At the end, also after a failure or a
    kill and another start, the parameter file is as it was.

    Raises:
        WaznError: DVC is not installed, this is no DVC project with a commit, or an experiment failed.
    """
    dvc = shutil.which("dvc") or shutil.which("dvc", path=str(Path(sys.executable).parent))
    if dvc is None:
        raise WaznError(
            "sweep: dvc is not on the PATH; activate the virtual environment it is installed in"
        )
    original = _original(params)
    known = set(_output(dvc, "exp", "list", "--name-only").split())
    try:
        for preset in presets:
            if preset in known:
                # The same name again would be refused; what it computed stays in the cache.
                _call(dvc, "exp", "remove", "--quiet", preset)
            setting = f"weighting=${{presets.{preset}}}"
            options = ["--queue"] if queue else []
            print(f"sweep: {preset}", flush=True)
            _call(dvc, "exp", "run", *options, "--name", preset, "--set-param", f"{params}:{setting}")
    finally:
        if params.read_bytes() != original:
            with replacing(params) as temporary:
                temporary.write_bytes(original)
        _BACKUP.unlink(missing_ok=True)
    if queue:
        print("queued; start with: dvc queue start --jobs 1")
        return
    # Back to the results of the parameters as they are; all of it comes out of the cache.
    _call(dvc, "repro", "--quiet")
    print("done; compare with: dvc exp show --only-changed, dvc metrics diff mild strong")


def _original(params: Path) -> bytes:
    """The parameter file as it was before the sweep, which may be one that was killed."""
    current = params.read_bytes()
    if _BACKUP.is_file():
        before = _BACKUP.read_bytes()
        old, new = yaml.safe_load(before), yaml.safe_load(current)
        # Only the weighting differs: DVC had set it when it was killed. Else the user has been at it.
        if {**old, "weighting": None} == {**new, "weighting": None}:
            return before
    with replacing(_BACKUP) as temporary:
        temporary.write_bytes(current)
    return current


def _call(*command: str) -> None:
    code = subprocess.call(command)
    if code:
        raise WaznError(
            f"sweep: `{' '.join(command[1:])}` ended with code {code}; once that is mended, "
            "the same command takes it up again"
        )


def _output(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise WaznError(f"sweep: `{' '.join(command[1:])}` failed: {last}")
    return result.stdout
