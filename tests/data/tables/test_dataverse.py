import hashlib

import pytest
from servers import content, of_json, redirect, serving, status

from pipeline.data.tables import dataverse, fetching
from pipeline.data.tables.dataverse import find_file
from pipeline.data.tables.fetching import Patience, fetch
from pipeline.errors import WaznError

DOI = "doi:10.7910/DVN/Y2JBEZ"
LISTING = "/api/datasets/:persistentId/versions/:latest-published"
PATIENCE = Patience(timeout_s=2, retries=0)
UPLOAD = "q_body,a_body\nصداع,راحة\n".encode()
MD5 = hashlib.md5(UPLOAD).hexdigest()


def listed(number, name, **data):
    """A file as a Dataverse lists it (guides.dataverse.org, "Native API", "List Files in a Dataset")."""
    outer = {key: data.pop(key) for key in ("restricted", "directoryLabel") if key in data}
    described = {"id": number, "filename": name, "md5": MD5, "checksum": {"type": "MD5", "value": MD5}}
    return {"label": name, "restricted": False, **outer, "dataFile": {**described, **data}}


INGESTED = listed(7, "ds5b.tab", originalFileName="ds5b.csv", originalFileFormat="text/csv")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A resolver of DOIs and, at another address, the Dataverse that it leads to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fetching, "PAUSE_S", 0)
    with serving() as resolver, serving() as found:
        monkeypatch.setattr(dataverse, "RESOLVER", resolver.url(""))
        landing = found.url("/citation?persistentId=" + DOI)
        resolver.answers["/10.7910/DVN/Y2JBEZ"] = redirect(landing)
        found.resolver = resolver
        yield found


def lists(server, *files):
    server.answers[LISTING] = of_json({"status": "OK", "data": {"files": list(files)}})


def refused(wanted=None):
    with pytest.raises(WaznError) as caught:
        find_file(DOI, wanted, PATIENCE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_server_is_found_without_its_landing_page(server):
    lists(server, INGESTED)
    found = find_file(DOI, None, PATIENCE)
    assert found.url.startswith(server.url("/api/access/datafile/7"))
    assert server.asked == [f"{LISTING}?persistentId={DOI}"]


def test_a_resolver_that_first_sends_to_itself_is_followed(server):
    resolver = server.resolver
    resolver.answers["/again"] = resolver.answers["/10.7910/DVN/Y2JBEZ"]
    resolver.answers["/10.7910/DVN/Y2JBEZ"] = redirect("/again")
    lists(server, INGESTED)
    assert find_file(DOI, None, PATIENCE).name == "ds5b.csv"


@pytest.mark.parametrize("wanted", ["ds5b.csv", "ds5b.tab", "*.csv", "ds5?.csv"])
def test_a_file_is_chosen_by_name_or_pattern(server, wanted):
    lists(server, INGESTED, listed(8, "readme.txt"))
    assert find_file(DOI, wanted, PATIENCE).name == "ds5b.csv"


def test_an_exact_name_goes_before_a_pattern_that_it_could_be(server):
    lists(server, listed(1, "a[1].csv"), listed(2, "a1.csv"))
    assert find_file(DOI, "a1.csv", PATIENCE).name == "a1.csv"
    assert find_file(DOI, "a[1].csv", PATIENCE).name == "a[1].csv"


def test_a_file_in_a_folder_is_chosen_by_its_path(server):
    lists(server, listed(1, "t.csv", directoryLabel="a"), listed(2, "t.csv", directoryLabel="b"))
    assert "/datafile/2" in find_file(DOI, "b/t.csv", PATIENCE).url


def test_a_converted_table_is_taken_as_it_was_uploaded(server):
    lists(server, INGESTED, listed(8, "t.xlsx"), listed(9, "old.tab", originalFileFormat="text/csv"))
    assert find_file(DOI, "ds5b.csv", PATIENCE).url.endswith("/7?format=original")
    assert find_file(DOI, "t.xlsx", PATIENCE).url.endswith("/8")
    old = find_file(DOI, "old.csv", PATIENCE)
    assert (old.name, old.url.endswith("/9?format=original")) == ("old.csv", True)


@pytest.mark.parametrize("wanted", [None, "*", "none.csv"])
def test_an_unclear_choice_lists_the_names(server, wanted):
    lists(server, INGESTED, listed(8, "readme.txt"))
    text = refused(wanted)
    assert "one of: ds5b.csv, readme.txt" in text
    assert DOI in text


def test_a_restricted_file_says_so(server):
    lists(server, listed(8, "t.csv", restricted=True))
    assert "restricted" in refused("t.csv")


@pytest.mark.parametrize(
    ("checksum", "expected"),
    [
        ({"type": "SHA-256", "value": "AB"}, "sha256:ab"),
        ({"type": "MD5", "value": "cd"}, "md5:cd"),
        (None, f"md5:{MD5}"),
    ],
)
def test_the_servers_hash_is_taken(server, checksum, expected):
    lists(server, listed(8, "t.csv", checksum=checksum))
    assert find_file(DOI, None, PATIENCE).hash == expected


def test_a_server_without_a_hash_gives_none(server):
    lists(server, listed(8, "t.csv", checksum=None, md5=None))
    assert find_file(DOI, None, PATIENCE).hash is None


def test_the_upload_is_fetched_and_has_the_servers_md5(server):
    lists(server, INGESTED)
    server.answers["/api/access/datafile/7"] = content(UPLOAD)
    found = find_file(DOI, "ds5b.csv", PATIENCE)
    path = fetch(found.url, found.hash, PATIENCE, found.name)
    assert path.read_bytes() == UPLOAD
    assert path.name.endswith("-ds5b.csv")


def test_another_file_than_the_servers_md5_says_is_refused(server):
    lists(server, INGESTED)
    server.answers["/api/access/datafile/7"] = content(UPLOAD + b"x")
    found = find_file(DOI, "ds5b.csv", PATIENCE)
    with pytest.raises(WaznError, match=f"md5:{MD5}"):
        fetch(found.url, found.hash, PATIENCE, found.name)
    assert list(fetching.FOLDER.iterdir()) == []


def test_a_hash_of_an_unknown_kind_is_none(server):
    lists(server, listed(8, "t.csv", checksum={"type": "UNF", "value": "6:x"}))
    assert find_file(DOI, None, PATIENCE).hash is None


def test_a_server_registered_without_https_is_asked_with_it(server):
    server.resolver.answers["/10.7910/DVN/Y2JBEZ"] = redirect("http://data.invalid/citation")
    assert "https://data.invalid/api/" in refused()


def test_an_unknown_doi_is_named(server):
    server.resolver.answers.clear()
    assert "HTTP status 404" in refused()


def test_a_doi_that_leads_nowhere_is_named(server):
    server.resolver.answers["/10.7910/DVN/Y2JBEZ"] = content(b"a page")
    assert DOI in refused()


@pytest.mark.parametrize(
    "answer",
    [of_json({"data": []}), of_json([]), content(b"<html>"), status(404)],
    ids=["no data", "a list", "a page", "not found"],
)
def test_a_server_that_is_no_dataverse_is_named(server, answer):
    server.answers[LISTING] = answer
    assert server.url("") in refused()
