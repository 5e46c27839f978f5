"""Upload an exported folder to the Hugging Face Hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from pipeline.commands.exporting.note import read_note
from pipeline.commands.exporting.sharing import forbidding, unclear
from pipeline.errors import WaznError

# What an export before may have left there, such as an adapter where the merged model is now.
_OURS = ["*.safetensors", "*.json", "*.jinja"]
_TOKEN = "set HF_TOKEN to a token that may write there (or run `hf auth login`)"
_STATUS = {
    401: f"the Hub does not know who you are; {_TOKEN}",
    403: f"you may not write there; {_TOKEN}",
    404: f"you may not write there, or it is gone; {_TOKEN}",
    429: "the Hub wants fewer requests from this address; wait some minutes",
}


def upload(folder: Path, repository: str, *, public: bool, licences_read: bool) -> None:
    """Make the repository hold what the folder does, as one commit; print its address.

    Args:
        public: whether everybody may see it; without, a repository that is there must be private.
        licences_read: whether the user vouches for licences of which it is not known here what they allow.

    Raises:
        WaznError: the folder is no export, a licence forbids it or is not known, the repository is public
            unasked, or the Hub refuses.
    """
    licences = read_note(folder)["licences"]
    if forbidden := forbidding(licences):
        raise WaznError(f"{folder}: may not be passed on, as licences forbid it: {'; '.join(forbidden)}")
    if not licences_read and (open_questions := unclear(licences)):
        raise WaznError(
            f"{folder}: it is not known whether licences allow passing it on: {'; '.join(open_questions)}; "
            "read them and, if they allow it, add --licences-read"
        )
    if constants.HF_HUB_OFFLINE:
        raise WaznError(f"{repository}: HF_HUB_OFFLINE is set, so nothing is uploaded; unset it")
    with _asking(repository):
        api = HfApi()
        api.create_repo(repository, private=not public, exist_ok=True)
        private = api.repo_info(repository).private
    if not private and not public:
        raise WaznError(
            f"{repository}: is there and public; add --public to upload to it, or name another repository"
        )
    with _asking(repository):
        done = api.upload_folder(
            repo_id=repository, folder_path=folder, delete_patterns=_OURS, commit_message="Export of wazn"
        )
    print(done.commit_url)


@contextmanager
def _asking(repository: str) -> Iterator[None]:
    """Turn what the Hub refuses in the block into one sentence."""
    try:
        yield
    except HFValidationError as error:
        raise WaznError(f"{repository}: no repository can have this name; write owner/name") from error
    except Exception as error:
        # The Hub's library, its HTTP library and the sockets below it each have their own kinds of errors.
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        happened = f"it answered {status}" if status else type(error).__name__
        problem = _STATUS.get(status or 0) or (
            f"could not be uploaded to {constants.ENDPOINT} ({happened}); check the network and, if it is "
            "set, HF_ENDPOINT, then run the command again"
        )
        raise WaznError(f"{repository}: {problem}") from error
