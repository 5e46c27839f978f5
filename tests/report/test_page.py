import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from jinja2 import UndefinedError
from pages import (
    ATTACK,
    OVERRIDE,
    answers,
    classifier,
    data,
    difference,
    interval,
    measured,
    page,
    plots,
    quality,
)

from pipeline.report.page import comparison, confusion_counts, figure, render

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """The tags with their attributes, and every text with the tags that it stands in."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.rows = []
        self.feed(html)
        self.close()
        assert not self.open, "every tag is closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append((data, list(self.open)))
        if {"th", "td"} & {tag for tag, _ in self.open}:
            self.rows[-1][-1] += f" {data}" if self.rows[-1][-1] else data

    def row(self, *start):
        """The cells after `start` of the only table row that starts so."""
        (found,) = [row[len(start) :] for row in self.rows if row[: len(start)] == list(start)]
        return found

    def first(self, *start):
        """The cells after `start` of the first table row that starts so."""
        return next(row[len(start) :] for row in self.rows if row[: len(start)] == list(start))

    def around(self, part):
        """What stands around each text with this part."""
        return [stack for text, stack in self.texts if part in text]


def words(html):
    """The page's text as it reads, without its style and scripts."""
    html = re.sub("(?s)<(style|script)[ >].*?</\\1>", "", html)
    return " ".join(re.sub("<[^>]*>", " ", html).replace("&nbsp;", " ").split())


def island(html, name):
    """What a JSON script of the page holds."""
    return json.loads(
        re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', html, re.S)[1]
    )


@pytest.fixture(scope="module")
def plain():
    return page()


def with_text(**changes):
    """A test row whose texts are `changes`."""
    [row] = answers(["m"], 1)
    return [{**row, **changes}]


