"""The languages of the page: every message in every language, and no English left on the Arabic page."""

import re
from html import unescape

import polib
import pytest
from messages import REPORT, messages
from pages import (
    FOLDS,
    FOUR_ARMS,
    answers,
    classifier,
    data,
    interval,
    page,
    placebos,
    review,
    severity,
)

from pipeline.report.browser import browser_words
from pipeline.report.controls import visible
from pipeline.report.findings import interval as interval_text
from pipeline.report.findings import placebo_sentence, signed
from pipeline.report.language import _, in_a_drawing, isolated, left_to_right, listed, ngettext, speaking

CATALOGUES = sorted((REPORT / "languages").glob("*.po"))
PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")


@pytest.fixture(params=CATALOGUES, ids=lambda path: path.stem)
def catalogue(request):
    return polib.pofile(str(request.param))


def test_there_is_arabic():
    assert [path.stem for path in CATALOGUES] == ["ar"]


def test_every_message_has_its_translation_and_no_translation_lacks_its_message(catalogue):
    translated = {
        (entry.msgid, entry.msgid_plural) if entry.msgid_plural else entry.msgid for entry in catalogue
    }
    assert sorted(messages() - translated, key=str) == []
    assert sorted(translated - messages(), key=str) == []
    assert len(translated) == len(catalogue), "none stands twice"
    assert all(entry.translated() and not entry.fuzzy for entry in catalogue)


def test_translations_fill_in_what_the_message_does(catalogue):
    forms = int(re.search(r"nplurals=(\d+)", catalogue.metadata["Plural-Forms"])[1])
    for entry in catalogue:
        wanted = sorted(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
        if entry.msgid_plural:
            assert len(entry.msgstr_plural) == forms
        for text in entry.msgstr_plural.values() or [entry.msgstr]:
            assert "%" not in PLACEHOLDER.sub("", text), entry.msgid
            names = PLACEHOLDER.findall(text)
            if entry.msgid_plural:
                # "Two rows" is a word in Arabic.
                assert set(names) <= set(wanted), entry.msgid
            else:
                assert sorted(names) == wanted, entry.msgid
        if entry.msgid_plural:
            assert set(PLACEHOLDER.findall(entry.msgstr_plural[forms - 1])) == set(wanted), entry.msgid


def test_translations_have_the_elements_of_the_message(catalogue):
    for entry in catalogue:
        for text in entry.msgstr_plural.values() or [entry.msgstr]:
            assert re.findall("</?[a-z]+", text) == re.findall("</?[a-z]+", entry.msgid), entry.msgid


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "لا صفوف"),
        (1, "صف واحد"),
        (2, "صفان"),
        (3, "3 صفوف"),
        (10, "10 صفوف"),
        (11, "11 صفًا"),
        (99, "99 صفًا"),
        (100, "100 صف"),
        (102, "102 صف"),
        (103, "103 صفوف"),
        (111, "111 صفًا"),
    ],
)
def test_arabic_counts_in_six_forms(count, expected):
    with speaking("ar"):
        assert ngettext("%(num)s row", "%(num)s rows", count) == expected


def test_a_language_holds_within_its_block_only():
    with speaking("ar"):
        assert _("critical") == "حرجة"
    assert _("critical") == "critical"
    assert _("not in any catalogue %(x)s, 5 %%", x="<b>") == "not in any catalogue &lt;b&gt;, 5 %"


def test_names_are_listed_as_the_language_does():
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "<b", "c"]) == "a, &lt;b and c"
    with speaking("ar"):
        assert listed(["أ", "ب", "ج"]) == "أ وب وج"


def test_signs_and_names_keep_their_place_in_a_text_from_right_to_left():
    assert signed(-0.05) == "−0.050"
    assert interval_text(-0.05, 0.02) == "−0.050 to +0.020"
    assert (left_to_right("<0.001"), isolated("A"), in_a_drawing("NLL")) == ("<0.001", "A", "NLL")
    with speaking("ar"):
        assert signed(-0.05) == '<bdi dir="ltr">−0.050</bdi>'
        assert interval_text(-0.05, 0.02) == ('<bdi dir="ltr">−0.050</bdi> إلى <bdi dir="ltr">+0.020</bdi>')
        assert left_to_right("<0.001") == '<bdi dir="ltr">&lt;0.001</bdi>'
        assert isolated("A <b>") == "<bdi>A &lt;b&gt;</bdi>"
        assert in_a_drawing("NLL") == "\u2067NLL\u2069"


def test_data_in_a_message_is_escaped_and_visible():
    assert _("Placebos of %(arm)s", arm="<i>\u202e") == "Placebos of &lt;i&gt;[RLO]"
    assert visible("a\u200f") == "a[RLM]"


