import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from pipeline.report.page import QUALITY_TITLES, best, comparison, confusion_counts, finding, render
from pipeline.report.plots import draw
from pipeline.report.summary import weight_histogram

ATTACK = "<script>alert(1)</script><img src=http://evil.example/x>"
OVERRIDE = "صداع \u202eevil\u202d منذ يومين"
VOID = {"meta", "br", "hr", "img", "input", "link"}
TEMPLATES = {
    "bars": (
        pd.DataFrame(
            [
                {"model": model, "run": run, "severity": severity, "value": 1.5}
                for model in ("first_model", "second_model")
                for run in ("base", "uniform", "weighting")
                for severity in ("critical", "neutral")
            ]
        ),
        "severity",
        "value",
        ["first_model", "second_model", "base", "uniform", "weighting", "critical", "neutral"],
    ),
    "loss": (
        pd.DataFrame(
            [
                {"model": "first_model", "run": run, "step": step, "smooth": 2 - step / 10}
                for run in ("uniform", "weighting")
                for step in range(5)
            ]
        ),
        "step",
        "smooth",
        ["first_model", "uniform", "weighting"],
    ),
    "histogram": (pd.DataFrame({"weight": [0.5, 1.0, 1.5], "rows": [30, 40, 0]}), "weight", "rows", ["40"]),
    "reliability": (
        pd.DataFrame({"confidence": [0.45, 0.9], "accuracy": [0.5, 0.8], "rows": [3, 5]}),
        "confidence",
        "accuracy",
        ["0.0", "1.0"],
    ),
}


def plot(template, **changes):
    table, x, y, _ = TEMPLATES[template]
    return draw(template, table, **{"title": "A title", "x": x, "y": y, "labels": {}, **changes})


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

    def around(self, part):
        """What stands around each text with this part."""
        return [stack for text, stack in self.texts if part in text]


def metrics(**changes):
    return {"chrf": 20.0, "nll": 2.0, "nll_critical": 2.0, **changes}


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


def quality(value):
    """All figures of a classifier, each a little greater than the one before."""
    return {
        name: interval(value + step / 100, value + step / 100 - 0.05, value + step / 100 + 0.05)
        for step, name in enumerate(QUALITY_TITLES)
    }


FOLDS = {
    "k": 5,
    "rows": 520,
    "classifier": quality(0.7),
    "linear": quality(0.8),
    "log_loss_minus_linear": interval(-0.031, -0.052, -0.011),
}


def classifier(**changes):
    """metrics/classifier.json."""
    return {
        "encoder": "tiny_bert",
        "labels": "human",
        "rows": {"train": 391, "valid": 42, "test": 107},
        "temperature": 1.25,
        "ngram_weight": 0.75,
        "epochs": 6,
        "beats_linear": True,
        "classifier": quality(0.3),
        "encoder_alone": quality(0.35),
        "uncalibrated": quality(0.4),
        "linear": quality(0.5),
        "majority": quality(0.6),
        "log_loss_minus_linear": interval(-0.021, -0.05, 0.008),
        "per_class": {
            "non_critical": {"precision": 0.611, "recall": 0.622, "rows": 46},
            "neutral": {"precision": 0.0, "recall": 0.0, "rows": 35},
            "critical": {"precision": 0.633, "recall": 0.644, "rows": 26},
        },
        "per_specialty": {},
        "folds": None,
        **changes,
    }


def data(source="own.csv", labels="human", **changes):
    """metrics/data.json."""
    counts = {
        "rows": 1005,
        "kept": 1001,
        "sources": [{"source": source, "rows": 1005, "kept": 1001, "sha256": "00ff"}],
        "rejected": {"question_empty": 3},
        "splits": {"train": 701, "valid": 101, "test": 199},
        "placeholders": {"link": 11, "email": 12, "phone": 13, "id": 14},
    }
    severity = {"non_critical": 246, "neutral": 162, "critical": 132}
    labelled = {"rejected": {"label_unknown": 4}, "severity": severity, "labels": labels}
    duplicates = {
        "exact": 42,
        "groups": 17,
        "rows_in_groups": 38,
        "largest": 5,
        "sizes": {"2": 15, "3": 1, "4-9": 1, "10+": 0},
        "naive_split_leaks": {"test_rows": 200, "leaked": 13},
    }
    return {
        "pairs": counts,
        "labelled": {**counts, **labelled},
        "duplicates": {**duplicates, **changes},
    }


