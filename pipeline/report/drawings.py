"""The plots of the page, as Vega-Lite specifications."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.evaluation.groups import ALL
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.statistics import BASE, UNIFORM
from pipeline.report.arms import WEIGHTING
from pipeline.report.language import _, in_a_drawing
from pipeline.report.summary import nll_table
from pipeline.report.vega import draw

_METRIC_COLUMNS = ["model", "arm", "value", "low", "high", "metric", "group"]


def draw_all(
    measured: pd.DataFrame,
    *,
    loss: pd.DataFrame,
    weights: pd.DataFrame,
    reliability: pd.DataFrame,
    titles: Mapping[str, str],
) -> dict[str, dict[str, Any]]:
    """Every plot of the page by its name in page.html.

    Args:
        measured, loss, weights, reliability: metrics/plots/{metrics,loss,weights,reliability}.csv.
        titles: title by model; other models are not drawn.
    """

    def titled(table: pd.DataFrame) -> pd.DataFrame:
        table = table[table["model"].isin(titles)]
        return table.assign(model=table["model"].map(titles))

    nll = titled(nll_table(measured))
    all_rows = titled(measured[measured["group"] == ALL])
    metric_titles = {name: _word(metric.title) for name, metric in METRICS.items()}
    arms = {BASE: _word("base"), UNIFORM: _word("CE"), WEIGHTING: _word("severity-aware")}
    return {
        "loss": draw(
            "loss",
            titled(loss),
            title=_word("Training loss (each arm’s own objective)"),
            x="step",
            y="smooth",
            labels={"step": _word("step"), "smooth": _word("loss, exponential mean")},
            arms=arms,
        ),
        "weights": draw(
            "histogram",
            weights,
            title=_word("Weights of the training pairs"),
            x="weight",
            y="rows",
            labels={"weight": "w", "rows": _word("rows")},
            arms=arms,
        ),
        "reliability": draw(
            "reliability",
            reliability,
            title=_word("Reliability of the classifier"),
            x="confidence",
            y="accuracy",
            labels={"confidence": _word("confidence"), "accuracy": _word("accuracy")},
            arms=arms,
        ),
        "severity": draw(
            "bars",
            nll.assign(severity=nll["severity"].map(lambda name: _word(name.replace("_", "-")))).round(4),
            title=_word("NLL of the reference answers by severity and arm"),
            x="severity",
            y="value",
            labels={"value": _word("nats per answer token")},
            arms=arms,
        ),
        "metrics": draw(
            "metrics",
            all_rows.assign(metric=all_rows["metric"].map(metric_titles))[_METRIC_COLUMNS].round(4),
            title=_word("Every metric by model and arm"),
            x="model",
            y="value",
            labels={},
            arms=arms,
        ),
    }


def _word(message: str) -> str:
    return in_a_drawing(_(message))
