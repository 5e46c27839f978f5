"""A file of a data set in a Dataverse, by the DOI of the data set."""

import mimetypes
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.config.source_uri import secure
from pipeline.data.tables.choice import choose
from pipeline.data.tables.fetching import Patience, get_json, redirection
from pipeline.data.tables.names import shown_names
from pipeline.errors import WaznError

RESOLVER = "https://doi.org"
_MOST_HOPS = 5
_HASHES = ("md5", "sha1", "sha256", "sha512")


@dataclass(frozen=True)
class DataverseFile:
    """A file as its server lists it.

    Attributes:
        name: that of the upload.
        url: where its bytes are.
        hash: `<kind>:<digits>` of its bytes, if the server has one.
        restricted: whether it is not open to everybody.
    """

    name: str
    url: str
    hash: str | None
    restricted: bool


def find_file(doi: str, wanted: str | None, patience: Patience) -> DataverseFile:
    """Choose a file from the latest published version of a data set.

    A table that the server has converted to its own tab-separated form is taken as it was uploaded;
    the hash that the server lists is of the upload (guides.dataverse.org, "Data Access API";
    IQSS/dataverse issue 9501).

    Args:
        doi: `doi:10.…`.
        wanted: name or pattern (`*.csv`) of the file; None if there is one only.
        patience: silence and retries.

    Raises:
        WaznError: the DOI leads to no Dataverse, or not exactly one file is meant: the names are listed.
    """
    server = _server(doi, patience)
    version = f"{server}/api/datasets/:persistentId/versions/:latest-published"
    answer = get_json(f"{version}?persistentId={quote(doi, safe=':/')}", patience)
    try:
        files = [_described(entry, server) for entry in answer["data"]["files"]]
    except (AttributeError, KeyError, TypeError):
        raise WaznError(
            f"{doi}: {server} does not answer as a Dataverse does; give the file's URL"
        ) from None
    file = choose(files, wanted, doi)
    if file.restricted:
        raise WaznError(
            f"{doi}: {shown_names([file.name], 'file')[0]} is restricted; ask its owners for it, then give "
            "the path of your copy"
        )
    return file


def _server(doi: str, patience: Patience) -> str:
    """The server that the DOI leads to; its landing page is not asked for."""
    url = f"{RESOLVER}/{quote(doi.removeprefix('doi:'), safe='/')}"
    resolver = urlsplit(url)
    for _ in range(_MOST_HOPS):
        target = redirection(url, patience)
        if not target:
            break
        parts = urlsplit(target)
        if parts.netloc and parts.netloc != resolver.netloc:
            return f"{parts.scheme if secure(target) else 'https'}://{parts.netloc}"
        url = target if parts.netloc else f"{RESOLVER}{target}"
    raise WaznError(f"{doi}: {RESOLVER} does not say where it is; check the DOI")


def _described(entry: dict[str, Any], server: str) -> tuple[list[str], DataverseFile]:
    """The names that a file goes by, that of the upload first, and the file."""
    data = entry["dataFile"]
    name = label = entry.get("label") or data["filename"]
    converted = bool(data.get("originalFileFormat") or data.get("originalFileName"))
    if converted:
        # Servers before version 5 tell the upload's kind only.
        ending = mimetypes.guess_extension(str(data.get("originalFileFormat"))) or ".tab"
        name = data.get("originalFileName") or PurePosixPath(label).stem + ending
    names = [name, label]
    if entry.get("directoryLabel"):
        names = [f"{entry['directoryLabel']}/{each}" for each in names] + names
    url = f"{server}/api/access/datafile/{data['id']}" + ("?format=original" if converted else "")
    return names, DataverseFile(name, url, _hash(data), bool(entry.get("restricted")))


def _hash(data: dict[str, Any]) -> str | None:
    checksum = data.get("checksum") or {"type": "MD5", "value": data.get("md5")}
    kind = checksum["type"].replace("-", "").lower()
    return f"{kind}:{checksum['value'].lower()}" if checksum["value"] and kind in _HASHES else None
