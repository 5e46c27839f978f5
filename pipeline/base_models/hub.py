"""The Hugging Face Hub: its files and commits, and what it refuses in one sentence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pipeline.errors import WaznError
from pipeline.os_errors import system_error

Kind = Literal["model", "dataset"]
_CALLED: dict[Kind, str] = {"model": "model", "dataset": "data set"}
# What is said of an error of one of the library's kinds, of which the first that it is counts.
_KINDS = (
    (HFValidationError, "no {called} of the Hub can have this name; write <owner>/<name>@<revision>"),
    (
        GatedRepoError,
        "asks for an account that has accepted its terms; accept them at {page}, and set HF_TOKEN to a "
        "token of that account",
    ),
    (
        RepositoryNotFoundError,
        "no such {called} at {hub}, or it is private; check its name, or set HF_TOKEN to a token of an "
        "account that may read it",
    ),
    (
        RevisionNotFoundError,
        "the {called} is there, but it has no such branch, tag or commit; see {page}/tree/main",
    ),
    (DisabledRepoError, "is disabled on the Hub, so nobody can fetch it; take another {called}"),
)
_STATUS = {
    401: "the Hub refuses the token in HF_TOKEN (or of `hf auth login`); set a valid one, or none",
    429: "the Hub wants fewer requests from this address; wait some minutes, or set HF_TOKEN",
}
_OFFLINE = (
    "is not in the Hub's cache {cache} as far as it is needed, and HF_HUB_OFFLINE is set, so nothing is "
    "asked for; unset it, or fill the cache on a machine with network"
)
_UNWRITTEN = (
    "the Hub's cache {cache} could not be written ({happened}); see to that, or set HF_HOME to a folder on "
    "another disk, then run the command again"
)
_FAILED = (
    "could not be fetched from {hub} ({happened}); check the network and, if it is set, HF_ENDPOINT, then "
    "run the command again"
)


def download(source: str, repository: str, revision: str, patterns: Sequence[str]) -> Path:
    """Fetch files of a model into the Hub's cache; those in folders of the repository are left out.

    Args:
        source: what messages call the model.
        revision: a commit, branch or tag.
        patterns: names of files, or patterns of such.

    Returns:
        The folder of the cache with the files; its name is the commit.

    Raises:
        WaznError: they cannot be had.
    """
    with _asking(source, repository, "model"):
        folder = snapshot_download(
            repository, revision=revision, allow_patterns=list(patterns), ignore_patterns=["*/*"]
        )
    return Path(folder)


def look_up(source: str, repository: str, revision: str, kind: Kind) -> tuple[str, str]:
    """The commit that a revision is now, and what the Hub calls the repository.

    Raises:
        WaznError: the Hub cannot be asked, or does not say.
    """
    if constants.HF_HUB_OFFLINE:
        raise WaznError(
            f"{source}: HF_HUB_OFFLINE is set, so the Hub is not asked which commit this is; unset it"
        )
    with _asking(source, repository, kind):
        found = HfApi().repo_info(repository, revision=revision, repo_type=kind)
        return str(found.sha), str(found.id)


@contextmanager
def _asking(source: str, repository: str, kind: Kind) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The Hub's library, its HTTP library and the sockets below it each have their own kinds of errors.
        raise WaznError(f"{source}: {_said(_first(error), repository, kind)}") from error


def _first(error: Exception) -> BaseException:
    """What went wrong before the cache was looked into in vain."""
    return error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error


def _said(error: BaseException, repository: str, kind: Kind) -> str:
    """What happened and what to do, as the rest of a sentence."""
    facts = {
        "called": _CALLED[kind],
        "hub": constants.ENDPOINT,
        "page": f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repository}",
        "cache": constants.HF_HUB_CACHE,
    }
    sentence = next((said for kinds, said in _KINDS if isinstance(error, kinds)), None)
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if constants.HF_HUB_OFFLINE and isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
        sentence = _OFFLINE
    system = system_error(error)
    if system and not isinstance(system, ConnectionError | TimeoutError):
        sentence, facts["happened"] = _UNWRITTEN, str(system.strerror)
    if sentence is None:
        sentence = _STATUS.get(status or 0, _FAILED)
        facts["happened"] = f"it answered {status}" if status else type(error).__name__
    return sentence.format(**facts)
