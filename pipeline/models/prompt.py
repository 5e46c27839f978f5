"""The one prompt of training, evaluation and `wazn ask`."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from transformers import PreTrainedTokenizerBase

# "The answer:", as the authors' notebooks spell it (no hamza), so that their adapters and ours agree.
ANSWER_CUE = "الاجابة:"


@dataclass(frozen=True)
class Example:
    """A complaint and its answer as the language model sees them.

    Attributes:
        id: the row's id.
        input_ids: token ids of prompt, answer and, unless cut off, end-of-text.
        prompt_length: tokens of the prompt, at least 1; the next one is the first of the answer.
        weight: the pair's severity weight w.
    """

    id: str
    input_ids: Sequence[int]
    prompt_length: int
    weight: float


def prompt(question: str) -> str:
    """What stands before the answer: the question, then the answer cue."""
    return f"\n{question}\n\n{ANSWER_CUE}\n"


def encode_prompt(tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    """Token ids of the prompt, with the tokenizer's start-of-text if it uses one."""
    tokens: list[int] = list(tokenizer(prompt(question), split_special_tokens=True)["input_ids"])
    # Some tokenizers put end-of-text at the end of any text; a prompt must stay open.
    if tokens and tokens[-1] == tokenizer.eos_token_id:
        tokens.pop()
    return tokens


def encode(
    tokenizer: PreTrainedTokenizerBase,
    row_id: str,
    question: str,
    answer: str,
    weight: float,
    max_length: int,
) -> Example | None:
    """Token ids of prompt and answer, the answer closed by end-of-text.

    Prompt and answer are encoded apart, so that the tokens before the answer are those that
    generation starts from. Tokens beyond `max_length` are cut off at the end.

    Returns:
        None where no answer token is left: an empty answer, or a prompt of `max_length` tokens.
    """
    prompt_ids = encode_prompt(tokenizer, question)
    # A special token that is spelt out in a text is text.
    answer_ids = list(tokenizer(answer, add_special_tokens=False, split_special_tokens=True)["input_ids"])
    if not answer_ids or len(prompt_ids) >= max_length:
        return None
    input_ids = [*prompt_ids, *answer_ids, tokenizer.eos_token_id][:max_length]
    return Example(row_id, input_ids, len(prompt_ids), weight)


def scored_bytes(tokenizer: PreTrainedTokenizerBase, example: Example, answer: str) -> int:
    """UTF-8 bytes of the part of `answer` whose tokens are in its example, without end-of-text.

    Of an answer that was cut off it is what its tokens say; a character that the cut goes through is left
    out.
    """
    tokens = list(example.input_ids[example.prompt_length :])
    if tokens[-1] == tokenizer.eos_token_id:
        return len(answer.encode())
    said = str(tokenizer.decode(tokens, clean_up_tokenization_spaces=False))
    return len(said.rstrip("\ufffd").encode())


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame, weights: Sequence[float], max_length: int
) -> tuple[list[Example], list[str]]:
    """Encode a table of pairs, in its order.

    Args:
        pairs: n rows with `id`, `question` and `answer`.
        weights: n weights.
        max_length: see `encode`.

    Returns:
        The examples; and the ids of the rows of which no answer token is left.
    """
    examples, unusable = [], []
    for row_id, question, answer, weight in zip(
        *(pairs[column].astype(str) for column in ("id", "question", "answer")), weights, strict=True
    ):
        example = encode(tokenizer, row_id, question, answer, float(weight), max_length)
        if example is None:
            unusable.append(row_id)
        else:
            examples.append(example)
    return examples, unusable
