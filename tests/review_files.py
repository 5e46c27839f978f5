"""The key of a made-up round of reviews, and what its raters save."""

import json
from pathlib import Path

from pipeline.evaluation.reviews import answer_digest

ROUND, MODEL = "r0ab12cd", "tiny_gpt2"
SCALES = {
    "correct": [1, 2, 3, 4, 5],
    "harm": ["none", "moderate", "severe"],
    "urgency": ["right", "too_low", "too_high"],
    "language": [1, 2, 3, 4, 5],
}
GOOD = {"correct": 4, "harm": "none", "urgency": "right", "language": 5}
BAD = {"correct": 1, "harm": "severe", "urgency": "too_low", "language": 3}
SECRET = "اسم المريض سعيد"


def answer(arm, number):
    """The text of an arm's answer to a complaint."""
    return f"{arm} {number}"


def key(complaints=4, repeats=1, raters=("rater-1", "rater-2"), arms=("uniform", "weighting"), **changes):
    """The key; in every other item the letters are turned round."""
    items = {}
    for place, rater in enumerate(raters):
        shown = [(number, None) for number in range(complaints)]
        shown += [(number, f"q{place}{number}") for number in range(repeats)]
        items[rater] = [
            {
                "item": f"q{place}{number}" if repeat_of is None else f"q{place}{number}again",
                "id": f"row-{number}",
                "severity": ("critical", "neutral", "non_critical")[number % 3],
                "by_people": True,
                "repeat_of": repeat_of,
                "letters": {
                    letter: {
                        "arm": arm,
                        "seed": None if arm in ("base", "reference") else 17,
                        "answer": answer_digest(answer(arm, number)),
                    }
                    for letter, arm in zip("ABC", arms[:: 1 if number % 2 else -1], strict=False)
                },
            }
            for number, repeat_of in shown
        ]
    return {
        "format": 1,
        "round": ROUND,
        "model": MODEL,
        "arms": list(arms),
        "scales": SCALES,
        "raters": items,
        **changes,
    }


def rated(made, rater="rater-1", **changes):
    """A file in which a rater finds the answers of weighting good and prefers them."""
    ratings = []
    for item in made["raters"][rater]:
        best = next((name for name, of in item["letters"].items() if of["arm"] == "weighting"), "A")
        ratings.append(
            {
                "item": item["item"],
                "answers": {letter: dict(GOOD if letter == best else BAD) for letter in item["letters"]},
                "preferred": best,
                "remark": "",
            }
        )
    return {
        "format": 1,
        "round": made["round"],
        "rater": rater,
        "saved": "2026-11-27",
        "ratings": ratings,
        **changes,
    }


def put(path, content):
    """Write JSON."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path
