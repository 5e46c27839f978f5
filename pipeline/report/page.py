"""The page: one self-contained HTML file."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.statistics import ALL, UNIFORM, WEIGHTING
from pipeline.report import answers as answer_browser
from pipeline.report import figures, findings, provenance
from pipeline.report.plots import beside, bundle, draw
from pipeline.report.summary import nll_table
from pipeline.severities import SEVERITIES

RUN_TITLES = {"base": "Base", "uniform": "CE", "weighting": "Severity-aware"}
COMPARISONS = {WEIGHTING: "severity-aware − CE", UNIFORM: "CE − base"}
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
# What the page may weigh: under 5 MB.
BYTES = 4_900_000
DATASETS = ("pairs", "labelled")
PLACEHOLDERS = {
    "link": "Links",
    "email": "E-mail addresses",
    "phone": "Phone numbers",
    "id": "Numbers as long as a national ID",
}
# Characters that turn the text around them, or that nobody sees: shown by name. White space may stay.
CONTROLS = {
    **{code: f"[U+{code:04X}]" for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x200B)},
    **dict(zip(range(0x202A, 0x202F), ("[LRE]", "[RLE]", "[PDF]", "[LRO]", "[RLO]"), strict=True)),
    **dict(zip(range(0x2066, 0x206A), ("[LRI]", "[RLI]", "[FSI]", "[PDI]"), strict=True)),
    **{0x200E: "[LRM]", 0x200F: "[RLM]", 0x061C: "[ALM]"},
}


def render(
    *,
    titles: Mapping[str, str],
    data: Mapping[str, Any],
    measured: pd.DataFrame,
    differences: pd.DataFrame,
    answers: Sequence[Mapping[str, Any]],
    examples: int,
    plots: Mapping[str, pd.DataFrame],
    test_severities: Mapping[str, int],
    **values: Any,
) -> str:
    """Fill page.html; whatever comes from data is escaped, and characters that turn text are shown by name.

    Args:
        titles: what a model is called, by its name; these are shown, in this order.
        data: metrics/data.json.
        measured: metrics/plots/metrics.csv.
        differences: metrics/plots/differences.csv.
        answers: all test rows with the answers of every model and run, those that differ most first.
        examples: how many of them are shown at most.
        plots: metrics/plots/<name>.csv of `loss`, `weights` and `reliability`.
        test_severities: test rows by severity.
        values: what else the template names.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=visible
    )
    environment.tests["arabic"] = re.compile("[\u0600-\u06ff]").search
    environment.filters |= {
        "signed": findings.signed,
        "probability": findings.probability,
        "figure": figure,
        "json": answer_browser.data,
    }
    titles = {model: visible(title) for model, title in titles.items()}
    models = list(titles)
    results, effects = figures.records(measured, models), figures.records(differences, models)
    groups, specialties_left_out = figures.groups(results)
    by_severity = {
        severity: [
            effect
            for effect in effects
            if (effect["comparison"], effect["metric"], effect["group"]) == (WEIGHTING, "nll", severity)
        ]
        for severity in SEVERITIES
    }
    seeds = max((int(row["seeds"]) for row in results), default=1)
    vega, script = bundle(), beside("theme.js") + _beside("page.js")
    constant = values | dict(
        titles=titles,
        severities=SEVERITIES,
        test_severities=test_severities,
        run_titles=RUN_TITLES,
        headline=findings.headline(by_severity["critical"]),
        helps=findings.helps(by_severity["critical"], titles),
        whom=findings.whom(by_severity),
        sure=findings.sure(len(models), seeds, test_severities.get("critical", 0)),
        seeds=seeds,
        forests=figures.forests(effects, groups),
        comparisons=COMPARISONS,
        metrics={name: METRICS[name] for name in METRICS if any(row["metric"] == name for row in results)},
        tables=figures.tables(results, models, groups),
        specialties_left_out=specialties_left_out,
        quality_titles=QUALITY_TITLES,
        classifier_titles=CLASSIFIER_TITLES,
        comparison=comparison,
        datasets={name: data[name] for name in DATASETS},
        reasons=sorted({reason for name in DATASETS for reason in data[name]["rejected"]}),
        placeholder_titles=PLACEHOLDERS,
        duplicates=data["duplicates"],
        plots=_drawn(measured, plots, titles),
        reliability=plots["reliability"].to_dict("records"),
        browser={"titles": titles, "runs": RUN_TITLES, "controls": CONTROLS},
        answers_total=len(answers),
        commit=provenance.commit(),
        versions=provenance.versions(),
        style=Markup(beside("theme.css") + _beside("page.css")),
        vega=Markup(vega),
        script=Markup(script),
        hashes=Markup(f"{_hash(vega)} {_hash(script)}"),
    )
    template = environment.from_string(_beside("page.html"))
    # The answers take what the rest leaves.
    rest = len(template.render(constant, rows=[]).encode())
    return template.render(constant, rows=answer_browser.chosen(answers, examples, BYTES - rest))