def test_words_of_the_script_keep_what_it_fills_in():
    with speaking("ar"):
        words = browser_words(by_source=True)
    assert words["words"]["shown"] == "المعروض من الشكاوى: %(shown)s من %(total)s"
    assert words["guesser"] == "by_source"
    assert words["severities"]["critical"] == "حرجة"


def test_placebos_in_arabic():
    with speaking("ar"):
        sentence = placebo_sentence("أ", 2, [0.5])
    assert sentence == "أ: له ذراعان وهميتان، فلا يمكن أن تقل p عن 0.333؛ والعدد اللازم لبلوغ 0.05 هو 19."


# ---- the Arabic page ----

# Latin words that an Arabic reader of such a page knows, or that name something in code and data.
ALLOWED = {
    *("wazn", "CE", "NLL", "BERTScore", "F1", "chrF", "ROUGE", "L", "ECE", "TF", "IDF", "JavaScript"),
    *("p", "p_critical", "p_non_critical", "w", "other", "seed", "arXiv"),
    *("make", "run", "code", "STAGE", "params", "yaml"),
    # Of the made-up content: models, arms, encoder, files, specialties.
    *("A", "model", "mild", "strong", "weighting", "tiny_bert", "tiny", "gpt2", "own", "csv", "sha256"),
    *("metrics", "plots", "loss", "weights", "cardiology", "uniform", "rater"),
}
ALL = {
    "classifier": classifier(
        per_specialty={"قلب": {"accuracy": interval(0.4, 0.3, 0.6), "rows": 21}},
        beats_linear=False,
        labels="lexicon",
        folds=FOLDS,
    ),
    "data": data(labels="lexicon", unequal=True),
    "severity": severity(labels="lexicon"),
    "language": "ar",
}


def rated(models, **options):
    """Physicians' ratings, some of answers of old, with a rater who is flagged."""
    figures = review(models, **options)
    for of_model in figures["models"].values():
        of_model["outdated"] = 7
        of_model["raters"]["rater-1"]["flagged"] = True
    return figures


@pytest.fixture(scope="module")
def arabic():
    """Pages that have every section: several arms and seeds with placebos; one model and training."""
    models = ("m", "n")
    known = answers(["m"], 20, labelled=12)
    several = {"placebos": placebos(models, 3), "specialties": ("cardiology", "قلب"), **ALL}
    once = {"seeds": 1, "answers": known, "severity": severity(source="provided", labels=None)}
    of_all, of_one = rated(models, arms=("uniform", "strong", "reference")), rated(["m"], raters=1)
    return [
        page(models, arms=FOUR_ARMS, review=of_all, **several),
        page(review=of_one, language="ar", **once),
    ]


def interface(html):
    """What a reader sees or hears: texts, labels and titles, without scripts, code and patients' texts."""
    html = re.sub("(?s)<(style|script|code|pre)[ >].*?</\\1>", " ", html)
    # Provenance names stages and packages, and the formula has its own language.
    html = re.sub('(?s)<(dd|p)[^>]* dir="ltr".*?</\\1>', " ", html)
    spoken = re.findall('(?:aria-label|title)="([^"]*)"', html)
    return unescape(" ".join([re.sub("<[^>]*>", " ", html), *spoken]))


def test_the_arabic_page_runs_from_right_to_left_and_has_no_english_left(arabic):
    for html in arabic:
        assert '<html lang="ar" dir="rtl">' in html
        assert '<section id="review"' in html
        latin = set(re.findall(r"[A-Za-z][A-Za-z0-9_]*", interface(html)))
        assert latin - ALLOWED == set()


def test_its_digits_are_those_of_the_figures(arabic):
    """Western ones, as in the metrics, in params.yaml and in most medical papers in Arabic."""
    for html in arabic:
        assert not re.search("[٠-٩]", interface(html))


def test_its_scripts_speak_arabic(arabic):
    for name in ("words", "fields", "severities"):
        [found] = re.findall(rf'"{name}":(\{{.*?\}})', arabic[0])
        values = re.findall(r':"((?:[^"])*)"', found)
        assert values
        assert not [text for text in values if re.search("[A-Za-z]", re.sub(r"%\(\w+\)s", "", text))]
    plots = re.search('(?s)id="plots-data">(.*?)</script>', arabic[0])[1]
    for text in ("NLL للإجابات المرجعية", "خسارة التدريب", "المراعي للخطورة", "الخسارة، متوسط أسّي"):
        assert text in plots


def test_english_is_the_page_without_a_catalogue():
    html = page()
    assert '<html lang="en" dir="ltr">' in html
    assert "\u2067" not in html
