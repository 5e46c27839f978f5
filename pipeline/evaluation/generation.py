"""Answers to the test complaints: greedy, or drawn as the paper draws them."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.models.prompt import encode_prompt
from pipeline.models.runtime import pad_token_id

# The sampling of the authors' notebooks; a top-k of 50 was the default of the transformers that they ran.
TEMPERATURE, TOP_K = 0.7, 50


class Sampler:
    """Reduces every distribution to the one token that a given number draws; greedy decoding then takes it.

    The distribution is that of sampling at `TEMPERATURE` among the `TOP_K` likeliest tokens. The interval
    [0, 1) is divided among the tokens, in the order of their ids, by their probabilities; the token in
    whose part the number lies is drawn (inverse transform sampling). So a draw depends on its own row only.
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
        name: what the progress bar calls the model.
        draws: see `Sampler`, (n, max_new_tokens); None for greedy decoding.
    """
    ends = end_tokens(model, tokenizer)
    # The model's own configuration (beams, penalties, sampling) would not be greedy decoding, and would set
    # every option that the call leaves open.
    model.generation_config = GenerationConfig(eos_token_id=ends)
    prompts = [encode_prompt(tokenizer, question)[-max_length:] for question in questions]
    # Longest first: if memory is too small, that is known at once.
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    padding = pad_token_id(tokenizer, model.get_input_embeddings().num_embeddings)
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
    """Ids at which an answer ends: the tokenizer's end-of-text, and the model's own end tokens.

    Qwen3 closes a turn with <|im_end|> and a document with <|endoftext|>; before fine-tuning it may write
    either. An id that is no special token of the tokenizer is left out: a configuration that was made for
    other weights may name one that is ordinary text here.
    """
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = own if isinstance(own, list) else [own]
    return sorted({tokenizer.eos_token_id, *(set(ids) & set(tokenizer.all_special_ids))})
