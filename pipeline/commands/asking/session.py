"""Answer one complaint, or one after the other."""

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.commands.asking.answers import Arms
from pipeline.commands.asking.emergency import notice, signs, signs_of_answers
from pipeline.commands.asking.screen import DISCLAIMER, as_json, show_answers, show_notice, show_severity
from pipeline.commands.asking.severity import Judge
from pipeline.errors import WaznError
from pipeline.models.runtime import deterministic
from pipeline.text.normalise import Normaliser

if TYPE_CHECKING:
    from pipeline.config.params import Params


def run(
    question: str | None,
    params: "Params",
    model: str,
    arms: Sequence[str] | None,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Print what the arms of a model answer to a complaint, or to each line of standard input.

    Args:
        question: the complaint; None for lines.
        arms: names; None for all, see `Arms`.
        as_json: whether to print a JSON object for each.

    Raises:
        WaznError: the question is empty, or a model is missing or cannot be loaded. The notice on an
            emergency has been printed by then.
    """
    session = Session(params, model, arms, seed, json=as_json)
    if question is not None:
        session.answer(question)
        return
    if isinstance(sys.stdin, io.TextIOWrapper):
        # A byte that is no text of the terminal's encoding is no reason to end.
        sys.stdin.reconfigure(errors="replace")
    while line := _next_line():
        try:
            session.answer(line)
        except EmptyQuestion as error:
            print(f"wazn: {error}", file=sys.stderr)


class EmptyQuestion(WaznError):
    """Nothing is left of a question when it is normalised."""


class Session:
    """Complaints and answers; every model is loaded once."""

    def __init__(
        self, params: "Params", model: str, arms: Sequence[str] | None, seed: int, *, json: bool
    ) -> None:
        """Load the classifier; the models are loaded when they are first asked."""
        deterministic(0)
        self._params, self._chosen, self._json = params, (model, arms, seed), json
        self._normaliser = Normaliser(params.normalise.rules_off.language_model)
        self._notice = notice(params.ask.emergency_number)
        self._judge = Judge(params)
        self._arms: Arms | None = None

    def answer(self, question: str) -> None:
        """Print notice, severity and answers, in this order.

        Raises:
            EmptyQuestion: there is no text in the question.
            WaznError: a model is missing or cannot be loaded.
        """
        [text] = self._normaliser([question])
        if not text:
            raise EmptyQuestion('the question is empty; give it in quotes, as in: wazn ask --model M "…"')
        probabilities = self._judge(question)
        reasons = signs(question, probabilities)
        # Before anything that takes long, or may fail.
        if reasons:
            show_notice(self._notice, aside=self._json)
        if self._arms is None:
            self._arms = Arms(self._params, *self._chosen)
        answers = self._arms.answer(text, probabilities)
        of_answers = signs_of_answers([answer.answer.text for answer in answers])
        if self._json:
            print(as_json(text, probabilities, [*reasons, *of_answers], self._notice, answers), flush=True)
            return
        if of_answers and not reasons:
            show_notice(self._notice, aside=False)
        show_severity(probabilities)
        show_answers(answers)
        number = self._params.ask.emergency_number
        print(f"{DISCLAIMER} In an emergency, call {number}.", file=sys.stderr)


def _next_line() -> str:
    """The next line of standard input that has text; empty where there is none."""
    while True:
        if sys.stdin.isatty():
            print("A complaint, in Arabic (Ctrl-D ends): ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line or line.strip():
            return line