def page(question="صداع", generated="راحة", title="A model", source="own.csv", **changes):
    values = {
        "summary": {"m": {"base": metrics(), "uniform": metrics(chrf=21.0), "weighting": metrics(nll=1.5)}},
        "titles": {"m": title},
        "weighting": SimpleNamespace(alpha=0.5, beta=1.0, gamma=1.5),
        "bertscore_encoder": "tiny_bert",
        "test_rows": 103,
        "test_severities": {"critical": 20, "neutral": 30},
        "train_rows": 394,
        "spread": dict.fromkeys(("mean", "std", "q01", "q25", "q50", "q75", "q99", "effective_share"), 0.9),
        "classifier": classifier(),
        "confusion": confusion_counts(pd.DataFrame({"actual": ["neutral"], "predicted": ["critical"]})),
        "data": data(source),
        "severity": {"source": "classifier", "labels": "human"},
        "examples": [
            {
                "id": "ab12",
                "severity": "non_critical",
                "question": question,
                "reference": "راجع الطبيب",
                "answers": [("m", {"base": generated, "uniform": "", "weighting": "ماء"})],
            }
        ],
        "sources": {"m": "tiny:gpt2"},
        "plots": {
            "nll": plot("bars"),
            "loss": plot("loss"),
            "weights": plot("histogram"),
            "reliability": plot("reliability"),
        },
        "params": "models: [m]\n",
    }
    return render(**{**values, **changes})


@pytest.fixture(scope="module")
def plain():
    return page()


