"""Tiny models: a tokenizer trained on the user's text, then brief pre-training.

They are real models of the paper's families, small enough for a laptop, so that the whole pipeline runs
without a download. They show that the pipeline works, and nothing about what large models do.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import coo_array
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    DataCollatorForLanguageModeling,
    GPT2Config,
    GPT2LMHeadModel,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Trainer,
    TrainingArguments,
)

from pipeline.files import write_json
from pipeline.models.runtime import on_one_device

if TYPE_CHECKING:
    from pipeline.config.models import TinyConfig

END, PAD = "<|endoftext|>", "<|pad|>"
# Standard deviation of embeddings from latent semantic analysis: ten times that of random ones, so that the
# first steps of training do not overwrite them.
_LSA_SCALE = 0.2


def build_tiny(
    architecture: str, texts: Sequence[str], config: "TinyConfig", seed: int, folder: Path
) -> None:
    """Train a tokenizer and a model on `texts` and save both in `folder`.

    Args:
        architecture: `gpt2` or `qwen2`, pre-trained by causal language modelling; or `modernbert`, an
            encoder that starts from latent semantic analysis and goes on with masked language modelling.
        texts: training text, nothing of validation or test.
        config: size and pre-training.
        seed: of weights, order and masking; the same seed gives the same bytes on one machine.
        folder: is written to.
    """
    torch.manual_seed(seed)
    masked = architecture == "modernbert"
    tokenizer = _character_bpe(texts, config) if masked else _byte_level_bpe(texts, config)
    model = _model(architecture, tokenizer, config)
    encoded = tokenizer([_closed(text, masked) for text in texts], truncation=True)["input_ids"]
    if masked:
        _start_from_lsa(model, encoded, seed)
    if config.steps:
        _pretrain(model, tokenizer, encoded, config, seed, masked)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "source.json", {"source": f"tiny:{architecture}"})


def _pretrain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    encoded: Sequence[list[int]],
    config: "TinyConfig",
    seed: int,
    masked: bool,
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            max_steps=config.steps,
            per_device_train_batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            warmup_steps=config.steps // 10,
            train_sampling_strategy="group_by_length",
            seed=seed,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        Trainer(
            model=model,
            args=on_one_device(arguments),
            train_dataset=[{"input_ids": ids} for ids in encoded],  # type: ignore[arg-type]  # a list is all that Trainer indexes
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=masked),
        ).train()


def _start_from_lsa(model: PreTrainedModel, encoded: Sequence[list[int]], seed: int) -> None:
    """Set the token embeddings by latent semantic analysis (Deerwester et al. 1990) of the texts.

    A few thousand texts are too few to learn by masked language modelling which words are alike. The
    singular vectors of the matrix of texts and tokens contain it.
    """
    embeddings = model.get_input_embeddings().weight
    count, width = embeddings.shape
    documents = np.repeat(np.arange(len(encoded)), [len(ids) for ids in encoded])
    tokens = np.concatenate(encoded)
    counts = coo_array((np.ones(len(tokens)), (documents, tokens)), shape=(len(encoded), count)).tocsr()
    matrix = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    rank = min(width, len(encoded) - 1)
    svd = TruncatedSVD(rank, random_state=seed).fit(matrix)
    vectors = svd.components_.T * np.sqrt(svd.singular_values_)
    with torch.no_grad():
        embeddings[:, :rank] = torch.from_numpy(_LSA_SCALE * vectors / vectors.std()).float()


def _closed(text: str, masked: bool) -> str:
    return text if masked else text + END


def _byte_level_bpe(texts: Sequence[str], config: "TinyConfig") -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=config.vocabulary,
            special_tokens=[END, PAD],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=END, pad_token=PAD, model_max_length=config.context
    )


def _character_bpe(texts: Sequence[str], config: "TinyConfig") -> PreTrainedTokenizerFast:
    special = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    # BERT's own WordPiece is not used: its trainer numbers the ## pieces in the order of a hash map, so
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
            vocab_size=config.vocabulary, special_tokens=list(special.values()), show_progress=False
        ),
    )
    ids = {name: index for name, index in core.get_vocab().items() if name in special.values()}
    core.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=config.context, **special)


def _model(architecture: str, tokenizer: PreTrainedTokenizerFast, config: "TinyConfig") -> PreTrainedModel:
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
                n_positions=config.context,
                n_embd=config.hidden,
                n_layer=config.layers,
                n_head=config.heads,
            )
        )
    if architecture == "qwen2":
        return Qwen2ForCausalLM(
            Qwen2Config(
                **common,
                max_position_embeddings=config.context,
                hidden_size=config.hidden,
                intermediate_size=4 * config.hidden,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                num_key_value_heads=max(config.heads // 2, 1),
                tie_word_embeddings=True,
            )
        )
    return ModernBertForMaskedLM(
        ModernBertConfig(
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            cls_token_id=tokenizer.cls_token_id,
            sep_token_id=tokenizer.sep_token_id,
            bos_token_id=None,
            eos_token_id=None,
            max_position_embeddings=config.context,
            hidden_size=config.hidden,
            intermediate_size=2 * config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            # A text's mean state, and much dropout: made to be fine-tuned on little data.
            classifier_pooling="mean",
            embedding_dropout=0.3,
            mlp_dropout=0.3,
            classifier_dropout=0.3,
        )
    )
