"""The page: one self-contained HTML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from pipeline.report.summary import LOWER_IS_BETTER, METRICS
from pipeline.severity.labels import SEVERITIES

METRIC_TITLES = {
    "bertscore_f1": "BERTScore F1",
    "chrf": "chrF",
    "rouge_l": "ROUGE-L",
    "nll": "NLL",
    "nll_critical": "NLL critical",
    "nll_neutral": "NLL neutral",
    "nll_non_critical": "NLL non-critical",
}


def render(summary: Mapping[str, Any], titles: Mapping[str, str], **values: Any) -> str:
    """Fill page.html; whatever comes from data is escaped.

    Args:
        summary: model to run to metric to value.
        titles: what a model is called, by its name.
        values: what else the template names.
    """
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    )
    return template.render(
        summary=summary,
        titles=titles,
        models=list(summary),
        metrics=METRICS,
        metric_titles=METRIC_TITLES,
        severities=SEVERITIES,
        best={model: best(runs) for model, runs in summary.items()},
        findings=[finding(titles[model], runs) for model, runs in summary.items()],
        **values,
    )


def best(runs: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The best value of each metric over a model's runs."""
    found = {}
    for name in METRICS:
        values = [metrics[name] for metrics in runs.values() if name in metrics]
        if values:
            found[name] = min(values) if name in LOWER_IS_BETTER else max(values)
    return found


def finding(title: str, runs: Mapping[str, Mapping[str, float]]) -> str:
    """One sentence on critical complaints; empty where the test split has none."""
    values = {run: metrics.get("nll_critical") for run, metrics in runs.items()}
    if None in values.values():
        return ""
    return (
        f"{title}: NLL on critical complaints {values['base']:.3f} base, {values['uniform']:.3f} uniform, "
        f"{values['weighting']:.3f} weighting."
    )


def confusion_counts(confusion: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Rows by `actual` and `predicted` severity."""
    counts = confusion.value_counts(["actual", "predicted"])
    return {
        actual: {guess: int(counts.get((actual, guess), 0)) for guess in SEVERITIES}
        for actual in SEVERITIES
    }
