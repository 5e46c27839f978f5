import hashlib
import time

import pytest
from servers import content, cut, redirect, serving, stall, status

from pipeline.data.tables import fetching
from pipeline.data.tables.fetching import Patience, fetch, get_json
from pipeline.errors import WaznError

DATA = "question,answer\nصداع,راحة\n".encode() * 2000
SHA = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
OTHER = f"sha256:{hashlib.sha256(b'other').hexdigest()}"
PATIENCE = Patience(timeout_s=0.5, retries=1)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server, and an empty working folder to fetch into without pauses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fetching, "PAUSE_S", 0)
    with serving() as found:
        yield found


def kept():
    return sorted(fetching.FOLDER.iterdir()) if fetching.FOLDER.is_dir() else []


def refused(url, expected=None, patience=PATIENCE):
    before = kept()
    with pytest.raises(WaznError) as caught:
        fetch(url, expected, patience)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(url.partition("?")[0])
    assert kept() == before
    return text


def test_a_file_is_kept_under_its_name(server):
    server.answers["/a/t%20x.csv"] = content(DATA)
    path = fetch(server.url("/a/t%20x.csv"), None, PATIENCE)
    assert path.read_bytes() == DATA
    assert path.name.endswith("-t x.csv")
    assert kept() == [path]


def test_files_of_one_name_from_two_addresses_are_kept_apart(server):
    server.answers |= {"/a/t.csv": content(b"a"), "/b/t.csv": content(b"b")}
    paths = [fetch(server.url(f"/{folder}/t.csv"), None, PATIENCE) for folder in "ab"]
    assert [path.read_bytes() for path in paths] == [b"a", b"b"]


@pytest.mark.parametrize("name", ["/..%2F..%2Fescape", "/", "/a%2F.."])
def test_no_name_leads_out_of_the_folder(server, name):
    server.answers[name] = content(DATA)
    path = fetch(server.url(name), None, PATIENCE)
    assert path.resolve().parent == fetching.FOLDER.resolve()


def test_a_redirect_is_followed(server):
    server.answers |= {"/old": redirect("/new"), "/new": content(DATA)}
    assert fetch(server.url("/old"), SHA, PATIENCE).read_bytes() == DATA


def test_a_redirect_to_an_insecure_address_is_not_followed(server):
    server.answers["/old"] = redirect("http://example.invalid/new")
    assert "not https" in refused(server.url("/old"))


def test_a_circle_of_redirects_ends(server):
    server.answers["/a"] = redirect("/a")
    assert "could not be fetched (TooManyRedirects)" in refused(server.url("/a"))


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_refusal_is_final(server, code):
    server.answers["/t"] = status(code)
    text = refused(server.url("/t"))
    assert f"(HTTP status {code})" in text
    assert "check the source" in text
    assert server.count("/t") == 1


@pytest.mark.parametrize("first", ["500", "503", "429", "stall", "cut"])
def test_what_may_pass_is_tried_again(server, first):
    answers = {"stall": stall(0.8), "cut": cut(DATA)}
    server.answers["/t"] = [answers.get(first) or status(int(first)), content(DATA)]
    path = fetch(server.url("/t"), SHA, PATIENCE)
    assert path.read_bytes() == DATA
    assert kept() == [path]
    assert server.count("/t") == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(500), "HTTP status 500"),
        (stall(0.8), "silent for 0.5 s"),
        (cut(DATA), "cut"),
        (content(DATA, **{"Content-Length": str(len(DATA) + 9), "Connection": "close"}), "cut"),
    ],
    ids=["500", "stall", "cut", "wrong length"],
)
def test_what_never_passes_is_given_up_and_nothing_is_kept(server, answer, reason):
    server.answers["/t"] = answer
    text = refused(server.url("/t"), SHA)
    assert reason in text
    assert "tried 2 times" in text
    assert "download.retries" in text
    assert server.count("/t") == 2


def test_silence_in_the_middle_of_a_file_is_silence(server):
    def half(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        handler.wfile.write(DATA[:1000])
        stall(0.8)(handler)

    server.answers["/t"] = [half, content(DATA)]
    assert fetch(server.url("/t"), None, PATIENCE).read_bytes() == DATA
    server.answers["/u"] = half
    assert "silent for 0.5 s" in refused(server.url("/u"), patience=Patience(0.5, 0))


def test_a_server_that_is_not_there_is_named(server):
    with serving() as gone:
        url = gone.url("/t")
    assert "no connection" in refused(url)


def test_pauses_grow(server, monkeypatch):
    pauses = []
    monkeypatch.setattr(fetching, "PAUSE_S", 1.0)
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.answers["/t"] = status(500)
    refused(server.url("/t"), patience=Patience(1, 5))
    assert pauses == [1, 2, 4, 8, 10]


@pytest.mark.parametrize("length", [len(DATA), len(DATA) - 5], ids=["whole", "shorter length announced"])
def test_another_file_than_the_hash_says_is_not_kept(server, length):
    server.answers["/t"] = content(DATA, **{"Content-Length": str(length), "Connection": "close"})
    expected = OTHER if length == len(DATA) else SHA
    text = refused(server.url("/t"), expected)
    assert expected in text
    assert server.count("/t") == 1


def test_a_kept_file_is_fetched_again_unless_its_hash_is_known_and_right(server):
    server.answers["/t"] = content(DATA)
    path = fetch(server.url("/t"), SHA, PATIENCE)
    fetch(server.url("/t"), SHA, PATIENCE)
    assert server.count("/t") == 1
    path.write_bytes(b"damaged")
    assert fetch(server.url("/t"), SHA, PATIENCE).read_bytes() == DATA
    assert server.count("/t") == 2
    fetch(server.url("/t"), None, PATIENCE)
    assert server.count("/t") == 3


def test_a_key_in_the_query_is_in_no_message(server):
    assert "secret" not in refused(server.url("/t?key=secret"))


def test_bytes_are_kept_as_they_are_whatever_encoding_the_server_says(server):
    asked = []
    server.answers["/t"] = lambda handler: (
        asked.append(handler.headers["Accept-Encoding"]),
        content(DATA)(handler),
    )
    fetch(server.url("/t"), SHA, PATIENCE)
    assert asked == ["identity"]


def test_what_should_be_json_and_is_not_is_named(server):
    server.answers["/api"] = content(b"<html>")
    with pytest.raises(WaznError, match="expected JSON"):
        get_json(server.url("/api"), PATIENCE)
    assert server.count("/api") == 1
