import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from pipeline.report.page import best, confusion_counts, finding, render
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
        self.feed(html)
        self.close()
        assert not self.open, "every tag is closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append((data, list(self.open)))

    def around(self, part):
        """What stands around each text with this part."""
        return [stack for text, stack in self.texts if part in text]


def metrics(**changes):
    return {"chrf": 20.0, "nll": 2.0, "nll_critical": 2.0, **changes}


def page(question="صداع", generated="راحة", title="A model", source="own.csv", **changes):
    quality = {"accuracy": 0.5, "macro_f1": 0.4, "log_loss": 1.0}
    values = {
        "summary": {"m": {"base": metrics(), "uniform": metrics(chrf=21.0), "weighting": metrics(nll=1.5)}},
        "titles": {"m": title},
        "weighting": SimpleNamespace(alpha=0.5, beta=1.0, gamma=1.5),
        "bertscore_encoder": "tiny_bert",
        "test_rows": 103,
        "test_severities": {"critical": 20, "neutral": 30},
        "train_rows": 394,
        "spread": dict.fromkeys(("mean", "std", "q01", "q25", "q50", "q75", "q99", "effective_share"), 0.9),
        "classifier": {
            "encoder": "tiny_bert",
            "test_rows": 103,
            "classifier": quality,
            "linear": quality,
            "majority": quality,
        },
        "confusion": confusion_counts(pd.DataFrame({"actual": ["neutral"], "predicted": ["critical"]})),
        "data": {
            "pairs": {
                "rows": 5,
                "kept": 4,
                "sources": [{"source": source, "rows": 5, "kept": 4, "sha256": "00ff"}],
                "rejected": {"question_empty": 1},
                "splits": dict.fromkeys(("train", "valid", "test"), 1),
            }
        },
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
        render({"m": dict.fromkeys(("base", "uniform", "weighting"), metrics())}, titles={"m": "A model"})


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
