"""Where answers end and what pads them: alike in evaluation and in what is saved with a trained model."""

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids at which an answer ends: the tokenizer's end-of-text, and the model's own end tokens.

    Qwen3 closes a turn with <|im_end|> and a document with <|endoftext|>; before fine-tuning it may write
    either. An id that is no special token of the tokenizer is left out: a configuration that was made for
    other weights may name one that is ordinary text here.
    """
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = own if isinstance(own, list) else [own]
    return sorted({tokenizer.eos_token_id, *(set(ids) & set(tokenizer.all_special_ids))})


def pad_token_id(tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> int:
    """The id that stands for padding: the tokenizer's, or end-of-text where the model has no such row.

    Padding is masked, so any id serves that the embedding has a row for. Some tokenizers name a padding
    token that was never added to the model.

    Args:
        vocabulary: rows of the model's embedding.
    """
    pad = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if pad is None or pad >= vocabulary else pad)


def greedy_settings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> GenerationConfig:
    """The settings with which evaluation answers greedily, for `generation_config.json`.

    The base model's own may name an end that training never closed an answer with, so that a trained model
    would go on after its end.

    Args:
        max_length: most tokens of prompt and answer together; evaluation has limits of its own.
    """
    return GenerationConfig(
        do_sample=False,
        eos_token_id=end_tokens(model, tokenizer),
        pad_token_id=pad_token_id(tokenizer, len(model.get_input_embeddings().weight)),
        max_length=max_length,
    )
