"""The page: one self-contained HTML file."""

import re
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

QUALITY_TITLES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "log_loss": "Log-loss",
    "brier": "Brier score",
    "ece": "ECE",
}
CLASSIFIER_TITLES = {
    "classifier": "Classifier, calibrated",
    "encoder_alone": "Its encoder alone, calibrated",
    "uncalibrated": "Its encoder alone, before calibration",
    "linear": "TF-IDF + logistic regression",
    "majority": "Class shares",
}
DATASETS = ("pairs", "labelled")
PLACEHOLDERS = {
    "link": "Links",
    "email": "E-mail addresses",
    "phone": "Phone numbers",
    "id": "Numbers as long as a national ID",
}


def render(
    summary: Mapping[str, Any], titles: Mapping[str, str], data: Mapping[str, Any], **values: Any
) -> str:
    """Fill page.html; whatever comes from data is escaped.

    Args:
        summary: model to run to metric to value.
        titles: what a model is called, by its name.
        data: metrics/data.json.
        values: what else the template names.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.tests["arabic"] = re.compile("[\u0600-\u06ff]").search
    page = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return page.render(
        summary=summary,
        titles=titles,
        models=list(summary),
        metrics=METRICS,
        metric_titles=METRIC_TITLES,
        severities=SEVERITIES,
        best={model: best(runs) for model, runs in summary.items()},
        findings=[finding(titles[model], runs) for model, runs in summary.items()],
        quality_titles=QUALITY_TITLES,
        classifier_titles=CLASSIFIER_TITLES,
        comparison=comparison,
        datasets={name: data[name] for name in DATASETS},
        reasons=sorted({reason for name in DATASETS for reason in data[name]["rejected"]}),
        placeholder_titles=PLACEHOLDERS,
        duplicates=data["duplicates"],
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


def comparison(difference: Mapping[str, float]) -> str:
    """How far and how surely the classifier's log-loss is from the linear reference's, as half a sentence.

    Args:
        difference: `value`, `low` and `high` of the classifier's log-loss less the reference's, in nats.
    """
    low, high = difference["low"], difference["high"]
    way = "lower" if difference["value"] < 0 else "higher"
    sure = f"all of it {way}" if low * high > 0 else "which includes 0, so chance alone may have made it"
    ends = f"{low:+.3f} to {high:+.3f}".replace("-", "−")
    return f"{abs(difference['value']):.3f} nats {way} (95 % interval {ends}, {sure})"


def confusion_counts(confusion: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Rows by `actual` and `predicted` severity."""
    counts = confusion.value_counts(["actual", "predicted"])
    return {
        actual: {guess: int(counts.get((actual, guess), 0)) for guess in SEVERITIES}
        for actual in SEVERITIES
    }
