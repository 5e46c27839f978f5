"""Made-up content of the page, as small or as large as a test wants it."""

import random

import numpy as np
import pandas as pd
import raters as made

from pipeline.config.evaluation import PrimaryConfig
from pipeline.config.training import ArmConfig
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.review_figures import NONE, review_figures
from pipeline.evaluation.statistics import comparisons
from pipeline.report.answers import strongest_pairs
from pipeline.report.classifier import QUALITY_TITLES
from pipeline.report.page import PageContent, render
from pipeline.report.summary import weight_histogram
from pipeline.severity.weights import weight_spread

ARMS = ("uniform", "weighting")
FOUR_ARMS = ("uniform", "mild", "weighting", "strong")
SETTINGS = {"uniform": 0.0, "mild": 0.25, "weighting": 0.5, "strong": 0.75}
SEVERITIES = ("non_critical", "neutral", "critical")
PRIMARY = PrimaryConfig(arm="weighting", metric="nll", group="critical")
ATTACK = "<script>alert(1)</script><img src=http://evil.example/x><!-- </script>"
OVERRIDE = "صداع \u202eevil\u202d منذ يومين"
TEXT = (
    "صداع منذ يومين وحرارة مع ألم شديد في الصدر والبطن بعد الأكل أشعر بدوخة عند الوقوف راجع الطبيب "
    "اليوم واشرب الماء كثيرا توجه إلى الطوارئ فورا لا تأخذ دواء من غير استشارة الراحة مهمة قد تكون حساسية"
)
SCALES = {"chrf": 20.0, "words": 30.0, "nll": 2.6, "perplexity": 13.5}


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


def quality(value):
    """All figures of a classifier, each a little greater than the one before."""
    return {
        name: interval(value + step / 100, value + step / 100 - 0.05, value + step / 100 + 0.05)
        for step, name in enumerate(QUALITY_TITLES)
    }


