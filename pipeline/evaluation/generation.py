"""Answers by greedy decoding."""

from collections.abc import Sequence

import torch
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.training.prompt import encode_prompt


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
) -> list[str]:
    """Answer every question greedily, from the prompt that training used.

    Questions are batched by length, padded at the left; answers come in the order of the questions.

    Args:
        batch_size: questions answered at once.
        max_length: most tokens of a prompt; a longer one loses its beginning.
        max_new_tokens: most tokens of an answer.
        name: what the progress bar calls the run.
    """
    ends = end_tokens(model, tokenizer)
    # What a model brings along (beams, penalties, sampling) would not be greedy decoding, and would fill
    # in whatever the call leaves open.
    model.generation_config = GenerationConfig(eos_token_id=ends)
    prompts = [encode_prompt(tokenizer, question)[-max_length:] for question in questions]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    answers = [""] * len(prompts)
    with tqdm(total=len(prompts), desc=f"answer {name}", unit="row") as bar:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            longest = max(len(prompts[index]) for index in chosen)
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
