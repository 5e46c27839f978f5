import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.source_uri import HubDataset, check_hash, hub_dataset, kind_of, secure

KINDS = {
    "sample": "sample",
    "lexicon": "lexicon",
    "t.csv": "path",
    "data/own/شكاوى المرضى.xlsx": "path",
    "/mnt/t.csv": "path",
    "a:b.csv": "path",
    "https://example.org/t.csv?key=1": "url",
    "http://127.0.0.1:8000/t.csv": "url",
    "http://localhost/t.csv": "url",
    "http://[::1]:80/t.csv": "url",
    "doi:10.7910/DVN/Y2JBEZ": "doi",
    "hf:owner/name@main": "hf",
    "hf:a-b/name.2@0123abc:train": "hf",
}


@pytest.mark.parametrize("source", KINDS)
def test_every_form_of_a_source_is_told_apart(source):
    assert kind_of(source) == KINDS[source]


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("http://example.org/t.csv", "begins with https://"),
        ("http://localhost.example.org/t.csv", "begins with https://"),
        ("ftp://example.org/t.csv", "https://"),
        ("file:///etc/passwd", "https://"),
        ("https://", "https://"),
        ("https://exa mple.org/t.csv", "https://"),
        ("https://[bad/t.csv", "not a URL"),
        ("https://doi.org/10.7910/DVN/Y2JBEZ", "write a DOI as doi:10.7910/DVN/Y2JBEZ"),
        ("doi:DVN/Y2JBEZ", "doi:10.7910/DVN/Y2JBEZ"),
        ("doi:10.7910", "doi:10.7910/DVN/Y2JBEZ"),
        ("hf:owner/name", "hf:<owner>/<name>@<revision>"),
        ("hf:csv@main", "hf:<owner>/<name>@<revision>"),
        ("hf:a/b/c@main", "hf:<owner>/<name>@<revision>"),
        ("hf:owner/name@main:train[:10]", "hf:<owner>/<name>@<revision>"),
    ],
)
def test_a_malformed_source_is_refused_with_the_form_expected(source, advice):
    with pytest.raises(ValueError, match=r".") as caught:
        kind_of(source)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(st.text(min_size=1))
def test_any_text_is_a_source_or_refused_by_a_value_error(text):
    try:
        assert kind_of(text) in set(KINDS.values())
    except ValueError as error:
        assert type(error) is ValueError


def test_a_hub_data_set_has_name_revision_and_perhaps_a_split():
    assert hub_dataset("hf:owner/name@main") == HubDataset("owner/name", "main", None)
    assert hub_dataset("hf:a/b@refs/pr/1:test") == HubDataset("a/b", "refs/pr/1", "test")


@pytest.mark.parametrize(("kind", "digits"), [("sha256", 64), ("md5", 32), ("gitblob", 40)])
def test_a_hash_has_the_digits_of_its_kind(kind, digits):
    check_hash(f"{kind}:{'a0' * (digits // 2)}")
    for wrong in (
        f"{kind}:{'a0' * (digits // 2)}a",
        f"{kind}:{'A0' * (digits // 2)}",
        "a0" * (digits // 2),
    ):
        with pytest.raises(ValueError, match="sha256:, md5: or gitblob:"):
            check_hash(wrong)


@pytest.mark.parametrize(
    ("url", "expected"), [("https://a.org/", True), ("http://a.org/", False), ("http://127.0.0.1/", True)]
)
def test_only_https_and_this_machine_are_secure(url, expected):
    assert secure(url) is expected