def calibration(rows, critical, mean):
    """What metrics/classifier.json says of p_critical on some rows: two bins."""
    share = critical / rows
    return {
        "rows": rows,
        "critical": critical,
        "mean_probability": mean,
        "share": interval(share, share - 0.08, share + 0.08),
        "excess": interval(mean - share, mean - share - 0.07, mean - share + 0.07),
        "brier": interval(0.123, 0.08, 0.17),
        "ece": interval(0.116, 0.066, 0.176),
        "ece_by_chance": interval(0.047, 0.019, 0.085),
        "bins": [
            {"probability": 0.021, "share": interval(0.05, 0.009, 0.236), "rows": rows - rows // 2},
            {"probability": 0.412, "share": interval(0.619, 0.409, 0.792), "rows": rows // 2},
        ],
    }


def calibrations(rows, critical):
    """The same of both sides."""
    return {
        "classifier": calibration(rows, critical, 0.149),
        "linear": calibration(rows, critical, 0.118),
        "brier_minus_linear": interval(-0.023, -0.044, -0.005),
    }


def flagged(threshold, flags, caught):
    """What a threshold finds among 107 test complaints, 27 of them critical."""
    shares = [interval(share, share / 2, (1 + share) / 2) for share in (caught / 27, caught / flags)]
    return {
        "threshold": threshold,
        "rows": 107,
        "critical": 27,
        "flagged": flags,
        "found": caught,
        "recall": shares[0],
        "precision": shares[1],
        "share_flagged": interval(flags / 107, flags / 107 - 0.08, flags / 107 + 0.08),
    }


def classifier(**changes):
    """metrics/classifier.json."""
    return {
        "encoder": "tiny_bert",
        "labels": "human",
        "rows": {"train": 391, "valid": 42, "test": 107},
        "temperature": 1.25,
        "ngram_weight": 0.75,
        "epochs": 6,
        "beats_linear": True,
        "classifier": quality(0.3),
        "encoder_alone": quality(0.35),
        "uncalibrated": quality(0.4),
        "linear": quality(0.5),
        "majority": quality(0.6),
        "log_loss_minus_linear": interval(-0.021, -0.05, 0.008),
        "per_class": {
            "non_critical": {"precision": 0.611, "recall": 0.622, "rows": 46},
            "neutral": {"precision": 0.0, "recall": 0.0, "rows": 35},
            "critical": {"precision": 0.633, "recall": 0.644, "rows": 26},
        },
        "per_specialty": {},
        "folds": None,
        "critical": {
            "test": calibrations(107, 27),
            "folds": None,
            "alarms": {
                "recall": 0.9,
                "chosen_on": "valid",
                "rows": 42,
                "critical": 10,
                "classifier": flagged(0.091, 40, 23),
                "linear": flagged(0.169, 21, 18),
            },
        },
        **changes,
    }


def data(source="own.csv", labels="human", unequal=None, **changes):
    """metrics/data.json."""
    counts = {
        "rows": 1005,
        "kept": 1001,
        "sources": [{"source": source, "rows": 1005, "kept": 1001, "sha256": "00ff" * 16}],
        "rejected": {"question_empty": 3},
        "splits": {"train": 701, "valid": 101, "test": 199},
        "placeholders": {"link": 11, "email": 12, "phone": 13, "id": 14, "name": 15},
    }
    severity = {"non_critical": 246, "neutral": 162, "critical": 132}
    rows = {"non_critical": 401, "neutral": 402, "critical": 199, "unknown": 3}
    lost = {"non_critical": 0, "neutral": 0, "critical": 2, "unknown": 1}
    counts["rejected_by_severity"] = {
        "rows": rows,
        "reasons": {"question_empty": {**lost, "unequal": unequal}},
    }
    labelled = {
        "rejected": {"unknown_label": 4},
        "severity": severity,
        "labels": labels,
        "rejected_by_severity": {"rows": rows, "reasons": {}},
        "contradictions": {"texts": 31, "rows": 64, "contradicted": 9, "best_accuracy": 0.859375},
    }
    duplicates = {
        "exact": 42,
        "groups": 17,
        "rows_in_groups": 38,
        "largest": 5,
        "sizes": {"2": 15, "3": 1, "4-9": 1, "10+": 0},
        "naive_split_leaks": {"test_rows": 200, "leaked": 13},
    }
    return {"pairs": counts, "labelled": {**counts, **labelled}, "duplicates": {**duplicates, **changes}}


def spread(rows, contrast_std, labelled=0):
    """What metrics/severity.json says of a split."""
    figures = {"log_loss": 0.827, "p_critical": 0.181, "critical": 0.241} if labelled else {}
    unknown = dict.fromkeys(("log_loss", "p_critical", "critical"))
    return {"rows": rows, "contrast_std": contrast_std, "labelled": labelled, **unknown, **figures}


def severity(**changes):
    """metrics/severity.json."""
    return {
        "source": "classifier",
        "labels": "human",
        "sharpen": 1.0,
        "splits": {"test": spread(107, 0.441), "train": spread(361, 0.39, labelled=360)},
        "splits_before_sharpening": None,
        **changes,
    }


def review(models=(), arms=("uniform", "weighting"), raters=3):
    """metrics/review.json: of some models, made-up raters' figures; of none, as it is without ratings."""
    if not models:
        return NONE
    chance = np.random.default_rng(0)
    quality = {arm: 0.6 * (arm == "weighting") for arm in arms}
    rows = made.ratings(chance, raters=raters, complaints=24, quality=quality, repeats=4)
    rated = pd.concat([made.with_metrics(rows, chance).assign(model=model) for model in models])
    return review_figures(rated, PRIMARY)


def settings(arms=ARMS):
    """Alpha, beta and gamma of each arm: those of the paper."""
    return {
        arm: ArmConfig(alpha=1 - SETTINGS[arm], beta=1.0, gamma=1 + SETTINGS[arm], renormalise=False)
        for arm in arms
    }


def measured(models, specialties=(), seeds=1, arms=ARMS):
    """metrics/plots/metrics.csv: the value of a metric is less by 1 % from arm to arm."""
    return pd.DataFrame(
        [
            {
                "model": model,
                "arm": arm,
                "metric": metric,
                "group": group,
                "rows": 60 // (place + 1),
                "value": value,
                "low": value * 0.97,
                "high": value * 1.03,
                "sd_seeds": 0.004 if seeds > 1 and arm != "base" else None,
                "seeds": 1 if arm == "base" else seeds,
            }
            for model in models
            for arm_place, arm in enumerate(("base", *arms))
            for metric in METRICS
            for place, group in enumerate(["all", *SEVERITIES, *specialties])
            if metric != "urgency_recall" or group != "non_critical"
            for value in [SCALES.get(metric, 0.4) * (1 - arm_place / 100) * (1 + place / 50)]
        ]
    )


def difference(model, metric, group, value, half, p, comparison="weighting-uniform", rows=20, seeds=3):
    """A row of `summary.differences_table`."""
    primary = (comparison, metric, group) == ("weighting-uniform", "nll", "critical")
    return {
        "model": model,
        "comparison": comparison,
        "metric": metric,
        "group": group,
        "rows": rows,
        "value": value,
        "low": value - half,
        "high": value + half,
        "p": p if seeds > 1 else None,
        "seeds": seeds,
        "by_seed": [value + half * (seed - (seeds - 1) / 2) / seeds for seed in range(seeds)],
        "role": "primary" if primary else "exploratory",
        "p_adjusted": p if seeds > 1 else None,
    }


def differences(models, specialties=(), arms=ARMS, seeds=3):
    """`summary.differences_table`: critical NLL falls surely for every second model, other NLL never."""
    return pd.DataFrame(
        [
            difference(
                model,
                metric,
                group,
                value=(-0.06 + 0.004 * place if group == "critical" else 0.011 - 0.006 * place)
                * (1 if metric == "nll" else -0.4),
                half=0.035 if (place % 2 == 0) else 0.075,
                p=0.004 if place % 2 == 0 and group == "critical" else 0.41,
                comparison=comparison,
                seeds=seeds,
            )
            for place, model in enumerate(models)
            for comparison in comparisons(arms)
            for metric in METRICS
            if metric != "perplexity"
            for group in ["all", *SEVERITIES, *specialties]
        ]
    )


def answers(models, rows, words=25, seed=1, arms=ARMS, labelled=0):
    """Test rows with answers, those that differ most first; one in ten is critical."""
    chance = random.Random(seed)

    def text(length):
        return " ".join(chance.choice(TEXT.split()) for _ in range(length))

    made = []
    for row in range(rows):
        severity = "critical" if row % 10 == 7 else "neutral" if row % 10 in (2, 5, 8) else "non_critical"
        nll = {
            model: {"base": 2.9, **{arm: 2.6 + SETTINGS[arm] * chance.uniform(-0.6, 0.5) for arm in arms}}
            for model in models
        }
        made.append(
            {
                "id": f"row-{row}",
                "source": "own.csv",
                "line": row + 2,
                "severity": severity,
                "by_people": row < labelled,
                "specialty": chance.choice(["cardiology", "أمراض جلدية", None]),
                "question": text(words),
                "reference": text(words),
                "answers": {model: {arm: text(words) for arm in ("base", *arms)} for model in models},
                "nll": nll,
            }
        )

    def difference(row):
        return sum(abs(nll["weighting"] - nll["uniform"]) for nll in row["nll"].values())

    return sorted(made, key=difference, reverse=True)


def facts():
    """metrics/finetune/**.json of a training."""
    return {
        "pairs": 9,
        "steps": 2,
        "clipped_share": 0.5,
        "gradient_norm": 1.25,
        "weights": {"mean": 1.1, "std": 0.2, "effective_share": 0.97},
    }


def evaluation(seed=1):
    """metrics/evaluate/**.json of a model."""
    valid = {"pairs": 3, "nll": 2.0 + seed / 10, "nll_critical": 3.0, "nll_neutral": None}
    return {"bertscore_encoder": "an encoder", "valid": valid}


def trainings(models, arms=ARMS, seeds=3):
    """`results.trainings_table`: the validation NLL is least in the last arm."""
    trained = pd.DataFrame(
        [
            {
                "model": model,
                "arm": arm,
                "seed": 17 + seed,
                "mean_weight": 1.0 + SETTINGS[arm] / 10,
                "clipped_share": 0.125,
                "gradient_norm": 0.75,
                "valid_nll": 2.7 - SETTINGS[arm] / 100 + seed / 1000,
                "valid_nll_critical": 2.8,
                "valid_nll_neutral": 2.6,
                "valid_nll_non_critical": np.nan,
            }
            for model in models
            for arm in arms
            for seed in range(seeds)
        ]
    )
    base = [{"model": model, "arm": "base", "seed": None, "valid_nll": 2.9} for model in models]
    return pd.concat([pd.DataFrame(base), trained], ignore_index=True).astype({"seed": "Int64"})


def placebos(models, count, p=0.35):
    """`summary.placebo_table`: of the arm weighting."""
    rows = []
    for model in models:
        rows.append({"model": model, "arm": "weighting", "placebo": "", "value": -0.0123, "p": p})
        rows += [
            {"model": model, "arm": "weighting", "placebo": f"placebo_{n}", "value": n / 1000, "p": np.nan}
            for n in range(count)
        ]
    return pd.DataFrame(rows, columns=["model", "arm", "placebo", "value", "p"])


def curves(models, steps, arms=ARMS):
    """metrics/plots/loss.csv."""
    return pd.DataFrame(
        [
            {
                "model": model,
                "arm": arm,
                "seed": 17,
                "step": step,
                "smooth": 2 + 3 / (1 + step / 20) - SETTINGS[arm] / 10,
            }
            for model in models
            for arm in arms
            for step in range(1, steps + 1)
        ]
    )


def weights(arms=ARMS):
    """The weights of 600 training pairs in each arm."""
    severity = np.random.default_rng(2).beta(0.8, 0.8, 600) * 2 - 1
    return {arm: 1 + SETTINGS[arm] * severity for arm in arms}


def content(
    models=("m",),
    rows=30,
    specialties=(),
    steps=60,
    title="A model",
    source="own.csv",
    arms=ARMS,
    seeds=3,
    **changes,
):
    """The content of a page of `models`; `changes` replace fields of it."""
    of_arm = weights(arms)
    if "arm_settings" in changes:
        changes["arms"] = changes.pop("arm_settings")
    values = {
        "titles": {model: f"{title} {place}" if place else title for place, model in enumerate(models)},
        "sources": dict.fromkeys(models, "tiny:gpt2"),
        "arms": settings(arms),
        "measured": measured(models, specialties, seeds, arms),
        "primary": PRIMARY,
        "differences": differences(models, specialties, arms, seeds),
        "placebos": placebos(models, 0)[:0],
        "trainings": trainings(models, arms, seeds),
        "loss": curves(models, steps, arms),
        "weights": weight_histogram({arm: of_arm[arm] for arm in arms if arm != "uniform"}),
        "reliability": pd.DataFrame({"confidence": [0.45, 0.9], "accuracy": [0.5, 0.8], "rows": [3, 5]}),
        "spreads": {arm: weight_spread(each) for arm, each in of_arm.items()},
        "answers": answers(models, rows, arms=arms),
        "critical_references": {"rows": 20, "urgent": 19, "reassuring": 1},
        "examples": 200,
        "test_severities": {"critical": 20, "neutral": 30, "non_critical": 5},
        "train_rows": 394,
        "bertscore_encoder": "tiny_bert",
        "classifier": classifier(),
        "confusion": pd.DataFrame(
            {
                "actual": ["neutral"] * 3 + ["critical"] * 5,
                "predicted": ["critical"] + ["neutral"] * 2 + ["critical"] * 5,
            }
        ),
        "data": data(source),
        "severity": severity(),
        "review": review(),
        "params": "models: [m]\n",
        "language": "en",
    }
    values |= changes
    values.setdefault("pairs", pairs(values["answers"], values["primary"], values["examples"]))
    return PageContent(**values)


def pairs(rows, primary, examples):
    """`strongest_pairs`, as if the primary metric were NLL."""
    values = {}
    for row in rows:
        for model, nll in row["nll"].items():
            values.setdefault(model, {})[row["id"]] = nll
    return strongest_pairs(
        rows, values, PrimaryConfig(arm=primary.arm, metric="nll", group="all"), examples
    )


def page(*arguments, **options):
    """The page of `content`."""
    return render(content(*arguments, **options))


FOLDS = {
    "k": 5,
    "rows": 520,
    "classifier": quality(0.7),
    "linear": quality(0.8),
    "log_loss_minus_linear": interval(-0.031, -0.052, -0.011),
}
