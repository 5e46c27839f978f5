"""What `dvc plots show` and `dvc plots diff` draw, with DVC's own renderer and our page."""

import numpy as np
import pandas as pd
import pytest
from browsers import WIDE
from dvc_render import VegaRenderer
from dvc_render.html import render_html
from pages import FOUR_ARMS, curves, measured

from pipeline.report.offline_plots import page
from pipeline.report.summary import weight_histogram
from pipeline.report.vega import plot_file

pytestmark = pytest.mark.slow

SEVERITIES = ("non_critical", "neutral", "critical")
# As DVC meets them: an arm that no template knows, and the order of the paper's profile.
METRICS = measured(["first_model", "second_model"], arms=FOUR_ARMS)
ARM_TITLES = ["CE", "mild", "severity-aware", "strong"]
# A model without an urgent reference has no urgency recall.
NOTHING = (METRICS["metric"] == "urgency_recall") & (METRICS["model"] == "first_model")
METRICS.loc[NOTHING, ["value", "low", "high"]] = None
NLL = METRICS[(METRICS["metric"] == "nll") & METRICS["group"].isin(SEVERITIES)]
CONFUSION = pd.DataFrame(
    [
        {"actual": actual, "predicted": guess}
        for actual in SEVERITIES
        for guess in SEVERITIES
        for _ in range(3)
    ]
)
# By template: its table, x, y, texts that it shows, how many marks tell something.
PLOTS = {
    "loss": (curves(["first_model"], 20, FOUR_ARMS), "step", "smooth", ["first_model", *ARM_TITLES], 4),
    "bars": (
        NLL.rename(columns={"group": "severity"}),
        "severity",
        "value",
        ["first_model", "second_model", "base", *ARM_TITLES, "critical", "non_critical"],
        2 * 5 * 3,
    ),
    "metrics": (METRICS, "model", "value", ["bertscore_f1", "nll", "first_model", *ARM_TITLES], 105),
    "histogram": (
        weight_histogram({arm: np.linspace(0.5, 1.5, 400) for arm in ("mild", "weighting")}, bins=10),
        "weight",
        "rows",
        ["40", "mild", "severity-aware"],
        2,
    ),
    "confusion": (CONFUSION, "predicted", "actual", ["non_critical", "critical", "3 (33%)"], 9),
    "reliability": (
        pd.DataFrame({"confidence": [0.45, 0.9], "accuracy": [0.5, 0.8], "rows": [3, 5]}),
        "confidence",
        "accuracy",
        ["0.0", "1.0"],
        3,
    ),
}
MARKS = "svg :is(.mark-symbol, .mark-rect, .mark-line, .mark-area):is(.role-mark) > path"


def drawn(folder, template, revisions):
    """DVC's page of one plot."""
    table, x, y, _, _ = PLOTS[template]
    rows = [
        # DVC reads a CSV as text.
        {**{key: str(cell) if cell == cell else "" for key, cell in row.items()}, "rev": revision}
        for revision in revisions
        for row in table.to_dict("records")
    ]
    path = folder / f"{template}.json"
    path.write_text(plot_file(path.name), encoding="utf-8")
    plot = VegaRenderer(rows, template, template=str(path), x=x, y=y, title="NLL < 2 & more")
    around = folder / "template.html"
    around.write_text(page(), encoding="utf-8")
    return render_html([plot], folder / "index.html", html_template=around).read_text(encoding="utf-8")


@pytest.mark.parametrize("revisions", [["workspace"], ["HEAD", "workspace"]], ids=["show", "diff"])
@pytest.mark.parametrize("template", PLOTS)
def test_dvc_draws_it_without_network(browser, tmp_path, template, revisions):
    *_, texts, marks = PLOTS[template]
    browser.open(drawn(tmp_path, template, revisions))
    browser.settled("body > div")
    shown = browser.texts("svg text")
    assert {"NLL < 2 & more", *texts} <= set(shown)
    assert not [text for text in shown if "DVC_METRIC" in text or text in ("null", "undefined", "NaN")]
    assert len(browser.all(MARKS)) >= marks * len(revisions)
    if len(revisions) > 1:
        assert set(revisions) <= set(shown), "each revision has its name"
    assert browser.complaints() == []
    assert browser.requests() == []


def test_the_plots_take_the_colours_of_the_scheme(browser, tmp_path):
    html = drawn(tmp_path, "loss", ["workspace"])
    inks = []
    for dark in (False, True):
        browser.open(html, WIDE, dark)
        browser.settled("body > div")
        fill, ink = browser.run(
            """return [document.querySelector("svg .role-title-text text"), document.body]
              .map((e, place) => getComputedStyle(e)[place ? "color" : "fill"])"""
        )
        assert fill == ink
        inks.append(ink)
    assert inks[0] != inks[1]
