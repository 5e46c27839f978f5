"""Answers to the test complaints: greedy, or drawn as the paper draws them."""

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.errors import WaznError
from pipeline.evaluation.sampling import Sampler
from pipeline.models.budgets import Budget, slices
from pipeline.models.endings import end_tokens, pad_token_id
from pipeline.models.prompt import encode_prompt
from pipeline.models.runtime import float32_head

_WORD = re.compile(r"\S+")


class Answer(NamedTuple):
    """An answer.

    Attributes:
        text: without end-of-text, and without white space around it.
        cut_off: whether a limit, of tokens or of words, ended it before the model did.
    """

    text: str
    cut_off: bool


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    *,
    budget: Budget,
    max_length: int,
    max_new_tokens: int,
    max_new_words: int | None,
    name: str,
    keys: np.ndarray | None = None,
) -> list[Answer]:
    """Answer every question, from the prompt that training used.

    Questions are batched by length, padded at the left; answers come in the order of the questions, and
    do not depend on how they were batched. Logits are computed in float32, whatever the model's number
    type is.

    Args:
        budget: questions answered at once.
        max_length: most tokens of a prompt; a longer one loses its beginning.
        max_new_tokens: most tokens of an answer.
        max_new_words: most words of an answer, which are what white space parts; None for no such limit.
        name: what the progress bar calls the model.
        keys: of the rows, see `row_keys`, (n,), to sample; None for greedy decoding.

    Raises:
        WaznError: the memory does not hold one question, see `Budget.fits`; or numbers are beyond float16.
    """
    ends = end_tokens(model, tokenizer)
    # The model's own configuration (beams, penalties, sampling) would not be greedy decoding, and would set
    # every option that the call leaves open.
    model.generation_config = GenerationConfig(eos_token_id=ends)
    prompts = [encode_prompt(tokenizer, question)[-max_length:] for question in questions]
    # Longest first: if memory is too small, that is known at once.
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    padding = pad_token_id(tokenizer, len(model.get_input_embeddings().weight))
    answers = [Answer("", False)] * len(prompts)
    with float32_head(model), tqdm(total=len(prompts), desc=f"answer {name}", unit="row") as bar:

        def write(chosen: list[int]) -> None:
            longest = len(prompts[chosen[0]])
            tokens = torch.full((len(chosen), longest), padding)
            mask = torch.zeros_like(tokens)
            for row, index in enumerate(chosen):
                length = len(prompts[index])
                tokens[row, longest - length :] = torch.as_tensor(prompts[index])
                mask[row, longest - length :] = 1
            finite = _Finite()
            limits = [] if max_new_words is None else [_WordLimit(tokenizer, longest, max_new_words)]
            written = model.generate(
                tokens.to(model.device),
                attention_mask=mask.to(model.device),
                do_sample=False,
                max_new_tokens=max_new_tokens,
                pad_token_id=padding,
                eos_token_id=ends,
                logits_processor=[
                    *([finite] if model.dtype == torch.float16 else []),
                    *([] if keys is None else [Sampler(keys[chosen], longest)]),
                ],
                stopping_criteria=limits,
            )[:, longest:]
            if not finite:
                raise WaznError(
                    f"{name}: numbers of this model are beyond float16, which auto takes on a GPU without "
                    "bfloat16; set evaluate.dtype to float32"
                )
            texts = _texts(tokenizer, written)
            ended = torch.isin(written, torch.tensor(ends, device=written.device)).any(dim=1).tolist()
            for index, text, end in zip(chosen, texts, ended, strict=True):
                answers[index] = _within(text, end, max_new_words)
            bar.update(len(chosen))

        budget.run(order, slices, len, write)
    return answers


def _within(text: str, ended: bool, most: int | None) -> Answer:
    """What was written, cut to `most` words; `ended` if an end token is in it.

    A row with too many words was ended by `_WordLimit`; what then fills it up may look like an end token.
    """
    longer = most is not None and _more_words(text, most)
    if longer:
        text = text[: list(islice(_WORD.finditer(text), most))[-1].end()]
    return Answer(text.strip(), longer or not ended)


class _Finite:
    """Whether all logits have been finite so far; the answer is fetched from the device when asked for."""

    def __init__(self) -> None:
        self._all: torch.Tensor | bool = True

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Look at the scores of the next token, (B, vocabulary), and return them as they are."""
        self._all = scores.isfinite().all() & self._all
        return scores

    def __bool__(self) -> bool:
        return bool(self._all)


class _WordLimit:
    """Ends every row of a batch as soon as its answer has more than so many words."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, start: int, most: int) -> None:
        """Take the length of the prompts and the number of words."""
        self._tokenizer, self._start, self._most = tokenizer, start, most
        self._over: list[bool] = []

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Which rows are over, (B,); transformers calls it at every step, with the tokens so far (B, T)."""
        self._over = self._over or [False] * len(input_ids)
        # What is over is padded from then on, and is not read again.
        going = [row for row, over in enumerate(self._over) if not over]
        for row, text in zip(going, _texts(self._tokenizer, input_ids[going, self._start :]), strict=True):
            # Bytes at the end that make no whole character may yet become white space.
            self._over[row] = _more_words(text.rstrip("\ufffd"), self._most)
        return torch.tensor(self._over, device=input_ids.device)


def _more_words(text: str, most: int) -> bool:
    return next(islice(_WORD.finditer(text), most, None), None) is not None


def _texts(tokenizer: PreTrainedTokenizerBase, tokens: torch.Tensor) -> list[str]:
    """What rows of tokens (B, T) say."""
    texts: list[str] = tokenizer.batch_decode(
        tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return texts