@pytest.mark.parametrize(
    "changes",
    [
        {"title": ATTACK},
        {"params": ATTACK},
        {"sources": {"m": ATTACK}},
        {"source": ATTACK},
        {"bertscore_encoder": ATTACK},
        {"specialties": (ATTACK,)},
        {"classifier": classifier(encoder=ATTACK)},
        {
            "classifier": classifier(
                per_specialty={ATTACK: {"accuracy": interval(0.5, 0.4, 0.6), "rows": 30}}
            )
        },
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_comes_from_data_is_shown_and_never_run(changes, plain):
    found = Page(page(**changes))
    assert not {"img"} & {tag for tag, _ in found.tags}
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == [tag for tag, _ in Page(plain).tags].count("script") == 4
    assert found.around(ATTACK)


@pytest.mark.parametrize(
    "changes",
    [
        {"question": ATTACK},
        {"reference": ATTACK},
        {"specialty": ATTACK},
        {"id": ATTACK},
        {"answers": {"m": {"base": ATTACK, "uniform": "", "weighting": ""}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_no_text_of_an_answer_gets_out_of_its_script(changes):
    html = page(answers=with_text(**changes))
    assert "<script>alert" not in html
    assert "\\u003cscript\\u003ealert" in html
    assert island(html, "answers-data")["rows"][0] == with_text(**changes)[0] | {
        key: island(html, "answers-data")["rows"][0][key] for key in ("nll", "difference")
    }
    assert [tag for tag, _ in Page(html).tags].count("script") == 4


def test_characters_that_turn_text_are_shown_by_name():
    found = Page(page(title=OVERRIDE, source=OVERRIDE, specialties=(OVERRIDE,)))
    assert not found.around("\u202e")
    assert len(found.around("صداع [RLO]evil[LRO] منذ يومين")) > 4


def test_the_policy_forbids_requests_and_names_the_scripts_that_run(plain):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', plain)[1]
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert "unsafe-eval" not in policy
    scripts = re.findall(r"<script(?: type=\"module\")?>(.*?)</script>", plain, re.S)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert re.findall("'sha256-([^']*)'", policy) == hashes
    assert len(hashes) == 2


def test_the_page_names_nothing_elsewhere(plain):
    loading = {"src", "href", "xlink:href", "srcset", "data", "poster", "action", "background"}
    for tag, attributes in Page(plain).tags:
        assert tag not in {"iframe", "object", "embed", "img", "base"}
        for name in loading & set(attributes):
            assert attributes[name].startswith(("#", "data:")), (tag, attributes)
    style = re.search("(?s)<style>(.*?)</style>", plain)[1]
    assert "@import" not in style
    assert "url(" not in style


def test_arabic_text_is_always_marked_as_such():
    html = page(
        specialties=("قلب",),
        classifier=classifier(per_specialty={"قلب": {"accuracy": interval(0.4, 0.3, 0.6), "rows": 21}}),
    )
    places = [
        (text, stack)
        for text, stack in Page(html).texts
        if re.search("[\u0600-\u06ff]", text) and stack[-1][0] not in ("script", "option")
    ]
    assert len(places) > 3
    for text, stack in places:
        assert stack[-1][1].get("dir") == "rtl", text
        assert stack[-1][1].get("lang") == "ar", text


def test_the_page_says_that_it_is_no_medical_device(plain):
    assert "not a medical device" in plain
    assert "must not be used as medical advice" in plain


def test_every_id_of_the_page_is_unique(plain):
    ids = [attributes["id"] for _, attributes in Page(plain).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_metric_stands_with_its_interval(plain):
    # 2.6, 1 % less a run, ± 3 %.
    assert "2.600 2.522–2.678" in Page(plain).first("A model", "Base")
    cells = next(row for row in Page(plain).rows if row[0] == "Severity-aware")
    assert "2.548 2.472–2.624" in cells


def test_a_metric_without_a_value_is_a_dash(plain):
    table = measured(["m"])
    table.loc[(table["metric"] == "chrf") & (table["run"] == "base"), "value"] = None
    html = page(measured=table)
    assert Page(html).first("A model", "Base")[3] == "–"
    assert "nan" not in words(html).lower().split()
    assert "None" not in words(html)


def test_the_best_run_of_a_metric_is_bold(plain):
    table = re.search(r'(?s)data-group="0".*?</table>', plain)[0]
    rows = re.findall(r"(?s)<tr>.*?</tr>", table)[1:]
    bold = [[int('class="best"' in cell) for cell in re.findall(r"<td[^>]*>", row)[1:]] for row in rows]
    # Values fall from run to run: base is best where more is better, weighting where less is.
    better = [
        cell.count("↑") - cell.count("↓")
        for cell in re.findall(r"(?s)<th scope=\"col\">(.*?)</th>", table)[1:]
    ]
    assert bold == [[way > 0 for way in better], [0] * len(better), [way < 0 for way in better]]


def test_the_spread_over_seeds_stands_by_the_mean(plain):
    html = page(measured=measured(["m"], seeds=3))
    assert "means over 3 training seeds" in words(html)
    assert "2.600  ± 0.004 2.522–2.678" in Page(html).first("A model", "Base")
    assert "±" not in words(plain)


def test_the_verdict_heads_the_page():
    rows = pd.DataFrame([difference("m", "nll", "critical", -0.061, 0.02, 0.003)])
    html = page(differences=rows)
    assert re.search(r"<h1[^>]*>Severity weighting lowers the loss on critical complaints\.</h1>", html)
    assert "A model: −0.061 nats per token (−0.081 to −0.041), lower." in words(html)
    none = page(differences=rows[rows["group"] == "neutral"])
    assert "No critical test complaint" in words(none)


def test_a_name_that_the_template_needs_and_nobody_gives_is_an_error():
    with pytest.raises(UndefinedError, match="undefined"):
        render(
            titles={},
            data=data(),
            measured=measured(["m"]),
            differences=pd.DataFrame([difference("m", "nll", "all", 0, 1, 1)]),
            answers=[],
            examples=0,
            plots=plots(["m"]),
            test_severities={},
        )


def test_only_listed_models_are_shown():
    table = pd.concat([measured(["m"]), measured(["dropped"])])
    html = page(measured=table)
    assert "dropped" not in words(html)
    assert "dropped" not in json.dumps(island(html, "plots-data"))


@pytest.mark.parametrize(
    ("count", "said"), [(30, "All 30 test complaints."), (10, "10 of 30 test complaints: those")]
)
def test_the_page_says_how_many_answers_it_has_and_how_they_were_chosen(count, said):
    html = page(rows=30, examples=count)
    assert said in words(html)
    assert len(island(html, "answers-data")["rows"]) == count


@pytest.mark.parametrize(("specialties", "words_each"), [(0, 25), (300, 400)], ids=["plain", "long"])
def test_ten_models_with_two_thousand_rows_stay_under_five_megabytes(specialties, words_each):
    models = tuple(f"model_{place}" for place in range(10))
    html = page(
        models,
        title="A model with a rather long title",
        rows=2000,
        specialties=tuple(f"specialty {place}" for place in range(specialties)),
        steps=3000,
        examples=2000,
        answers=answers(models, 80, words_each) * 25,
    )
    assert 4_500_000 < len(html.encode()) < 5_000_000
    rows = island(html, "answers-data")["rows"]
    assert {row["severity"] for row in rows} == {"critical", "neutral", "non_critical"}
    assert ("small specialties are left out here" in words(html)) == (specialties > 0)


def test_provenance_names_commit_versions_hashes_and_commands(plain):
    text = words(plain)
    assert re.search(r"Commit [0-9a-f]{40}", text)
    assert "sha256 " + "00ff" * 16 in text
    assert re.search(r"torch \d+\.", text)
    assert re.search(r"git checkout [0-9a-f]{40} make run", text)
    assert "models: [m]" in text


@pytest.mark.parametrize(
    ("value", "shown"), [(0.12345, "0.123"), (-2.5, "-2.500"), (23.456, "23.46"), (12345.6, "12,346")]
)
def test_a_figure_has_as_many_digits_as_tell_something(value, shown):
    assert figure(value) == shown


FOLDS = {
    "k": 5,
    "rows": 520,
    "classifier": quality(0.7),
    "linear": quality(0.8),
    "log_loss_minus_linear": interval(-0.031, -0.052, -0.011),
}


def test_confusion_counts_by_actual_and_predicted():
    actual = ["neutral", "neutral", "neutral", "critical"]
    predicted = ["critical", "critical", "neutral", "critical"]
    found = confusion_counts(pd.DataFrame({"actual": actual, "predicted": predicted}))
    zero = {"non_critical": 0, "neutral": 0, "critical": 0}
    assert found == {
        "non_critical": zero,
        "neutral": {**zero, "neutral": 1, "critical": 2},
        "critical": {**zero, "critical": 1},
    }


def test_the_classifier_stands_beside_its_references_with_intervals(plain):
    found = Page(plain)
    for title, value in (
        ("Classifier, calibrated", 0.3),
        ("Its encoder alone, calibrated", 0.35),
        ("Its encoder alone, before calibration", 0.4),
        ("TF-IDF + logistic regression", 0.5),
        ("Class shares", 0.6),
    ):
        shown = [value + step / 100 for step in range(5)]
        assert found.row(title) == [f"{v:.3f} {v - 0.05:.3f}–{v + 0.05:.3f}" for v in shown]
    text = words(plain)
    assert "On 107 labelled test complaints" in text
    assert "tiny_bert, trained on 391 complaints; best on 42 validation complaints after epoch 6." in text
    assert "the temperature of 1.250" in text
    assert "the weight of 0.750 with which a linear model of character n-grams is blended in" in text


def test_without_a_blend_no_n_grams_are_spoken_of():
    assert "character n-grams" not in words(page(classifier=classifier(ngram_weight=0.0)))


def test_precision_and_recall_stand_by_class(plain):
    found = Page(plain)
    assert found.row("non-critical", "46") == ["0.611", "0.622"]
    assert found.row("neutral", "35") == ["0.000", "0.000"]
    assert found.row("critical", "26") == ["0.633", "0.644"]


def test_specialties_are_shown_where_the_data_has_them(plain):
    specialties = {
        "skin": {"accuracy": interval(0.75, 0.5, 0.9), "rows": 28},
        "قلب": {"accuracy": interval(0.4, 0.3, 0.6), "rows": 21},
    }
    found = Page(page(classifier=classifier(per_specialty=specialties)))
    assert found.row("skin") == ["28", "0.750 0.500–0.900"]
    assert found.row("قلب") == ["21", "0.400 0.300–0.600"]
    assert "details" in {tag for tag, _ in found.around("skin")[0]}
    assert found.around("skin")[0][-1] == ("bdi", {})
    assert found.around("قلب")[0][-1] == ("bdi", {"lang": "ar", "dir": "rtl"})
    assert "Accuracy by specialty" not in plain


def test_folds_are_shown_where_they_were_asked_for(plain):
    html = page(classifier=classifier(folds=FOLDS))
    rows = [row for row in Page(html).rows if row[0] == "TF-IDF + logistic regression"]
    assert [row[1] for row in rows] == ["0.500 0.450–0.550", "0.800 0.750–0.850"]
    assert "each of 520 labelled complaints" in words(html)
    assert "over 5 folds of all labelled complaints it is 0.031 nats lower" in words(html)
    assert "Cross-validated" not in plain


def test_a_classifier_that_does_not_beat_the_linear_reference_is_marked(plain):
    sentence = "The classifier does not beat the linear reference on log-loss."
    found = Page(page(classifier=classifier(beats_linear=False))).around(sentence)
    assert ("p", {"class": "notice"}) in found[0]
    assert sentence not in plain


def test_weak_labels_are_marked_where_the_lexicon_gave_them(plain):
    html = page(classifier=classifier(labels="lexicon"), data=data(labels="lexicon"))
    assert ("p", {"class": "notice"}) in Page(html).around("Weak labels.")[0]
    assert "by a list of symptom terms (weak labels)" in words(html)
    assert "weak labels" not in plain.lower()


def test_probabilities_that_come_from_a_list_of_terms_are_marked_beside_the_weights():
    html = page(severity={"source": "classifier", "labels": "lexicon"})
    assert ("p", {"class": "notice"}) in Page(html).around("Weak labels.")[0]
    assert "The probabilities come from a classifier that learnt from a list of symptom terms" in words(
        html
    )


def test_probabilities_of_the_source_are_not_called_the_classifiers(plain):
    html = page(severity={"source": "provided", "labels": None})
    assert "are those that the source of the pairs provides" in words(html)
    assert "Severity by the source." in words(html)
    assert "Severity by the classifier." in words(plain)
    assert "provides" not in plain


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ((-0.021, -0.05, 0.008), "0.021 nats lower (95 % interval −0.050 to +0.008, which includes 0"),
        ((-0.031, -0.052, -0.011), "0.031 nats lower (95 % interval −0.052 to −0.011, all of it lower)"),
        ((0.04, 0.012, 0.07), "0.040 nats higher (95 % interval +0.012 to +0.070, all of it higher)"),
    ],
)
def test_the_comparison_tells_the_better_one_and_how_surely(difference, expected):
    assert comparison(interval(*difference)).startswith(expected)


def test_the_funnel_accounts_for_every_row(plain):
    found = Page(plain)
    assert found.row("Rows") == ["pairs", "labelled"]
    assert found.row("read") == ["1005", "1005"]
    assert found.row("rejected: question empty") == ["3", "0"]
    assert found.row("rejected: label unknown") == ["0", "4"]
    assert found.row("kept") == ["1001", "1001"]
    assert found.row("test") == ["199", "199"]
    assert found.row("Phone numbers") == ["13", "13"]
    assert "246 are non-critical, 162 are neutral, 132 are critical, as their source says" in words(plain)


def test_duplicates_and_what_a_random_split_would_have_leaked_are_told(plain):
    text = words(plain)
    assert "share their complaint with another to the letter: 42." in text
    assert "complaints that are nearly alike: 17, with 38 rows in all and at most 5 in one." in text
    assert "a duplicate of 13 of its 200 test rows (6.5 %) into training" in text
    assert Page(plain).row("Rows in the group") == ["2", "3", "4–9", "10+"]
    assert Page(plain).row("Groups") == ["15", "1", "1", "0"]


def test_data_without_near_duplicates_or_test_rows_has_its_page_too():
    html = page(data=data(groups=0, naive_split_leaks={"test_rows": 0, "leaked": 0}))
    assert "Groups of near duplicates" not in html
    assert "random split of single rows" not in html


def test_every_table_has_a_caption_and_every_header_a_scope():
    specialties = {"skin": {"accuracy": interval(0.75, 0.5, 0.9), "rows": 28}}
    found = Page(page(classifier=classifier(folds=FOLDS, per_specialty=specialties)))
    tags = [tag for tag, _ in found.tags]
    assert tags.count("caption") == tags.count("table")
    assert all("scope" in attributes for tag, attributes in found.tags if tag == "th")
