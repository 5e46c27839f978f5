"""Answers to the test complaints: greedy, or drawn as the paper draws them."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.models.prompt import encode_prompt

# What the authors' notebooks sample with; top-k of 50 was the default of transformers that they ran.
TEMPERATURE, TOP_K = 0.7, 50


class Sampler:
    """Leaves of every distribution only the token that a given number draws, so that greedy takes it.

    The distribution is that of sampling at `TEMPERATURE` among the `TOP_K` likeliest tokens. A token owns
    the part of [0, 1) that its probability is long, in the order of token ids (inverse transform
    sampling); the number says whose part it lies in. So nothing but its own row decides a draw.
    """

    def __init__(self, draws: torch.Tensor, start: int) -> None:
        """Take uniform numbers in [0, 1), (B, most new tokens), and the length of the prompts."""
        self._draws, self._start = draws, start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (B, vocabulary) of the next token: 0 for the one drawn, minus infinity for the others.

        transformers calls it at every step, with the tokens so far (B, T).
        """
        tokens = scores.topk(min(TOP_K, scores.shape[-1])).indices.sort(dim=-1).values
        # A sum in a fixed order, which a GPU does not promise.
        logits = scores.gather(-1, tokens).double().cpu() / TEMPERATURE
        ends = logits.softmax(dim=-1).cumsum(dim=-1)
        draws = self._draws[:, input_ids.shape[1] - self._start, None]
        # The last end may be a rounding short of 1.
        place = (ends <= draws).sum(dim=-1, keepdim=True).clamp(max=tokens.shape[-1] - 1)
        chosen = tokens.gather(-1, place.to(tokens.device))
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen, 0.0)


def uniform_draws(ids: Sequence[str], count: int, seed: int) -> torch.Tensor:
    """Numbers for `Sampler`, each row's from its id and the seed alone: (n, count) float64 in [0, 1)."""
    draws = np.empty((len(ids), count))
    for row, row_id in enumerate(ids):
        stream = hashlib.shake_256(f"{seed}\x1f{row_id}".encode()).digest(8 * count)
        # The 53 bits that a double holds.
        draws[row] = (np.frombuffer(stream, dtype="<u8") >> 11) / 2**53
    return torch.from_numpy(draws)


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    *,
    batch_size: int,
    max_length: int,
    max_new_tokens: int,
    name: str,
    draws: torch.Tensor | None = None,
) -> list[str]:
    """Answer every question, from the prompt that training used.

    Questions are batched by length, padded at the left; answers come in the order of the questions, and
    do not depend on how they were batched.

    Args:
        batch_size: questions answered at once.
        max_length: most tokens of a prompt; a longer one loses its beginning.
        max_new_tokens: most tokens of an answer.
        name: what the progress bar calls the run.
        draws: see `Sampler`, (n, max_new_tokens); None for greedy decoding.
    """
    ends = end_tokens(model, tokenizer)
    # What a model brings along (beams, penalties, sampling) would not be greedy decoding, and would fill
    # in whatever the call leaves open.
    model.generation_config = GenerationConfig(eos_token_id=ends)
    prompts = [encode_prompt(tokenizer, question)[-max_length:] for question in questions]
    # Longest first: what does not fit into memory is known at once.
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    answers = [""] * len(prompts)
    with tqdm(total=len(prompts), desc=f"answer {name}", unit="row") as bar:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            longest = len(prompts[chosen[0]])
            tokens = torch.full((len(chosen), longest), padding)
            mask = torch.zeros_like(tokens)
            for row, index in enumerate(chosen):
                length = len(prompts[index])
                tokens[row, longest - length :] = torch.as_tensor(prompts[index])
                mask[row, longest - length :] = 1
            written = model.generate(
                tokens.to(model.device),
                attention_mask=mask.to(model.device),
                do_sample=False,
                max_new_tokens=max_new_tokens,
                pad_token_id=padding,
                eos_token_id=ends,
                logits_processor=[] if draws is None else [Sampler(draws[chosen], longest)],
            )
            texts = tokenizer.batch_decode(written[:, longest:], skip_special_tokens=True)
            for index, text in zip(chosen, texts, strict=True):
                answers[index] = text.strip()
            bar.update(len(chosen))
    return answers


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids at which an answer ends: the tokenizer's end-of-text, and what else the model says ends one.

    Qwen3 closes a turn with <|im_end|> and a document with <|endoftext|>; before fine-tuning it may write
    either. An id that is no special token of the tokenizer is left out: configurations that came with other
    weights name one that is text here.
    """
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = named if isinstance(named, list) else [named]
    return sorted({tokenizer.eos_token_id, *(set(ids) & set(tokenizer.all_special_ids))})
