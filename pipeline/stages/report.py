"""python -m pipeline report

Gather what all stages measured into metrics/summary.json, the plots and report/index.html.
"""

from collections import Counter
from typing import TYPE_CHECKING

import yaml

from pipeline import paths, schemas, shapes
from pipeline.classifier_shapes import ClassifierMetrics
from pipeline.data.subsets import stratified_subset
from pipeline.evaluation.statistics import UNIFORM
from pipeline.files import replacing, write_csv, write_json
from pipeline.inputs import damaged, read_csv, read_json
from pipeline.parquet_inputs import read_parquet
from pipeline.report import results, summary
from pipeline.report.answers import answer_rows, primary_values, strongest_pairs
from pipeline.report.arms import shown_arms
from pipeline.report.page import PageContent, render
from pipeline.review_shapes import ReviewMetrics
from pipeline.severity.weights import pair_weights, weight_spread

if TYPE_CHECKING:
    from pipeline.config.params import Params

RELIABILITY = {"confidence": float, "accuracy": float, "rows": int}


def run(params: "Params") -> None:
    """Write metrics/summary.json, the page, and in metrics/plots/ the tables that it is made of.

    These are metrics, differences, seeds, placebos, trainings, nll, loss and weights.csv.

    Raises:
        WaznError: a file of a listed model, arm and seed is missing or damaged, or is of other rows than
            the model's other arms; names the file.
    """
    scored = read_parquet(paths.SCORED, schemas.SCORED, ["specialty"])
    chosen = (params.models, params.arms, params.seeds)
    gathered, trainings = results.gather(*chosen, scored), results.trainings_table(*chosen)
    primary, arms = params.report.primary, {arm: params.arm_settings[arm] for arm in params.arms}
    shown = shown_arms(arms, primary.arm)
    training = stratified_subset(
        scored[scored["split"] == "train"], params.finetune.train_rows, params.finetune.subset_seed
    )
    if training.empty:
        raise damaged(paths.SCORED, "it has no training pair")
    weights = {arm: pair_weights(training, arms[arm]) for arm in shown}
    measured = summary.measured_table(gathered)
    # The figures of every placebo would hide the others; differences.csv and placebos.csv have theirs.
    of_shown = measured[measured["arm"].isin([paths.BASE, *shown])]
    differences = summary.differences_table(gathered, arms, primary)
    loss = results.loss_table(params.models, shown, params.seeds)
    tables = {
        "metrics": of_shown,
        "differences": differences.drop(columns="by_seed"),
        "seeds": summary.seeds_table(differences, params.seeds),
        "placebos": summary.placebo_table(differences, arms, primary),
        "trainings": trainings,
        "nll": summary.nll_table(of_shown),
        "loss": loss,
        # All weights of `uniform` are 1.
        "weights": summary.weight_histogram({arm: weights[arm] for arm in weights if arm != UNIFORM}),
    }
    answers = answer_rows(gathered, scored, shown, primary.arm)
    pairs = strongest_pairs(answers, primary_values(gathered, primary), primary, params.report.examples)
    evaluation = paths.evaluation_metrics(paths.BASE, params.models[0], None)
    page = render(
        PageContent(
            titles={model: params.registry[model].title for model in params.models},
            sources={model: params.registry[model].source for model in params.models},
            arms=arms,
            primary=primary,
            measured=of_shown,
            differences=differences,
            placebos=tables["placebos"],
            trainings=trainings,
            loss=loss,
            weights=tables["weights"],
            reliability=read_csv(paths.PLOTS / "reliability.csv", RELIABILITY),
            spreads={arm: weight_spread(of_arm) for arm, of_arm in weights.items()},
            answers=answers,
            pairs=pairs,
            critical_references=summary.critical_references(gathered[params.models[0]][paths.BASE][0]),
            examples=params.report.examples,
            test_severities=Counter(row["severity"] for row in answers),
            train_rows=len(training),
            bertscore_encoder=read_json(evaluation, shapes.EvaluationMetrics)["bertscore_encoder"],
            classifier=read_json(paths.CLASSIFIER_METRICS, ClassifierMetrics),
            data=read_json(paths.DATA_METRICS, shapes.DataMetrics),
            severity=read_json(paths.SEVERITY_METRICS, shapes.SeverityMetrics),
            review=read_json(paths.REVIEW_METRICS, ReviewMetrics),
            confusion=read_csv(paths.PLOTS / "confusion.csv", {"actual": str, "predicted": str}),
            params=_shown_params(params),
            language=params.report.language,
        )
    )
    people = {
        model: int(of_arms[paths.BASE][0]["severity_human"].notna().sum())
        for model, of_arms in gathered.items()
    }
    for name, table in tables.items():
        write_csv(paths.PLOTS / f"{name}.csv", table)
    of_all = summary.summary(measured, differences, trainings, tables["placebos"], people)
    write_json(paths.SUMMARY, of_all)
    with replacing(paths.PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _shown_params(params: "Params") -> str:
    """What this stage depends on, as YAML: no `ask`, `review` and `resources`, nor arms that do not run."""
    left_out = {"ask", "resources", "review", *params.arm_settings} - set(params.arms)
    values = {key: value for key, value in params.file_values().items() if key not in left_out}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
