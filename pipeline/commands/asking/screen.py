"""How answers are shown: a table on a terminal, or a JSON object in one line."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pipeline.commands.asking.answers import ArmAnswer
from pipeline.severities import SEVERITIES

DISCLAIMER = "Written by language models for research. Not medical advice."


def show_notice(notice: Mapping[str, str], *, aside: bool) -> None:
    """Print the notice on emergencies.

    Args:
        aside: on standard error, where standard output is for JSON.
    """
    text = Text("\n\n".join(notice.values()), style="bold")
    Console(stderr=aside).print(Panel(text, title="!!!", border_style="bold red"))


def show_severity(probabilities: np.ndarray | None) -> None:
    """Print the probabilities of the severities, (3,)."""
    if probabilities is None:
        print("severity: not judged")
    else:
        print("severity:", ", ".join(f"{name} {p:.2f}" for name, p in _named(probabilities).items()))


def show_answers(answers: Sequence[ArmAnswer]) -> None:
    """Print a row for each arm.

    There is one column of Arabic, and it is the last: a terminal that writes from right to left would
    exchange columns of answers that stand beside each other.
    """
    table = Table("arm", "weight", "answer", box=box.SIMPLE)
    for arm, weight, answer in answers:
        text = Text(answer.text + (" …" if answer.cut_off else ""))
        table.add_row(Text(arm), "" if weight is None else f"{weight:.2f}", text)
    Console().print(table)


def as_json(
    question: str,
    probabilities: np.ndarray | None,
    signs: Sequence[str],
    notice: Mapping[str, str],
    answers: Sequence[ArmAnswer],
) -> str:
    """One line: `emergency` (null, or why and what is to be shown above the answers) comes first."""
    return json.dumps(
        {
            "emergency": {"signs": list(signs), "notice": dict(notice)} if signs else None,
            "disclaimer": DISCLAIMER,
            "question": question,
            "severity": None if probabilities is None else _named(probabilities),
            "answers": [
                {"arm": arm, "weight": weight, "answer": answer.text, "cut_off": answer.cut_off}
                for arm, weight, answer in answers
            ],
        },
        ensure_ascii=False,
    )


def _named(probabilities: np.ndarray) -> dict[str, float]:
    return dict(zip(SEVERITIES, map(float, probabilities), strict=True))
