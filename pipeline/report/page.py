"""The page: one HTML file that carries everything it shows."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.statistics import UNIFORM
from pipeline.report import answers, arms, classifier, figures, findings, provenance
from pipeline.report.drawings import draw_all
from pipeline.report.vega import bundle, plot_file
from pipeline.severities import SEVERITIES

if TYPE_CHECKING:
    from pipeline.config.evaluation import PrimaryConfig
    from pipeline.config.training import ArmConfig

DATA_FILES = ("page.html", "page.css", "page.js")
# The page stays under 5 MB.
MAX_BYTES = 4_900_000
DATASETS = ("pairs", "labelled")
PLACEHOLDERS = {
    "link": "Links",
    "email": "E-mail addresses",
    "phone": "Phone numbers",
    "id": "Numbers as long as a national ID",
    "name": "Names after words that introduce them",
}
# Characters that change the direction of text, or are invisible, and the name that is shown instead. White
# space stays.
CONTROLS = {
    **{code: f"[U+{code:04X}]" for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x200B)},
    **dict(zip(range(0x202A, 0x202F), ("[LRE]", "[RLE]", "[PDF]", "[LRO]", "[RLO]"), strict=True)),
    **dict(zip(range(0x2066, 0x206A), ("[LRI]", "[RLI]", "[FSI]", "[PDI]"), strict=True)),
    **{0x200E: "[LRM]", 0x200F: "[RLM]", 0x061C: "[ALM]"},
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
        critical_references: see `summary.critical_references`.
        examples: how many of them are shown at most.
        test_severities: number of test rows by severity.
        train_rows: number of training pairs.
        bertscore_encoder: what BERTScore was computed with.
        classifier, data, severity: metrics/{classifier,data,severity}.json.
        params: the parameters, as YAML.
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
    critical_references: Mapping[str, int]
    examples: int
    test_severities: Mapping[str, int]
    train_rows: int
    bertscore_encoder: str
    classifier: Mapping[str, Any]
    data: Mapping[str, Any]
    severity: Mapping[str, Any]
    confusion: pd.DataFrame
    params: str


def render(content: PageContent) -> str:
    """Fill page.html. All text from data is escaped, and characters that change its direction are named."""
    vega, script = bundle(), plot_file("theme.js") + _beside("page.js")
    values = {
        **_results(content),
        **_data_sections(content),
        "versions": provenance.versions(),
        "code_hashes": provenance.stage_hashes(),
        "params": content.params,
        "style": Markup(plot_file("theme.css") + _beside("page.css")),
        "vega": Markup(vega),
        "script": Markup(script),
        "script_hashes": Markup(f"{_policy_hash(vega)} {_policy_hash(script)}"),
    }
    template = _environment().from_string(_beside("page.html"))
    # The answers take the room that the rest of the page leaves.
    room = MAX_BYTES - len(template.render(values, rows=[]).encode())
    return template.render(values, rows=answers.choose_answers(content.answers, content.examples, room))


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
    unit = " nats per token" if primary.metric == "nll" else ""
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
        "headline": findings.headline(
            endpoint,
            seeds,
            primary,
            content.arms[primary.arm],
            figures.placebo_tests(placebo_blocks, primary.arm),
        ),
        "endpoint": findings.endpoint(primary),
        "primary": primary,
        "unit": unit,
        "effect_sentences": findings.effect_sentences(endpoint, titles, unit, seeds),
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
        "browser": {"titles": titles, "arms": arm_titles, "controls": CONTROLS},
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


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=visible
    )
    environment.tests["arabic"] = re.compile("[\u0600-\u06ff]").search
    environment.filters |= {
        "signed": findings.signed,
        "probability": findings.probability,
        "figure": figure,
        "json": answers.script_json,
    }
    return environment


def visible(value: Any) -> Any:
    """A text with the characters of `CONTROLS` shown by name; markup and numbers as they are."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else value.translate(CONTROLS)


def figure(value: float) -> str:
    """A measured value with a number of digits that suits its size."""
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.2f}" if size < 1000 else f"{value:,.0f}"


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _policy_hash(script: str) -> str:
    """What a content security policy calls a script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
