"""Checkpoints of a training run: written whole, checked when read, pruned."""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import peft
import torch
import transformers

from pipeline.files import replacing
from pipeline.hashes import digest, folder_digest, json_digest
from pipeline.paths import SCORED

if TYPE_CHECKING:
    from pipeline.config.models import ModelEntry
    from pipeline.config.training import ArmConfig, TrainConfig

# If the newest checkpoint turns out damaged, the one before it is there.
_KEPT = 2
_NAME = re.compile(r"step-(\d{9})-([0-9a-f]{64})\.pt")


def fingerprint(
    base: Path, seed: int, config: "TrainConfig", entry: "ModelEntry", arm: "ArmConfig", code: str
) -> str:
    """SHA-256 over all that decides the trained weights, so that no checkpoint of another run is used.

    That is the scored pairs, the base model in the folder `base`, the parameters, the hash of the code and
    the versions of the libraries under it.
    """
    parts: list[Any] = [
        digest(SCORED, "sha256"),
        folder_digest(base),
        config.model_dump(),
        seed,
        entry.lora_targets,
        arm.model_dump(),
        code,
        [module.__version__ for module in (torch, transformers, peft)],
    ]
    return json_digest(parts)


class Checkpoints:
    """The checkpoints of one run, in a folder that no other run shares."""

    def __init__(self, folder: Path) -> None:
        """Keep checkpoints in `folder`."""
        self.folder = folder

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint of a step and remove those that are too old to be needed.

        Its name holds its hash, so a file that was cut off or altered can be told.

        Raises:
            WaznError: the disk refuses it.
        """
        unnamed = self.folder / f"step-{step:09}"
        with replacing(unnamed) as temporary, temporary.open("wb") as file:
            hashing = _Hashing(file)
            try:
                torch.save(state, hashing)  # type: ignore[arg-type]  # it writes only
            except RuntimeError as error:
                # torch makes an error of its own of a write that failed.
                raise hashing.refused or error from None
        unnamed.replace(self.folder / f"{unnamed.name}-{hashing.digest()}.pt")
        for path in self._newest_first()[_KEPT:]:
            path.unlink()

    def latest(self) -> dict[str, Any] | None:
        """The newest checkpoint that is whole, on the CPU; None where there is none."""
        for path in self._newest_first():
            if _whole(path):
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                return state
            print(f"{path}: damaged or cut off, so it is passed over")
        return None

    def _newest_first(self) -> list[Path]:
        paths = (path for path in self.folder.glob("step-*.pt") if _NAME.fullmatch(path.name))
        return sorted(paths, key=lambda path: path.name, reverse=True)


def _whole(path: Path) -> bool:
    """Whether a checkpoint can be read and has the hash that its name says."""
    name = _NAME.fullmatch(path.name)
    try:
        return name is not None and digest(path, "sha256") == name[2]
    except OSError:
        return False


class _Hashing:
    """A file whose bytes are hashed while they are written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._state = file, hashlib.sha256()
        self.refused: OSError | None = None

    def write(self, data: bytes) -> int:
        self._state.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.refused = error
            raise

    def flush(self) -> None:
        self._file.flush()

    def digest(self) -> str:
        return self._state.hexdigest()
