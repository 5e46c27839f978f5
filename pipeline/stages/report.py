"""python -m pipeline report

Gather what all stages measured into metrics/summary.json, the plots and report/index.html.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import yaml

from pipeline.files import missing, read_json, read_parquet, replacing, write_csv, write_json
from pipeline.report import summary as tables
from pipeline.report.page import confusion_counts, render
from pipeline.report.plots import draw
from pipeline.severity.weights import weight_spread
from pipeline.training.loss import pair_weights

if TYPE_CHECKING:
    from pipeline.params import Params

METRICS = Path("metrics")
PLOTS = METRICS / "plots"
PAGE = Path("report/index.html")


def run(params: "Params") -> None:
    """Write metrics/summary.json, metrics/plots/{nll,loss,weights}.csv and the page.

    Raises:
        WaznError: a file that a listed model should have is missing; names the file.
    """
    gathered = tables.gather(params.models)
    summary = tables.summary(gathered)
    scored = read_parquet(Path("data/scored/pairs.parquet"))
    train = scored[scored["split"] == "train"]
    weights = pair_weights(train, **params.weighting.model_dump())
    plotted = {
        "nll": tables.nll_table(summary),
        "loss": tables.loss_table(params.models),
        "weights": tables.weight_histogram(weights),
    }
    plots = {
        "nll": draw(
            "bars",
            plotted["nll"],
            title="NLL of the reference answers by severity",
            x="severity",
            y="value",
            labels={"value": "nats per answer token"},
        ),
        "loss": draw(
            "loss",
            plotted["loss"],
            title="Training loss (each run's own objective)",
            x="step",
            y="smooth",
            labels={"smooth": "loss, exponential mean"},
        ),
        "weights": draw(
            "histogram",
            plotted["weights"],
            title="Weights of the training pairs",
            x="weight",
            y="rows",
            labels={"weight": "w"},
        ),
        "reliability": draw(
            "reliability",
            _csv(PLOTS / "reliability.csv"),
            title="Reliability of the classifier",
            x="confidence",
            y="accuracy",
            labels={},
        ),
    }
    first = next(iter(gathered.values()))["base"]
    page = render(
        summary,
        titles={model: params.registry[model].title for model in params.models},
        weighting=params.weighting,
        bertscore_encoder=first["bertscore_encoder"],
        test_rows=first["rows"],
        test_severities=first["rows_by_severity"],
        train_rows=len(train),
        spread=weight_spread(weights),
        classifier=read_json(METRICS / "classifier.json"),
        confusion=confusion_counts(_csv(PLOTS / "confusion.csv")),
        data=read_json(METRICS / "data.json"),
        severity=read_json(METRICS / "severity.json"),
        examples=tables.answers(params.models, scored, params.report.examples),
        sources={model: params.registry[model].source for model in params.models},
        plots=plots,
        params=yaml.safe_dump(params.model_dump(exclude_unset=True), sort_keys=False, allow_unicode=True),
    )
    for name, table in plotted.items():
        write_csv(PLOTS / f"{name}.csv", table)
    write_json(METRICS / "summary.json", summary)
    with replacing(PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise missing(path)
    return pd.read_csv(path)
