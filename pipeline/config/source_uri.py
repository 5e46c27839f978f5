"""What `source` and `hash` may say in the `download` section of params.yaml."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["sample", "lexicon", "url", "doi", "hf", "path"]

FORMS = "sample, a path, https://…, doi:10.… of a Dataverse, or hf:<owner>/<name>@<revision>[:<split>]"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

_DOI = re.compile(r"doi:10\.\d{4,9}/[^\s?#]+")
_HF = re.compile(r"hf:([\w.-]+/[\w.-]+)@([\w./-]+?)(?::(\w+(?:\.\w+)*))?")
_HASH = re.compile(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}|gitblob:[0-9a-f]{40}")


@dataclass(frozen=True)
class HubDataset:
    """A data set of the Hub: `hf:<owner>/<name>@<revision>[:<split>]`; without a split, all of them."""

    name: str
    revision: str
    split: str | None


def kind_of(source: str) -> Kind:
    """Which of the forms `source` has.

    Raises:
        ValueError: it has none of them; the message says what is expected.
    """
    if source == "sample":
        return "sample"
    if source == "lexicon":
        return "lexicon"
    if source.startswith("doi:"):
        if not _DOI.fullmatch(source):
            raise ValueError(f"expected a DOI such as doi:10.7910/DVN/Y2JBEZ, found {source!r}")
        return "doi"
    if source.startswith("hf:"):
        hub_dataset(source)
        return "hf"
    if "://" in source:
        _check_url(source)
        return "url"
    return "path"


def hub_dataset(source: str) -> HubDataset:
    """The parts of `hf:<owner>/<name>@<revision>[:<split>]`.

    Raises:
        ValueError: the text is not of that form.
    """
    match = _HF.fullmatch(source)
    if not match:
        raise ValueError(
            f"expected hf:<owner>/<name>@<revision>[:<split>], with a commit or branch, found {source!r}"
        )
    return HubDataset(*match.groups())


def check_hash(value: str) -> None:
    """Check the form of a `hash`.

    Raises:
        ValueError: it is none that wazn computes.
    """
    if not _HASH.fullmatch(value):
        raise ValueError(
            "expected sha256:, md5: or gitblob: and then 64, 32 or 40 lower-case hexadecimal digits, "
            f"found {value!r}"
        )


def secure(url: str) -> bool:
    """Whether the bytes of `url` cannot be changed on their way: HTTPS, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS)


def _check_url(source: str) -> None:
    try:
        parts = urlsplit(source)
        host = parts.hostname or ""
    except ValueError:
        raise ValueError(f"not a URL: {source!r}") from None
    if host in ("doi.org", "dx.doi.org"):
        raise ValueError(f"write a DOI as doi:{parts.path.lstrip('/')}, found {source!r}")
    if not host or re.search(r"\s", source) or not secure(source):
        raise ValueError(f"expected {FORMS}, found {source!r}; a URL begins with https://")
