"""The page of a rater: one HTML file that needs no network and no other file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipeline.report.embedded import policy_hash, script_json

if TYPE_CHECKING:
    from pipeline.commands.review.design import Item
    from pipeline.config.review import ScalesConfig

DATA_FILES = ("page.html", "page.css", "page.js")


def page(round_name: str, rater: str, items: Sequence["Item"], scales: "ScalesConfig") -> str:
    """The page as text.

    Args:
        round_name: the name of the round; progress in the browser is kept under it and the rater's.
        rater: the name of the rater.
        items: in the order in which they are shown.
        scales: what is asked of each answer.
    """
    content = {
        "round": round_name,
        "rater": rater,
        "scales": shown_scales(scales),
        "items": [
            {
                "item": item.name,
                "complaint": item.complaint.text,
                "answers": {letter: answer.text for letter, answer in item.letters.items()},
            }
            for item in items
        ],
    }
    style, script = _beside("page.css"), _beside("page.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_beside("page.html")).render(
        policy=f"script-src {policy_hash(script)}; style-src {policy_hash(style)}",
        style=Markup(style),
        script=Markup(script),
        content=script_json(content),
    )


def shown_scales(scales: "ScalesConfig") -> list[dict[str, Any]]:
    """What is asked of each answer: `name`, `question` and `steps`, each a `value` with its `label`."""
    shown = []
    for name, scale in scales.model_dump().items():
        steps = scale["steps"]
        by_value = list(steps.items() if isinstance(steps, dict) else enumerate(steps, start=1))
        shown.append(
            {
                "name": name,
                "question": scale["question"],
                "steps": [{"value": value, "label": label} for value, label in by_value],
            }
        )
    return shown


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
