import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import evaluation, facts
from studies import study

from pipeline.config.evaluation import PrimaryConfig
from pipeline.config.training import ArmConfig
from pipeline.errors import WaznError
from pipeline.evaluation.corrections import benjamini_hochberg, holm
from pipeline.evaluation.metrics import MEASURED
from pipeline.report import summary as tables
from pipeline.report.answers import answer_rows
from pipeline.report.headline import headline
from pipeline.report.results import gather, loss_table, trainings_table

ARMS = ("uniform", "mild", "weighting")
BALANCED = ArmConfig(alpha=0.5, beta=1.0, gamma=1.5, renormalise=False)
SETTINGS = {
    "uniform": BALANCED.model_copy(update={"alpha": 1.0, "gamma": 1.0}),
    "mild": BALANCED.model_copy(update={"alpha": 0.75, "gamma": 1.25}),
    "weighting": BALANCED,
}
PRIMARY = PrimaryConfig(arm="weighting", metric="nll", group="critical")
CURVE = "metrics/finetune/{arm}/{model}/{seed}/plots/metrics/train/loss.tsv"
SEVERITIES = {"a": "critical", "b": "neutral", "c": "critical", "d": "critical"}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A working folder with evaluations and loss curves of two models, with the seeds 1 and 2."""
    monkeypatch.chdir(tmp_path)
    for model in ("one", "two"):
        generated(model, "base", "base")
        trained(model, "base", "base")
        for arm in ARMS:
            for seed in (1, 2):
                generated(model, arm, seed)
                path = Path(CURVE.format(arm=arm, model=model, seed=seed))
                path.parent.mkdir(parents=True)
                path.write_text("step\tloss\n1\t4.0\n2\t2.0\n", encoding="utf-8")
                trained(model, arm, seed)
    return tmp_path


def trained(model, arm, seed):
    """The facts of a training and of its evaluation; of `base` that of its evaluation."""
    of_evaluation = evaluation(seed if arm != "base" else 5)
    put(f"metrics/evaluate/{arm}/{model}/{seed}.json", of_evaluation)
    if arm != "base":
        put(f"metrics/finetune/{arm}/{model}/{seed}.json", facts())


def put(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content), encoding="utf-8")


def generated(model, arm, seed, nll=None, **columns):
    """Evaluated rows with this NLL per answer token, by row id."""
    nll = nll or dict.fromkeys("abc", 1.0)
    path = Path(f"data/generated/{arm}/{model}/{seed}.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(
        {
            "id": list(nll),
            "severity": [SEVERITIES[name] for name in nll],
            "generated": [f"{model} {arm} {seed} {name}" for name in nll],
            **dict.fromkeys(MEASURED, 0.0),
            "nll_sum": [4 * value for value in nll.values()],
            "answer_tokens": 4,
            "answer_bytes": 8,
            "severity_human": None,
        }
    )
    table.assign(**columns).to_parquet(path)


def scored(**changes):
    return pd.DataFrame(
        [
            {
                "source": "own.csv",
                "line": 7,
                "group": name,
                "severity_human": severity if name == "b" else None,
                "id": name,
                "split": "test",
                "severity": severity,
                "question": f"سؤال {name}",
                "answer": f"توجه إلى الطوارئ فورا {name}",
            }
            for name, severity in SEVERITIES.items()
        ]
    ).assign(**changes)


def gathered(*models, seeds=(1,)):
    return gather(models or ["one"], ARMS, seeds, scored())


def differences(*models, seeds=(1,), arms=SETTINGS, primary=PRIMARY):
    return tables.differences_table(gather(models or ["one"], list(arms), seeds, scored()), arms, primary)


# Gathering.


def test_gather_reads_every_model_arm_and_seed(results):
    answers = {
        model: {arm: [table["generated"][0] for table in of_arm] for arm, of_arm in arms.items()}
        for model, arms in gathered("one", "two", seeds=[1, 2]).items()
    }
    assert answers == {
        model: {
            "base": [f"{model} base base a"],
            **{arm: [f"{model} {arm} {seed} a" for seed in (1, 2)] for arm in ARMS},
        }
        for model in ("one", "two")
    }
    assert list(answers["one"]) == ["base", *ARMS]


def test_gather_ignores_what_is_not_listed(results):
    patterns = ("*/two/*", "*/*/2.parquet", "mild/*/*")
    for path in (path for pattern in patterns for path in results.glob(f"data/generated/{pattern}")):
        path.write_text("not even Parquet", encoding="utf-8")
    tables_of = gather(["one"], ["uniform", "weighting"], [1], scored())
    assert list(tables_of) == ["one"]
    assert list(tables_of["one"]) == ["base", "uniform", "weighting"]


@pytest.mark.parametrize("path", ["base/two/base", "mild/two/1", "weighting/two/2"])
def test_gather_names_a_missing_evaluation(results, path):
    path = f"data/generated/{path}.parquet"
    Path(path).unlink()
    with pytest.raises(WaznError, match=rf"^{path}: no such file; run `dvc repro`"):
        gathered("one", "two", seeds=[1, 2])


@pytest.mark.parametrize("ids", ["ab", "abcd", "abd", "acb"])
def test_gather_names_an_evaluation_of_other_rows(results, ids):
    generated("two", "weighting", 2, dict.fromkeys(ids, 1.0))
    with pytest.raises(WaznError, match=r"^data/generated/weighting/two/2\.parquet: not the rows that"):
        gathered("one", "two", seeds=[1, 2])


def test_another_model_may_have_other_rows(results):
    for arm, seed in (("base", "base"), *((arm, 1) for arm in ARMS)):
        generated("two", arm, seed, {"a": 1.0, "d": 1.0})
    assert len(gathered("one", "two")["two"]["base"][0]) == 2


def test_references_of_critical_complaints_are_counted(results):
    texts = ["اتصل بالإسعاف", "لا داعي للقلق", "لا تقلق فالأمر بسيط", "لا تقلق"]
    tables_of = gather(["one"], ARMS, [1], scored().assign(answer=texts))["one"]
    # b is neutral, and d was not evaluated.
    assert tables.critical_references(tables_of["base"][0]) == {"rows": 2, "urgent": 1, "reassuring": 1}


def test_gather_says_which_references_and_answers_tell_to_seek_urgent_care(results):
    urgent = ["توجه إلى الطوارئ فورا", "لا داعي للطوارئ", ""]
    generated("one", "weighting", 1, generated=urgent)
    calm = scored().assign(answer=["اتصل بالإسعاف", *["اشرب الماء"] * 3])
    found = gather(["one"], ARMS, [1], calm)["one"]
    assert found["weighting"][0]["urgent_answer"].tolist() == [1, 0, 0]
    assert found["uniform"][0]["urgent_answer"].tolist() == [0, 0, 0]
    assert all(tables[0]["urgent_reference"].tolist() == [1, 0, 0] for tables in found.values())


# Tables.


def test_measured_has_every_model_arm_and_group(results):
    generated("two", "uniform", 1, {"a": 3.0, "b": 1.0, "c": 2.0})
    found = tables.measured_table(gathered("one", "two"))
    assert list(found)[:6] == ["model", "arm", "metric", "group", "rows", "value"]
    nll = found[found["metric"] == "nll"].set_index(["model", "arm", "group"])["value"]
    assert len(nll) == 2 * 4 * 3
    assert nll[("two", "uniform", "critical")] == 2.5
    assert nll[("two", "uniform", "all")] == 2.0
    assert nll[("one", "uniform", "all")] == 1.0


def varied(*models, arms=ARMS):
    """Results that differ by model, arm, seed and row."""
    random = np.random.default_rng(0)
    for model in models:
        for arm in arms:
            for seed in (1, 2):
                nll = dict(zip("abc", random.normal(2, 0.1, 3), strict=True))
                generated(model, arm, seed, nll, chrf=random.uniform(10, 20, 3))


def test_primary_endpoints_are_corrected_over_models_and_the_rest_over_all_that_is_coloured(results):
    varied("one", "two")
    table = differences("one", "two", seeds=[1, 2])
    primary = table[table["role"] == "primary"]
    assert primary["model"].tolist() == ["one", "two"]
    assert set(primary["comparison"] + primary["metric"] + primary["group"]) == {
        "weighting-uniformnllcritical"
    }
    assert primary["p_adjusted"].tolist() == pytest.approx(holm(primary["p"].to_numpy()))
    rest = table[table["role"] == "exploratory"]
    assert len(rest) == len(table) - 2
    assert rest["p_adjusted"].tolist() == pytest.approx(benjamini_hochberg(rest["p"].to_numpy()))
    assert (rest["p_adjusted"] >= rest["p"]).all()


def test_the_primary_endpoint_is_the_one_of_params(results):
    varied("one")
    primary = PrimaryConfig(arm="mild", metric="chrf", group="all")
    table = differences(seeds=[1, 2], primary=primary)
    [row] = table[table["role"] == "primary"].to_dict("records")
    assert (row["comparison"], row["metric"], row["group"]) == ("mild-uniform", "chrf", "all")


def test_one_training_shows_nothing(results):
    varied("one")
    table = differences()
    assert table["p_adjusted"].isna().all()
    assert "primary_p" not in summarised()["one"]["weighting"]


def test_each_seed_has_its_difference(results):
    generated("one", "weighting", 1, {"a": 0.5, "b": 1.0, "c": 0.7})
    generated("one", "weighting", 2, {"a": 0.7, "b": 1.0, "c": 0.7})
    table = tables.seeds_table(differences(seeds=[1, 2]), [1, 2])
    rows = table.query("comparison == 'weighting-uniform' and metric == 'nll' and group == 'critical'")
    assert rows[["model", "seed", "value"]].to_dict("split")["data"] == [["one", 1, -0.4], ["one", 2, -0.3]]


@pytest.fixture
def with_placebos(results):
    """Three placebos of weighting, which is further from the mean of all than they are."""
    arms = SETTINGS | {f"p{n}": BALANCED.model_copy(update={"permute": n}) for n in range(3)}
    for arm in list(arms)[3:]:
        for seed in (1, 2):
            trained("one", arm, seed)
    varied("one", arms=arms)
    for seed in (1, 2):
        generated("one", "weighting", seed, dict.fromkeys("abc", 0.5))
    return arms


def test_an_arm_stands_among_its_placebos(with_placebos):
    table = differences(seeds=[1, 2], arms=with_placebos)
    assert set(table[table["role"] == "placebo"]["comparison"]) == {f"p{n}-uniform" for n in range(3)}
    assert table[table["role"] == "placebo"]["p_adjusted"].isna().all()
    places = tables.placebo_table(table, with_placebos, PRIMARY)
    assert places["placebo"].tolist() == ["", "p0", "p1", "p2"]
    assert places["arm"].unique().tolist() == ["weighting"]
    critical = table.query("metric == 'nll' and group == 'critical'").set_index("comparison")["value"]
    assert places["value"].tolist() == [critical[f"{n}-uniform"] for n in ("weighting", "p0", "p1", "p2")]
    assert places["p"].tolist() == pytest.approx([1 / 4, *[np.nan] * 3], nan_ok=True)
    of_all = tables.summary(
        tables.measured_table(gather(["one"], list(with_placebos), [1, 2], scored())),
        table,
        trainings_table(["one"], list(with_placebos), [1, 2]),
        places,
        {"one": 0},
    )
    assert of_all["one"]["weighting"]["placebo_p"] == 0.25
    assert "placebo_p" not in of_all["one"]["p1"]
    assert of_all["one"]["p1"]["nll"] > 0, "a placebo is in the summary as every arm is"


def test_trainings_have_their_validation_and_their_steps(results):
    table = trainings_table(["one"], ["uniform", "weighting"], [1, 2])
    assert table[["arm", "seed"]].astype(object).to_numpy().tolist() == [
        ["base", pd.NA], ["uniform", 1], ["uniform", 2], ["weighting", 1], ["weighting", 2]
    ]  # fmt: skip
    assert table.iloc[0]["valid_nll"] == 2.5
    first = table.iloc[1].to_dict()
    assert first["valid_nll"] == 2.1
    assert first["valid_nll_critical"] == 3.0
    assert np.isnan([first["valid_nll_neutral"], first["valid_nll_non_critical"]]).all()
    assert (first["mean_weight"], first["clipped_share"], first["gradient_norm"]) == (1.1, 0.5, 1.25)


def test_missing_facts_of_a_training_are_named(results):
    for path in ("metrics/finetune/weighting/one/2.json", "metrics/evaluate/mild/one/1.json"):
        Path(path).unlink()
        with pytest.raises(WaznError, match=rf"^{path}: no such file"):
            trainings_table(["one"], ARMS, [1, 2])


def test_each_arm_is_compared_with_uniform_and_uniform_with_base(results):
    generated("one", "weighting", 1, {"a": 0.5, "b": 1.0, "c": 0.7})
    found = differences("one", "two")
    assert set(found["comparison"]) == {"mild-uniform", "weighting-uniform", "uniform-base"}
    key = ["model", "comparison", "metric", "group"]
    values = found.set_index(key)["value"]
    assert values[("one", "weighting-uniform", "nll", "critical")] == pytest.approx(-0.4)
    assert values[("two", "weighting-uniform", "nll", "critical")] == 0.0


# The summary.


def summarised(*models, seeds=(1,)):
    chosen = (models or ["one"], ARMS, seeds)
    results = gather(*chosen, scored())
    table = tables.differences_table(results, SETTINGS, PRIMARY)
    places = tables.placebo_table(table, SETTINGS, PRIMARY)
    people = {model: int(arms["base"][0]["severity_human"].count()) for model, arms in results.items()}
    return tables.summary(tables.measured_table(results), table, trainings_table(*chosen), places, people)


FIXED = {
    "bertscore_f1": 0.0,
    "chrf": 0.0,
    "rouge_l": 0.0,
    "nll": 1.0,
    "nll_critical": 1.0,
    "nll_neutral": 1.0,
    "bits_per_byte": round(4 / 8 / np.log(2), 6),
    "urgency_recall": 0.0,
    "urgency_f1": 0.0,
    "dangerous_reassurance": 0.0,
    "cut_off": 0.0,
    "rows": 3,
    "rows_critical": 2,
    "rows_neutral": 1,
    "rows_non_critical": 0,
    "rows_labelled_by_people": 1,
}
TRAINED = {**FIXED, "valid_nll": 2.1, "valid_nll_critical": 3.0}


def test_summary_has_the_documented_metrics_and_nothing_else(results):
    """No row is non-critical, no answer alarms, and every reference does."""
    found = summarised("one", "two")
    assert list(found) == ["one", "two"]
    assert list(found["two"]) == ["base", *ARMS]
    for arms in found.values():
        assert arms["base"] == {**FIXED, "valid_nll": 2.5, "valid_nll_critical": 3.0}
        assert arms["uniform"] == arms["mild"] == TRAINED
        assert arms["weighting"] == {**TRAINED, "primary": 0.0, "primary_low": 0.0, "primary_high": 0.0}


def test_summary_is_mean_and_spread_over_seeds(results):
    generated("one", "uniform", 2, dict.fromkeys("abc", 2.0), chrf=10.0)
    found = summarised(seeds=[1, 2])
    assert found["one"]["uniform"]["nll"] == 1.5
    assert found["one"]["uniform"]["chrf"] == 5.0
    assert found["one"]["uniform"]["chrf_sd"] == pytest.approx(50**0.5, abs=1e-6)
    assert found["one"]["uniform"]["valid_nll"] == 2.15
    assert found["one"]["uniform"]["valid_nll_sd"] == pytest.approx(0.1 / 2**0.5, abs=1e-6)
    assert found["one"]["weighting"]["nll"] == 1.0
    assert found["one"]["weighting"]["nll_sd"] == 0
    assert found["one"]["weighting"]["primary"] == -0.5
    assert found["one"]["weighting"]["primary_p"] > 0.05
    assert "nll_sd" not in found["one"]["base"], "it has no seed"
    assert found["one"]["base"]["valid_nll"] == 2.5
    assert "valid_nll_sd" not in found["one"]["base"]


# The headline, by simulation.


def claims(random, studies, **options):
    """How often the headline claims an effect, of two models with the same true effect."""
    claimed = 0
    for _ in range(studies):
        results = {model: study(random, **options) for model in ("one", "two")}
        table = tables.differences_table(
            results, {arm: SETTINGS[arm] for arm in ("uniform", "weighting")}, PRIMARY
        )
        effects = table[table["role"] == "primary"].to_dict("records")
        sentence = headline(effects, options["seeds"], PRIMARY, BALANCED, {})
        claimed += not sentence.startswith("No effect")
    return claimed / studies


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "by_seed"), [(3, 0.003), (2, 0.02), (5, 0.0)])
def test_without_an_effect_the_headline_claims_one_in_at_most_five_of_a_hundred_studies(seeds, by_seed):
    share = claims(np.random.default_rng(seeds), 400, seeds=seeds, spread=(by_seed, 0.01, 0.008))
    # Two standard deviations of 400 studies.
    assert share <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


@pytest.mark.slow
def test_a_large_effect_is_claimed():
    assert claims(np.random.default_rng(1), 40, seeds=3, effect=-0.05) == 1.0


# Plots.


def test_nll_has_one_row_a_severity(results):
    generated("one", "base", "base", {"a": 1.0, "b": 2.0, "c": 3.0})
    found = tables.nll_table(tables.measured_table(gathered()))
    assert list(found) == ["model", "arm", "severity", "value", "low", "high"]
    critical, neutral = found[found["arm"] == "base"].to_dict("records")
    assert (critical["severity"], neutral["severity"]) == ("critical", "neutral")
    # Two rows, 1 and 3: Student's t with one degree of freedom, 12.7 standard errors of 1.
    assert [critical[name] for name in ("value", "low", "high")] == pytest.approx([2, -10.7062, 14.7062])
    assert neutral["value"] == 2.0
    assert np.isnan([neutral["low"], neutral["high"]]).all(), "one row has no interval"


def test_loss_is_smoothed_within_each_curve(results):
    found = loss_table(["one", "two"], ARMS, [1, 2])
    assert list(found.columns) == ["model", "arm", "seed", "step", "smooth"]
    assert len(found) == 2 * 3 * 2 * 2
    for _, curve in found.groupby(["model", "arm", "seed"]):
        assert curve["step"].tolist() == [1, 2]
        # The exponential mean with weights 1 and 0.9, divided by their sum.
        assert curve["smooth"].tolist() == pytest.approx([4.0, (2.0 + 0.9 * 4.0) / 1.9], abs=1e-6)


def test_a_missing_loss_curve_is_named(results):
    path = CURVE.format(arm="weighting", model="two", seed=2)
    Path(path).unlink()
    with pytest.raises(WaznError, match=rf"^{path}: no such file"):
        loss_table(["one", "two"], ARMS, [1, 2])


@pytest.mark.parametrize("weights", [np.linspace(0.5, 1.5, 101), np.ones(7)])
def test_a_histogram_loses_no_row(weights):
    table = tables.weight_histogram({"weighting": weights}, bins=10)
    assert table["rows"].sum() == len(weights)
    assert table["weight"].is_monotonic_increasing


def test_a_histogram_names_the_lower_edges():
    table = tables.weight_histogram({"weighting": np.array([0.0, 0.1, 0.6, 1.0])}, bins=2)
    assert table.to_dict("list") == {"arm": ["weighting"] * 3, "weight": [0.0, 0.5, 1.0], "rows": [2, 2, 0]}


def test_the_histograms_of_all_arms_have_the_same_bins():
    table = tables.weight_histogram({"mild": np.array([0.9, 1.1]), "strong": np.array([0.0, 2.0])}, bins=4)
    edges = {arm: rows["weight"].tolist() for arm, rows in table.groupby("arm")}
    assert edges == {"mild": [0.0, 0.5, 1.0, 1.5, 2.0], "strong": [0.0, 0.5, 1.0, 1.5, 2.0]}
    assert table["rows"].tolist() == [0, 1, 1, 0, 0, 1, 0, 0, 1, 0]


# Answers.


def test_answers_come_by_how_far_the_losses_differ(results):
    generated("one", "uniform", 1, {"a": 1.0, "b": 2.0, "c": 1.0})
    generated("one", "weighting", 1, {"a": 1.1, "b": 1.0, "c": 1.4})
    found = answer_rows(gathered(seeds=[1, 2]), scored(specialty="skin"), ARMS, "weighting")
    assert [row["id"] for row in found] == ["b", "c", "a"]
    assert found[0] == {
        "id": "b",
        "source": "own.csv",
        "line": 7,
        "severity": "neutral",
        "by_people": True,
        "specialty": "skin",
        "question": "سؤال b",
        "reference": "توجه إلى الطوارئ فورا b",
        "answers": {"one": {"base": "one base base b", **{arm: f"one {arm} 1 b" for arm in ARMS}}},
        "nll": {"one": {"base": 1.0, "uniform": 2.0, "mild": 1.0, "weighting": 1.0}},
    }


def test_answers_come_by_the_mean_difference_over_models(results):
    """0.225, 0.15 and 0.05."""
    generated("one", "weighting", 1, {"a": 1.3, "b": 1.25, "c": 1.0})
    generated("two", "weighting", 1, {"a": 1.0, "b": 0.8, "c": 1.1})
    found = answer_rows(gathered("one", "two"), scored(), ARMS, "weighting")
    assert [row["id"] for row in found] == ["b", "a", "c"]
    assert list(found[0]["answers"]) == ["one", "two"]


def test_a_row_that_one_model_lacks_is_told_of_the_others(results):
    for arm, seed in (("base", "base"), *((arm, 1) for arm in ARMS)):
        generated("two", arm, seed, {"a": 1.0 + (arm == "weighting")})
    generated("one", "weighting", 1, {"a": 1.0, "b": 9.0, "c": 1.0})
    first, second, _ = answer_rows(gathered("one", "two"), scored(), ARMS, "weighting")
    assert (first["id"], list(first["answers"]), list(first["nll"])) == ("b", ["one"], ["one"])
    assert (second["id"], list(second["answers"])) == ("a", ["one", "two"])


@pytest.mark.parametrize("changes", [{}, {"specialty": ""}, {"specialty": None}, {"specialty": np.nan}])
def test_a_row_without_a_specialty_has_none(results, changes):
    assert answer_rows(gathered(), scored(**changes), ARMS, "weighting")[0]["specialty"] is None
