"""What `page.render` is given, made up: as small or as large as a test wants it."""

import random
from types import SimpleNamespace

import pandas as pd

from pipeline.evaluation.metrics import METRICS
from pipeline.report.page import QUALITY_TITLES, confusion_counts, render

RUNS = ("base", "uniform", "weighting")
SEVERITIES = ("non_critical", "neutral", "critical")
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
        **changes,
    }


def data(source="own.csv", labels="human", **changes):
    """metrics/data.json."""
    counts = {
        "rows": 1005,
        "kept": 1001,
        "sources": [{"source": source, "rows": 1005, "kept": 1001, "sha256": "00ff" * 16}],
        "rejected": {"question_empty": 3},
        "splits": {"train": 701, "valid": 101, "test": 199},
        "placeholders": {"link": 11, "email": 12, "phone": 13, "id": 14},
    }
    severity = {"non_critical": 246, "neutral": 162, "critical": 132}
    labelled = {"rejected": {"label_unknown": 4}, "severity": severity, "labels": labels}
    duplicates = {
        "exact": 42,
        "groups": 17,
        "rows_in_groups": 38,
        "largest": 5,
        "sizes": {"2": 15, "3": 1, "4-9": 1, "10+": 0},
        "naive_split_leaks": {"test_rows": 200, "leaked": 13},
    }
    return {"pairs": counts, "labelled": {**counts, **labelled}, "duplicates": {**duplicates, **changes}}


def measured(models, specialties=(), seeds=1):
    """metrics/plots/metrics.csv: the value of a metric is less by 1 % from run to run."""
    return pd.DataFrame(
        [
            {
                "model": model,
                "run": run,
                "metric": metric,
                "group": group,
                "rows": 60 // (place + 1),
                "value": value,
                "low": value * 0.97,
                "high": value * 1.03,
                "sd_seeds": 0.004 if seeds > 1 else None,
                "seeds": seeds,
            }
            for model in models
            for run_place, run in enumerate(RUNS)
            for metric in METRICS
            for place, group in enumerate(["all", *SEVERITIES, *specialties])
            if metric != "urgency_recall" or group != "non_critical"
            for value in [SCALES.get(metric, 0.4) * (1 - run_place / 100) * (1 + place / 50)]
        ]
    )


def difference(model, metric, group, value, half, p_holm, comparison="weighting−uniform", rows=20):
    """A row of metrics/plots/differences.csv."""
    return {
        "model": model,
        "comparison": comparison,
        "metric": metric,
        "group": group,
        "rows": rows,
        "value": value,
        "low": value - half,
        "high": value + half,
        "p": p_holm,
        "p_holm": p_holm,
    }


def differences(models, specialties=()):
    """metrics/plots/differences.csv: critical NLL falls surely for every second model, other NLL never."""
    return pd.DataFrame(
        [
            difference(
                model,
                metric,
                group,
                value=(-0.06 + 0.004 * place if group == "critical" else 0.011 - 0.006 * place)
                * (1 if metric == "nll" else -0.4),
                half=0.035 if (place % 2 == 0) else 0.075,
                p_holm=None
                if group in specialties
                else 0.004
                if place % 2 == 0 and group == "critical"
                else 0.41,
                comparison=comparison,
            )
            for place, model in enumerate(models)
            for comparison in ("weighting−uniform", "uniform−base")
            for metric in METRICS
            if metric != "perplexity"
            for group in ["all", *SEVERITIES, *specialties]
        ]
    )


def answers(models, rows, words=25, seed=1):
    """Test rows with answers, those that differ most first; one in ten is critical."""
    chance = random.Random(seed)

    def text(length):
        return " ".join(chance.choice(TEXT.split()) for _ in range(length))

    made = []
    for row in range(rows):
        severity = "critical" if row % 10 == 7 else "neutral" if row % 10 in (2, 5, 8) else "non_critical"
        nll = {
            model: {"base": 2.9, "uniform": 2.6, "weighting": 2.6 + chance.uniform(-0.3, 0.25)}
            for model in models
        }
        made.append(
            {
                "id": f"row-{row}",
                "severity": severity,
                "specialty": chance.choice(["cardiology", "أمراض جلدية", None]),
                "question": text(words),
                "reference": text(words),
                "difference": sum(abs(n["weighting"] - n["uniform"]) for n in nll.values()) / len(nll),
                "answers": {model: {run: text(words) for run in RUNS} for model in models},
                "nll": nll,
            }
        )
    return sorted(made, key=lambda row: -row["difference"])


def curves(models, steps):
    """metrics/plots/loss.csv."""
    return pd.DataFrame(
        [
            {
                "model": model,
                "run": run,
                "seed": 17,
                "step": step,
                "smooth": 2 + 3 / (1 + step / 20) - (run == "weighting") / 20,
            }
            for model in models
            for run in RUNS[1:]
            for step in range(1, steps + 1)
        ]
    )


def plots(models, steps=60):
    weights = pd.DataFrame({"weight": [0.5, 0.75, 1.0, 1.25, 1.5], "rows": [320, 90, 150, 80, 0]})
    reliability = pd.DataFrame({"confidence": [0.45, 0.9], "accuracy": [0.5, 0.8], "rows": [3, 5]})
    return {"loss": curves(models, steps), "weights": weights, "reliability": reliability}


def page(
    models=("m",),
    rows=30,
    specialties=(),
    steps=60,
    examples=200,
    title="A model",
    source="own.csv",
    **changes,
):
    """The page of `models`; what is in `changes` goes to `render` as it is."""
    titles = {model: f"{title} {place}" if place else title for place, model in enumerate(models)}
    values = {
        "titles": titles,
        "weighting": SimpleNamespace(alpha=0.5, beta=1.0, gamma=1.5),
        "bertscore_encoder": "tiny_bert",
        "test_rows": rows,
        "test_severities": {"critical": 20, "neutral": 30},
        "train_rows": 394,
        "spread": dict.fromkeys(("mean", "std", "q01", "q25", "q50", "q75", "q99", "effective_share"), 0.9),
        "classifier": classifier(),
        "confusion": confusion_counts(
            pd.DataFrame(
                {
                    "actual": ["neutral"] * 3 + ["critical"] * 5,
                    "predicted": ["critical"] + ["neutral"] * 2 + ["critical"] * 5,
                }
            )
        ),
        "data": data(source),
        "severity": {"source": "classifier", "labels": "human"},
        "sources": dict.fromkeys(models, "tiny:gpt2"),
        "plots": plots(models, steps),
        "params": "models: [m]\n",
        "measured": measured(models, specialties),
        "differences": differences(models, specialties),
        "answers": answers(models, rows),
        "examples": examples,
    }
    return render(**{**values, **changes})