def visible(value: Any) -> Any:
    """A text of data with characters that turn text shown by name; markup and numbers as they are."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else value.translate(CONTROLS)


def figure(value: float) -> str:
    """A measured value in as many digits as tell something."""
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.2f}" if size < 1000 else f"{value:,.0f}"


def comparison(difference: Mapping[str, float]) -> str:
    """How far and how surely the classifier's log-loss is from the linear reference's, as half a sentence.

    Args:
        difference: `value`, `low` and `high` of the classifier's log-loss less the reference's, in nats.
    """
    low, high = difference["low"], difference["high"]
    way = "lower" if difference["value"] < 0 else "higher"
    sure = f"all of it {way}" if low * high > 0 else "which includes 0, so chance alone may have made it"
    ends = f"{findings.signed(low)} to {findings.signed(high)}"
    return f"{abs(difference['value']):.3f} nats {way} (95 % interval {ends}, {sure})"


def confusion_counts(confusion: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Rows by `actual` and `predicted` severity."""
    counts = confusion.value_counts(["actual", "predicted"])
    return {
        actual: {guess: int(counts.get((actual, guess), 0)) for guess in SEVERITIES}
        for actual in SEVERITIES
    }


def _drawn(
    measured: pd.DataFrame, tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Every plot of the page, of the models that have a title, under it."""

    def titled(table: pd.DataFrame) -> pd.DataFrame:
        table = table[table["model"].isin(titles)]
        return table.assign(model=table["model"].map(titles))

    nll, whole = titled(nll_table(measured)), titled(measured[measured["group"] == ALL])
    title_of = {name: metric.title for name, metric in METRICS.items()}
    columns = ["model", "run", "value", "low", "high", "metric", "group"]
    return {
        "loss": draw(
            "loss",
            titled(tables["loss"]),
            title="Training loss (each run's own objective)",
            x="step",
            y="smooth",
            labels={"smooth": "loss, exponential mean"},
        ),
        "weights": draw(
            "histogram",
            tables["weights"],
            title="Weights of the training pairs",
            x="weight",
            y="rows",
            labels={"weight": "w"},
        ),
        "reliability": draw(
            "reliability",
            tables["reliability"],
            title="Reliability of the classifier",
            x="confidence",
            y="accuracy",
            labels={},
        ),
        "severity": draw(
            "bars",
            nll.assign(severity=nll["severity"].str.replace("_", "-")).round(4),
            title="NLL of the reference answers by severity and run",
            x="severity",
            y="value",
            labels={"value": "nats per answer token"},
        ),
        "metrics": draw(
            "metrics",
            whole.assign(metric=whole["metric"].map(title_of))[columns].round(4),
            title="Every metric by model and run",
            x="model",
            y="value",
            labels={},
        ),
    }


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """As a content security policy names a script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
