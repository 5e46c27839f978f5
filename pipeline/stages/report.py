"""python -m pipeline report

Gather what all stages measured into metrics/summary.json, the plots and report/index.html.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import yaml

from pipeline.files import missing, read_json, read_parquet, replacing, write_csv, write_json
from pipeline.report import summary as tables
from pipeline.report.page import confusion_counts, render
from pipeline.severity.weights import pair_weights, weight_spread

if TYPE_CHECKING:
    from pipeline.config.params import Params

METRICS = Path("metrics")
PLOTS = METRICS / "plots"
PAGE = Path("report/index.html")


def run(params: "Params") -> None:
    """Write metrics/summary.json, metrics/plots/{metrics,differences,nll,loss,weights}.csv and the page.

    Raises:
        WaznError: a file that a listed model and seed should have is missing, or is of other rows than
            the model's other runs; names the file.
    """
    scored = read_parquet(Path("data/scored/pairs.parquet"))
    gathered = tables.gather(params.models, params.seeds, scored)
    measured = tables.measured_table(gathered)
    train = scored[scored["split"] == "train"]
    weights = pair_weights(train, **params.weighting.model_dump())
    written = {
        "metrics": measured,
        "differences": tables.differences_table(gathered),
        "nll": tables.nll_table(measured),
        "loss": tables.loss_table(params.models, params.seeds),
        "weights": tables.weight_histogram(weights),
    }
    answers = tables.answers(gathered, scored)
    evaluation = METRICS / "evaluate" / "base" / params.models[0] / "base.json"
    page = render(
        titles={model: params.registry[model].title for model in params.models},
        measured=measured,
        differences=written["differences"],
        answers=answers,
        examples=params.report.examples,
        plots={
            "loss": written["loss"],
            "weights": written["weights"],
            "reliability": _csv(PLOTS / "reliability.csv"),
        },
        weighting=params.weighting,
        bertscore_encoder=read_json(evaluation)["bertscore_encoder"],
        test_rows=len(answers),
        test_severities=Counter(row["severity"] for row in answers),
        train_rows=len(train),
        spread=weight_spread(weights),
        classifier=read_json(METRICS / "classifier.json"),
        confusion=confusion_counts(_csv(PLOTS / "confusion.csv")),
        data=read_json(METRICS / "data.json"),
        severity=read_json(METRICS / "severity.json"),
        sources={model: params.registry[model].source for model in params.models},
        params=yaml.safe_dump(params.model_dump(exclude_unset=True), sort_keys=False, allow_unicode=True),
    )
    for name, table in written.items():
        write_csv(PLOTS / f"{name}.csv", table)
    write_json(METRICS / "summary.json", tables.summary(measured))
    with replacing(PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise missing(path)
    return pd.read_csv(path)
