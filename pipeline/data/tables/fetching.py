"""Files and answers from servers: with patience, checked, complete or absent."""

import hashlib
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import pooch
import requests

from pipeline.config.source_uri import secure
from pipeline.errors import WaznError
from pipeline.files import replacing
from pipeline.hashes import matches

FOLDER = Path(".downloads")
PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
_BLOCK = 1 << 16
# Server errors and "too many requests" pass; any other refusal is final.
_PASSING = (408, 425, 429)

_UNSAFE = re.compile(r"[^\w.() -]")

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a server may be silent, in seconds, and how often a failure is tried again."""

    timeout_s: float
    retries: int


def fetch(url: str, expected: str | None, patience: Patience, name: str = "") -> Path:
    """A file from a server, kept in `.downloads/`.

    A file that is there already is taken if it has the hash that is expected; without a hash
    nobody could say that it is the same, so it is fetched again.

    Args:
        url: HTTPS, or HTTP of this machine.
        expected: `<kind>:<digits>` (`pipeline.hashes`).
        patience: silence and retries.
        name: what to call the file; by default the last part of the URL.

    Raises:
        WaznError: the server refuses, fails as often as it is tried, or sends another file.
    """
    name = name or Path(unquote(urlsplit(url).path)).name or "file"
    prefix = hashlib.sha256(url.encode()).hexdigest()[:12]
    path = FOLDER / f"{prefix}-{_UNSAFE.sub('_', name)[-100:]}"
    if expected and path.is_file() and matches(path, expected):
        return path
    with replacing(path) as temporary:
        _patiently(lambda: _download(url, temporary, patience), url, patience)
        if expected and not matches(temporary, expected):
            raise WaznError(
                f"{_shown(url)}: the file that came has not the hash {expected}: changed or damaged, "
                "so it is not kept; check the source, or set `hash` to that of the file you trust"
            )
    return path


def get_json(url: str, patience: Patience) -> Any:
    """The JSON that a server answers.

    Raises:
        WaznError: as `fetch`; or the answer is not JSON.
    """

    def ask() -> Any:
        response = requests.get(url, timeout=patience.timeout_s, hooks={"response": _stay_secure})
        response.raise_for_status()
        return response.json()

    try:
        return _patiently(ask, url, patience)
    except requests.exceptions.JSONDecodeError:
        raise WaznError(f"{_shown(url)}: expected JSON, found something else; is it a Dataverse?") from None


def redirection(url: str, patience: Patience) -> str | None:
    """Where a server sends whoever asks for `url`; None if nowhere.

    Raises:
        WaznError: as `fetch`.
    """

    def ask() -> str | None:
        response = requests.get(url, timeout=patience.timeout_s, allow_redirects=False)
        response.raise_for_status()
        return response.headers.get("Location")

    return _patiently(ask, url, patience)


def _download(url: str, path: Path, patience: Patience) -> None:
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=_BLOCK,
        timeout=patience.timeout_s,
        # The file's own bytes: a hash is of them, and a compressed answer could expand without bound.
        headers={"Accept-Encoding": "identity"},
        hooks={"response": _stay_secure},
    )
    downloader(url, str(path), None)


def _stay_secure(response: requests.Response, **_: object) -> None:
    target = response.headers.get("Location") if response.is_redirect else None
    if target and not secure(urljoin(response.url, target)):
        raise WaznError(
            f"{_shown(response.url)}: leads to an address that is not https; give another source"
        )


def _patiently(attempt: Callable[[], T], url: str, patience: Patience) -> T:
    for number in range(patience.retries + 1):
        try:
            return attempt()
        except requests.exceptions.JSONDecodeError:
            raise
        except requests.RequestException as error:
            reason, passing = _explained(error, patience)
            if not passing:
                raise WaznError(f"{_shown(url)}: {reason}; check the source in params.yaml") from None
        if number < patience.retries:
            time.sleep(min(PAUSE_S * 2**number, _LONGEST_PAUSE_S))
    raise WaznError(
        f"{_shown(url)}: {reason}, tried {patience.retries + 1} times; check the network and the address, "
        "or raise download.retries or download.timeout_s, and run the stage again"
    )


def _explained(error: requests.RequestException, patience: Patience) -> tuple[str, bool]:
    """What went wrong, in words, and whether it may pass."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        words = {401: "needs a login", 403: "not open to everybody", 404: "not found", 410: "gone"}
        reason = f"{words.get(status, 'the server failed')} (HTTP status {status})"
        return reason, status >= 500 or status in _PASSING
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"the server was silent for {patience.timeout_s:g} s", True
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not valid", False
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut before the file was complete", True
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server, or it was cut", True
    return f"could not be fetched ({type(error).__name__})", False


def _shown(url: str) -> str:
    """The URL without its query, which may hold a key."""
    return url.partition("?")[0]