@pytest.mark.parametrize(
    "changes",
    [
        {"question": ATTACK},
        {"generated": ATTACK},
        {"title": ATTACK},
        {"params": ATTACK},
        {"sources": {"m": ATTACK}},
        {"source": ATTACK},
        {"bertscore_encoder": ATTACK},
        {"classifier": classifier(encoder=ATTACK)},
        {
            "classifier": classifier(
                per_specialty={ATTACK: {"accuracy": interval(0.5, 0.4, 0.6), "rows": 30}}
            )
        },
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_comes_from_data_is_shown_and_never_run(changes):
    found = Page(page(**changes))
    assert not {"script", "img"} & {tag for tag, _ in found.tags}
    assert found.around(ATTACK)


def test_bidi_overrides_stay_in_blocks_that_isolate_them():
    html = page(question=OVERRIDE, generated=OVERRIDE)
    stacks = Page(html).around(OVERRIDE)
    assert len(stacks) == 2
    for stack in stacks:
        tag, attributes = stack[-1]
        assert (tag, attributes["dir"], attributes["lang"]) == ("p", "rtl", "ar")
    rule = re.search(r"\[dir=rtl\]\s*{([^}]*)}", html)[1]
    assert re.search(r"unicode-bidi:\s*isolate\b", rule)


def test_arabic_text_is_always_marked_as_such(plain):
    for text, stack in Page(plain).texts:
        if re.search("[\u0600-\u06ff]", text):
            assert stack[-1][1].get("dir") == "rtl", text
            assert stack[-1][1].get("lang") == "ar", text


def test_the_page_loads_nothing_from_elsewhere(plain):
    loading = {"src", "href", "xlink:href", "srcset", "data", "poster", "action", "background"}
    for tag, attributes in Page(plain).tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "img", "base"}
        for name in loading & set(attributes):
            assert attributes[name].startswith(("#", "data:")), (tag, attributes)
    assert "@import" not in plain
    assert all(target.startswith("#") for target in re.findall(r"url\([\"']?([^)\"']+)", plain))


def test_the_page_says_that_it_is_no_medical_device(plain):
    assert "not a medical device" in plain
    assert "must not be used as medical advice" in plain


def test_every_id_of_the_page_is_unique(plain):
    ids = [attributes["id"] for _, attributes in Page(plain).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_metric_without_rows_is_a_dash_in_its_table(plain):
    assert re.findall(r"<td[^>]*>–</td>", plain)
    assert "None" not in plain
    assert "nan" not in re.sub("<[^>]*>", " ", plain)


def test_the_best_run_of_a_metric_is_bold(plain):
    cells = re.findall(r'<td class="best">([^<]+)</td>', plain)
    assert cells == ["2.0000", "21.00", "2.0000", "1.5000", "2.0000"], "run by run; equal ones all"


def test_a_name_that_the_template_needs_and_nobody_gives_is_an_error():
    with pytest.raises(UndefinedError, match="undefined"):
        render(
            {"m": dict.fromkeys(("base", "uniform", "weighting"), metrics())},
            titles={"m": "A model"},
            data=data(),
        )


def test_best_is_the_least_nll_and_the_greatest_of_anything_else():
    runs = {
        "base": {"chrf": 20.0, "rouge_l": 0.3, "nll": 2.0, "nll_critical": 3.0},
        "uniform": {"chrf": 22.0, "rouge_l": 0.1, "nll": 1.0, "nll_critical": 2.5},
        "weighting": {"chrf": 21.0, "rouge_l": 0.2, "nll": 1.5, "nll_critical": 2.4},
    }
    assert best(runs) == {"chrf": 22.0, "rouge_l": 0.3, "nll": 1.0, "nll_critical": 2.4}


def test_best_takes_a_metric_that_only_one_run_has():
    assert best({"base": {"chrf": 1.0}, "uniform": {}}) == {"chrf": 1.0}


def test_the_finding_gives_all_three_runs():
    runs = {
        "base": {"nll_critical": 3.0},
        "uniform": {"nll_critical": 2.5},
        "weighting": {"nll_critical": 2.4},
    }
    sentence = finding("A model", runs)
    assert sentence.startswith("A model: ")
    assert [float(value) for value in re.findall(r"\d\.\d+", sentence)] == [3.0, 2.5, 2.4]


def test_without_critical_rows_there_is_no_finding():
    assert finding("A model", {"base": {}, "uniform": {}, "weighting": {}}) == ""


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


def words(html):
    """The page's text as it reads, without its style."""
    return " ".join(re.sub("<[^>]*>", " ", re.sub("(?s)<style>.*?</style>", "", html)).split())


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
    assert "its severities are the source's" in words(html)
    assert "ab12 · non-critical (by the source)" in words(html)
    assert "its severities are the classifier's" in words(plain)
    assert "ab12 · non-critical (by the classifier)" in words(plain)
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


def texts(svg):
    """The texts of a plot; that it is well-formed XML shows on the way."""
    return [
        "".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")
    ]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_plot_is_svg_with_the_labels_of_its_data(template):
    _, x, y, labels = TEMPLATES[template]
    shown = texts(plot(template, title="NLL < 2 & more", labels={y: "nats per answer token"}))
    assert {"NLL < 2 & more", "nats per answer token", x, *labels} <= set(shown)
    assert not any("DVC_METRIC" in text or text in ("null", "undefined", "NaN") for text in shown)


def test_a_plot_has_a_mark_for_every_row():
    table = TEMPLATES["bars"][0]
    marks = re.findall(r'aria-roledescription="bar"', plot("bars"))
    assert len(marks) == len(table)


def corners(path):
    """The points of an SVG path that has straight lines only."""
    points, x, y = [], 0.0, 0.0
    for command, first, second in re.findall(r"([MLHVhv])(-?[\d.]+)(?:,(-?[\d.]+))?", path):
        if command in "ML":
            x, y = float(first), float(second)
        elif command in "Hh":
            x = float(first) + (x if command == "h" else 0)
        else:
            y = float(first) + (y if command == "v" else 0)
        points.append((x, y))
    return points


def test_the_last_bin_of_a_histogram_is_drawn():
    table = weight_histogram(np.array([0.5] + [1.5] * 40), bins=4)
    svg = draw("histogram", table, title="A title", x="weight", y="rows", labels={})
    marks = re.findall(r'<path(?=[^>]*role="graphics-symbol")[^>]* d="([^"]+)"', svg)
    points = [point for mark in marks for point in corners(mark)]
    highest = min(y for _, y in points)
    assert len({x for x, y in points if y == highest}) > 1, "the fullest bin has a width"
