"""The page: one HTML file that carries everything it shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.statistics import UNIFORM
from pipeline.report import answers, arms, classifier, figures, findings, language, provenance
from pipeline.report.browser import browser_words
from pipeline.report.controls import CONTROLS, visible
from pipeline.report.drawings import draw_all
from pipeline.report.embedded import policy_hash
from pipeline.report.headline import headline
from pipeline.report.language import marked
from pipeline.report.reviews import review_section
from pipeline.report.template import beside, environment
from pipeline.report.vega import bundle, plot_file
from pipeline.severities import SEVERITIES

if TYPE_CHECKING:
    from pipeline.config.evaluation import PrimaryConfig
    from pipeline.config.training import ArmConfig

DATA_FILES = ("page.html", "review.html", "page.css", "page.js")
# The page stays under 5 MB.
MAX_BYTES = 4_900_000
DATASETS = ("pairs", "labelled")
PLACEHOLDERS = {
    "link": marked("Links"),
    "email": marked("E-mail addresses"),
    "phone": marked("Phone numbers"),
    "id": marked("Numbers as long as a national ID"),
    "name": marked("Names after words that introduce them"),
}


@dataclass(frozen=True)
class PageContent:
    """What the page is made of.

    Attributes:
        titles: title by model; these are shown, in this order.
        sources: source of each model, as the registry has it.
        arms: the settings of each arm that runs, in the order in which they are shown.
        primary: names the primary endpoint.
        measured, placebos, trainings, loss, weights, reliability, confusion: the tables metrics/plots/
            {metrics,placebos,trainings,loss,weights,reliability,confusion}.csv.
        differences: see `summary.differences_table`.
        spreads: `weight_spread` of each arm that is shown.
        answers: all test rows, see `answer_rows`.
        pairs: see `strongest_pairs`.
        critical_references: see `summary.critical_references`.
        examples: how many of them are shown at most.
        test_severities: number of test rows by severity.
        train_rows: number of training pairs.
        bertscore_encoder: what BERTScore was computed with.
        classifier, data, severity: metrics/{classifier,data,severity}.json.
        review: metrics/review.json.
        params: the parameters, as YAML.
        language: that of the page.
    """

    titles: Mapping[str, str]
    sources: Mapping[str, str]
    arms: Mapping[str, "ArmConfig"]
    primary: "PrimaryConfig"
    measured: pd.DataFrame
    differences: pd.DataFrame
    placebos: pd.DataFrame
    trainings: pd.DataFrame
    loss: pd.DataFrame
    weights: pd.DataFrame
    reliability: pd.DataFrame
    spreads: Mapping[str, Mapping[str, float]]
    answers: Sequence[Mapping[str, Any]]
    pairs: Mapping[str, Sequence[Mapping[str, Any]]]
    critical_references: Mapping[str, int]
    examples: int
    test_severities: Mapping[str, int]
    train_rows: int
    bertscore_encoder: str
    classifier: Mapping[str, Any]
    data: Mapping[str, Any]
    severity: Mapping[str, Any]
    confusion: pd.DataFrame
    review: Mapping[str, Any]
    params: str
    language: str


def render(content: PageContent) -> str:
    """Fill page.html. All text from data is escaped, and characters that change its direction are named."""
    with language.speaking(content.language):
        return _page(content)


def _page(content: PageContent) -> str:
    vega, script = bundle(), plot_file("theme.js") + beside("page.js")
    values = {
        **_results(content),
        **_data_sections(content),
        **review_section(content.review, content.titles, content.primary),
        "versions": provenance.versions(),
        "code_hashes": provenance.stage_hashes(),
        "params": content.params,
        "style": Markup(plot_file("theme.css") + beside("page.css")),
        "vega": Markup(vega),
        "script": Markup(script),
        "script_hashes": Markup(f"{policy_hash(vega)} {policy_hash(script)}"),
    }
    template = environment().from_string(beside("page.html"))
    # The answers take the room that the rest of the page leaves.
    room = MAX_BYTES - len(template.render(values, rows=[]).encode())
    pair_ids = {pair["row"]["id"] for side in content.pairs.values() for pair in side}
    rows = answers.choose_answers(content.answers, content.examples, room, pair_ids)
    return template.render(values, rows=rows)


def _results(content: PageContent) -> dict[str, Any]:
    """What the template needs for the first screen, differences, results and answers."""
    titles = {model: visible(title) for model, title in content.titles.items()}
    models, primary = list(titles), content.primary
    shown = arms.shown_arms(content.arms, primary.arm)
    arm_titles, comparisons = arms.arm_titles(shown), arms.comparison_titles(shown)
    main = f"{primary.arm}-{UNIFORM}"
    results = figures.records(content.measured, models)
    effects = [row for row in figures.records(content.differences, models) if row["role"] != "placebo"]
    groups, specialties_left_out = figures.shown_groups(results)
    seeds = max((int(row["seeds"]) for row in results), default=1)

    def effects_of(comparison: str, metric: str, group: str) -> list[figures.Row]:
        key = (comparison, metric, group)
        return [row for row in effects if (row["comparison"], row["metric"], row["group"]) == key]

    endpoint = effects_of(main, primary.metric, primary.group)
    weighted = arms.weighted_arms(shown)
    placebo_blocks = figures.placebo_blocks(content.placebos, models)
    primary_rows = max((row["rows"] for row in endpoint), default=0)
    return {
        "titles": titles,
        "arm_titles": arm_titles,
        "arms": content.arms,
        "weighted": weighted,
        "severities": SEVERITIES,
        "test_rows": len(content.answers),
        "test_severities": content.test_severities,
        "labelled_by_people": sum(row["by_people"] for row in content.answers),
        "bertscore_encoder": content.bertscore_encoder,
        "critical_references": content.critical_references,
        "pairs": content.pairs,
        "headline": headline(
            endpoint,
            seeds,
            primary,
            content.arms[primary.arm],
            figures.placebo_tests(placebo_blocks, primary.arm),
        ),
        "endpoint": findings.endpoint(primary),
        "primary": primary,
        "effect_sentences": findings.effect_sentences(
            endpoint,
            {model: language.isolated(title) for model, title in titles.items()},
            primary.metric,
            seeds,
        ),
        "primary_effects": endpoint,
        "seed_numbers": list(dict.fromkeys(content.trainings["seed"].dropna())),
        "overview": {
            arm: findings.overview(effects_of(f"{arm}-{UNIFORM}", primary.metric, primary.group))
            for arm in weighted
        },
        "by_severity": findings.by_severity(
            {severity: effects_of(main, "nll", severity) for severity in SEVERITIES}, seeds
        ),
        "certainty": findings.certainty(
            len(models), seeds, primary_rows, primary.group, not content.placebos.empty
        ),
        "placebo_blocks": placebo_blocks,
        "placebo_sentence": findings.placebo_sentence,
        "seeds": seeds,
        "comparisons": comparisons,
        "main_comparison": main,
        "forests": figures.forests(effects, list(comparisons), groups),
        "metrics": {
            name: METRICS[name] for name in METRICS if any(row["metric"] == name for row in results)
        },
        "tables": figures.result_tables(
            results, models, list(arm_titles), groups, figures.chosen_arms(content.trainings, shown)
        ),
        "valid_nll": figures.over_seeds(content.trainings, "valid_nll"),
        "specialties_left_out": specialties_left_out,
        "plots": draw_all(
            content.measured,
            loss=content.loss,
            weights=content.weights,
            reliability=content.reliability,
            titles=titles,
        ),
        "answers_total": len(content.answers),
        "browser": {
            "titles": titles,
            "arms": arm_titles,
            "comparisons": comparisons,
            "controls": CONTROLS,
            **browser_words(by_source=content.severity["source"] == "provided"),
        },
    }


def _data_sections(content: PageContent) -> dict[str, Any]:
    """What the template needs for weights, classifier, data and provenance."""
    datasets = {name: content.data[name] for name in DATASETS}
    return {
        "spreads": content.spreads,
        "steps": {
            name: figures.over_seeds(content.trainings, name)
            for name in ("mean_weight", "clipped_share", "gradient_norm")
        },
        "train_rows": content.train_rows,
        "severity": content.severity,
        "classifier": content.classifier,
        "quality_titles": classifier.QUALITY_TITLES,
        "classifier_titles": classifier.CLASSIFIER_TITLES,
        "comparison": classifier.comparison,
        "linear_is_as_good": classifier.linear_is_as_good,
        "calibration_in_the_large": classifier.calibration_in_the_large,
        "calibration_error": classifier.calibration_error,
        "sides": classifier.SIDES,
        "confusion": classifier.confusion_counts(content.confusion),
        "reliability": content.reliability.to_dict("records"),
        "datasets": datasets,
        "reasons": sorted({reason for counts in datasets.values() for reason in counts["rejected"]}),
        "placeholder_titles": PLACEHOLDERS,
        "duplicates": content.data["duplicates"],
        "sources": content.sources,
    }
