"""Tiny models built on the spot: a tokenizer trained on the user's text, then brief pre-training.

They stand in for nothing: they are real models of the paper's families, as small as a laptop
needs, so that the whole pipeline runs without a download.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Trainer,
    TrainingArguments,
)

from pipeline.files import write_json

END, PAD = "<|endoftext|>", "<|pad|>"


@dataclass(frozen=True)
class Shape:
    """Size of a tiny model and of its pre-training.

    Attributes:
        vocabulary: tokens of the tokenizer at most.
        hidden, layers, heads: width, depth and attention heads.
        context: most tokens of a sequence.
        steps, batch_size, learning_rate: of pre-training (AdamW, linear decay).
    """

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    context: int
    steps: int
    batch_size: int
    learning_rate: float


def build(architecture: str, texts: Sequence[str], shape: Shape, seed: int, folder: Path) -> None:
    """Train a tokenizer and a model on `texts` and save both in `folder`.

    Args:
        architecture: `gpt2` or `qwen2` (causal language modelling), or `bert` (masked).
        texts: training text, nothing of validation or test.
        shape: size and schedule.
        seed: of weights, order and masking; the same seed gives the same bytes on one machine.
        folder: where it goes.
    """
    torch.manual_seed(seed)
    masked = architecture == "bert"
    tokenizer = _character_bpe(texts, shape) if masked else _byte_level_bpe(texts, shape)
    model = _model(architecture, tokenizer, shape)
    rows = [
        {"input_ids": ids}
        for ids in tokenizer([_closed(text, masked) for text in texts], truncation=True)["input_ids"]
    ]
    with tempfile.TemporaryDirectory() as scratch:
        Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=scratch,
                max_steps=shape.steps,
                per_device_train_batch_size=shape.batch_size,
                learning_rate=shape.learning_rate,
                warmup_steps=shape.steps // 10,
                train_sampling_strategy="group_by_length",
                seed=seed,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                dataloader_pin_memory=torch.cuda.is_available(),
            ),
            train_dataset=rows,  # type: ignore[arg-type]  # a list is all that Trainer indexes
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=masked),
        ).train()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "source.json", {"source": f"tiny:{architecture}"})


def _closed(text: str, masked: bool) -> str:
    return text if masked else text + END


def _byte_level_bpe(texts: Sequence[str], shape: Shape) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=shape.vocabulary,
            special_tokens=[END, PAD],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=END, pad_token=PAD, model_max_length=shape.context
    )


def _character_bpe(texts: Sequence[str], shape: Shape) -> PreTrainedTokenizerFast:
    special = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    # Not BERT's own WordPiece: its trainer numbers the ## pieces in the order of a hash map, so that
    # each process would give another vocabulary.
    core = Tokenizer(models.BPE(unk_token="[UNK]"))
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace()]
    )
    core.decoder = decoders.Metaspace()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=shape.vocabulary, special_tokens=list(special.values()), show_progress=False
        ),
    )
    ids = {name: index for name, index in core.get_vocab().items() if name in special.values()}
    core.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=shape.context, **special)


def _model(architecture: str, tokenizer: PreTrainedTokenizerFast, shape: Shape) -> PreTrainedModel:
    common = {
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if architecture == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                **common,
                n_positions=shape.context,
                n_embd=shape.hidden,
                n_layer=shape.layers,
                n_head=shape.heads,
            )
        )
    if architecture == "qwen2":
        return Qwen2ForCausalLM(
            Qwen2Config(
                **common,
                max_position_embeddings=shape.context,
                hidden_size=shape.hidden,
                intermediate_size=4 * shape.hidden,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                num_key_value_heads=max(shape.heads // 2, 1),
                tie_word_embeddings=True,
            )
        )
    return BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            max_position_embeddings=shape.context,
            hidden_size=shape.hidden,
            intermediate_size=4 * shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
        )
    )
