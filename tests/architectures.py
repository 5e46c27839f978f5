"""The paper's ten models in minute form, as their repositories on the Hub hold them.

What is random or small: weights, sizes, vocabulary. What is as there: the keys of config.json, which
files there are, the kind of tokenizer and its special tokens, the number type, how weights are named
and pickled.
"""

import json
from pathlib import Path
from zlib import crc32

import torch
from conftest import PAIRS
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors as post_processors
from tokenizers.trainers import BpeTrainer
from transformers import AutoConfig, AutoModelForCausalLM

# The architecture of each key of the registry.
KEYS = {
    "aragpt2-base": "gpt2",
    "aragpt2-medium": "gpt2",
    "bloomz-560m": "bloom",
    "al-atlas-0_5b": "qwen2",
    "gpt2-small-arabic": "gpt2",
    "lfm2-350m": "lfm2",
    "lfm2-700m": "lfm2",
    "dialect-ar-gpt-2021": "gpt2",
    "qwen2_5-0_5b": "qwen2",
    "qwen3-0_6b": "qwen3",
}
ARCHITECTURES = tuple(dict.fromkeys(KEYS.values()))
# Those whose repositories are older than safetensors.
PICKLED = {key for key, architecture in KEYS.items() if architecture == "gpt2"}
# Which layers of lfm2 are attention; the others are convolution.
LFM2_LAYERS = ("conv", "conv", "full_attention", "conv", "full_attention")

# The number type of the weights, where it is not float32. Bloomz's configuration does not name it.
DTYPES = {
    "bloomz-560m": torch.float16,
    **{key: torch.bfloat16 for key, name in KEYS.items() if name in ("qwen2", "qwen3", "lfm2")},
}
# Rows of the embedding beyond the tokenizer's, as Bloomz and the Qwens have them: never text.
SPARE = {"bloom": 8, "qwen2": 12, "qwen3": 12, "gpt2": 0, "lfm2": 0}

GPT2_END = "<|endoftext|>"
BLOOM_SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN3_WORDS = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
LFM2_SPECIAL = [
    "<|pad|>",
    "<|startoftext|>",
    "<|endoftext|>",
    "<|fim_pre|>",
    "<|fim_mid|>",
    "<|fim_suf|>",
    "<|im_start|>",
    "<|im_end|>",
]
# How the texts are cut before byte pairs are merged.
QWEN_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LFM2_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BLOOM_WORDS = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CHAT = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


def hub_folder(key: str, folder: Path) -> None:
    """Write the model of the registry's `key` into `folder`, which is made."""
    folder.mkdir(parents=True)
    architecture = KEYS[key]
    core = _tokenizer(key)
    files = {
        "config.json": _config(key, core),
        **_tokenizer_files(key, core),
        **({} if key in PICKLED else {"generation_config.json": _generation(key, core)}),
    }
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)
        (folder / name).write_text(text, encoding="utf-8")
    model = _random(AutoConfig.from_pretrained(folder), seed=crc32(key.encode()))
    state = model.to(DTYPES.get(key, torch.float32)).state_dict()
    if key in PICKLED:
        _write_pickle(key, state, folder)
        return
    # The output embedding is the input embedding and is not stored twice.
    del state["lm_head.weight"]
    if architecture == "bloom":
        state = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
        # Beside safetensors lies what they were made of, which nobody is to read.
        (folder / "pytorch_model.bin").write_bytes(b"not a pickle")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def random_model(architecture: str, dtype=torch.float64, vocabulary=384, seed=5, **changes):
    """A fresh model of `architecture` in evaluation mode, the same at every call.

    Its weights are large, so that its greedy answers wander; it has no dropout. In float64 it is exact to
    about 1e-13; Bloom to 1e-6, as it computes attention's softmax in float32 whatever the number type, and
    for the same reason Bloom in float64 gives nan where there is padding at the left.

    Args:
        architecture: one of ARCHITECTURES.
        vocabulary: rows of its embedding; at least as many as any tokenizer of `hub_folder` has tokens.
        changes: of its configuration.
    """
    settings = {**_shape(architecture), "vocab_size": vocabulary, "initializer_range": 0.3}
    settings |= {"bos_token_id": 0, "eos_token_id": 0}
    if architecture == "gpt2":
        settings |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    config = AutoConfig.for_model(**{**settings, **changes})
    return _random(config, seed).to(dtype).eval()


def special_ids(key: str, core: Tokenizer) -> dict[str, int | None]:
    """What the tokenizer of `key` calls bos, eos and pad: their ids, None where it has none."""
    names = {
        "gpt2": (GPT2_END, GPT2_END, None),
        "bloom": ("<s>", "</s>", "<pad>"),
        "qwen2": (None, "<|endoftext|>", "<|endoftext|>"),
        "qwen3": (None, "<|im_end|>", "<|endoftext|>"),
        "lfm2": ("<|startoftext|>", "<|im_end|>", "<|pad|>"),
    }[KEYS[key]]
    found = (None if name is None else core.token_to_id(name) for name in names)
    return dict(zip(("bos", "eos", "pad"), found, strict=True))


def _random(config, seed):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms are made as 1, biases as 0: one could be lost unnoticed
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


# ---- weights --------------------------------------------------------------------------------------


def _write_pickle(key, state, folder):
    """A state dict as transformers of 2020 and 2021 pickled it, with the causal mask as buffers."""
    context = 1024
    for layer in range(2):
        place = f"transformer.h.{layer}.attn"
        state[f"{place}.bias"] = torch.ones(1, 1, context, context, dtype=torch.uint8).tril()
        state[f"{place}.masked_bias"] = torch.tensor(-1e4)
    # Both names of the tied embedding are there, and share their memory; torch before 1.6 wrote no zip.
    torch.save(
        state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=key != "gpt2-small-arabic"
    )
    if key == "dialect-ar-gpt-2021":
        (folder / "training_args.bin").write_bytes(b"not a pickle")


# ---- configurations -------------------------------------------------------------------------------


def _shape(architecture):
    """config.json without what depends on the tokenizer and the number type."""
    if architecture == "gpt2":
        return {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "activation_function": "gelu_new",
            "attn_pdrop": 0.1,
            "embd_pdrop": 0.1,
            "resid_pdrop": 0.1,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "n_ctx": 1024,
            "n_positions": 1024,
            "n_embd": 32,
            "n_head": 2,
            "n_layer": 2,
            "summary_activation": None,
            "summary_first_dropout": 0.1,
            "summary_proj_to_labels": True,
            "summary_type": "cls_index",
            "summary_use_proj": True,
            "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        }
    if architecture == "bloom":
        return {
            "model_type": "bloom",
            "architectures": ["BloomForCausalLM"],
            "apply_residual_connection_post_layernorm": False,
            "attention_dropout": 0.0,
            "attention_softmax_in_fp32": True,
            "bias_dropout_fusion": True,
            "hidden_dropout": 0.0,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "masked_softmax_fusion": True,
            "n_embed": 32,
            "n_inner": None,
            "n_layer": 2,
            "num_attention_heads": 2,
            "offset_alibi": 100,
            "pretraining_tp": 1,
            "seq_length": 2048,
            "skip_bias_add": True,
            "skip_bias_add_qkv": False,
            "transformers_version": "4.20.0",
            "use_cache": True,
        }
    if architecture == "lfm2":
        return {
            "model_type": "lfm2",
            "architectures": ["Lfm2ForCausalLM"],
            "block_auto_adjust_ff_dim": True,
            "block_dim": 32,
            "block_ff_dim": 96,
            "block_ffn_dim_multiplier": 1.0,
            "block_mlp_init_scale": 1.0,
            "block_multiple_of": 16,
            "block_norm_eps": 1e-05,
            "block_out_init_scale": 1.0,
            "block_use_swiglu": True,
            "block_use_xavier_init": True,
            "conv_L_cache": 3,
            "conv_bias": False,
            "conv_dim": 32,
            "conv_dim_out": 32,
            "conv_use_xavier_init": True,
            "hidden_size": 32,
            "initializer_range": 0.02,
            "layer_types": list(LFM2_LAYERS),
            "max_position_embeddings": 128000,
            "norm_eps": 1e-05,
            "num_attention_heads": 2,
            "num_heads": 2,
            "num_hidden_layers": len(LFM2_LAYERS),
            "num_key_value_heads": 1,
            "rope_theta": 1000000.0,
            "tie_embedding": True,
            "use_cache": True,
            "use_pos_enc": True,
        }
    qwen = {
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "max_window_layers": 2,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
        "use_cache": True,
        "use_sliding_window": False,
    }
    if architecture == "qwen2":
        return {
            "model_type": "qwen2",
            "architectures": ["Qwen2ForCausalLM"],
            **qwen,
            "max_position_embeddings": 32768,
            "sliding_window": 32768,
            "use_mrope": False,
        }
    return {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        **qwen,
        "attention_bias": False,
        "head_dim": 32,  # not hidden_size / num_attention_heads
        "max_position_embeddings": 40960,
        "rope_scaling": None,
        "sliding_window": None,
    }


def _config(key, core):
    architecture = KEYS[key]
    ids = special_ids(key, core)
    count = core.get_vocab_size(with_added_tokens=True) + SPARE[architecture]
    config = {**_shape(architecture), "vocab_size": count, "eos_token_id": ids["eos"]}
    if architecture in ("gpt2", "bloom", "lfm2"):
        config["bos_token_id"] = ids["bos"]
    else:
        config["bos_token_id"] = core.token_to_id("<|endoftext|>")
    if architecture in ("bloom", "lfm2"):
        config["pad_token_id"] = ids["pad"]
    if DTYPES.get(key) == torch.bfloat16:
        config["torch_dtype"] = "bfloat16"
    if key == "gpt2-small-arabic":
        # English GPT-2's: the configuration came with the weights that it was trained from.
        config |= {"bos_token_id": count - 1, "eos_token_id": count - 1}
    if key == "lfm2-700m":
        # The older way to say which layers are attention.
        config["full_attn_idxs"] = [
            n for n, kind in enumerate(config.pop("layer_types")) if kind == "full_attention"
        ]
    return config


def _generation(key, core):
    ids = special_ids(key, core)
    end = core.token_to_id("<|endoftext|>")
    return {
        "bloom": {
            "_from_model_config": True,
            "bos_token_id": ids["bos"],
            "eos_token_id": ids["eos"],
            "pad_token_id": ids["pad"],
        },
        "qwen2": {"bos_token_id": end, "do_sample": False, "eos_token_id": end, "max_new_tokens": 2048},
        "qwen3": {
            "bos_token_id": end,
            "do_sample": True,
            "eos_token_id": [ids["eos"], end],
            "pad_token_id": ids["pad"],
            "temperature": 0.6,
            "top_k": 20,
            "top_p": 0.95,
        },
        "lfm2": {
            "_from_model_config": True,
            "bos_token_id": ids["bos"],
            "eos_token_id": ids["eos"],
            "pad_token_id": ids["pad"],
        },
    }[KEYS[key]]


# ---- tokenizers -----------------------------------------------------------------------------------


def _tokenizer(key):
    architecture = KEYS[key]
    core = Tokenizer(models.BPE())
    core.decoder = decoders.ByteLevel()
    if architecture == "gpt2":
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.post_processor = post_processors.ByteLevel(trim_offsets=False)
    else:
        words = {"bloom": BLOOM_WORDS, "lfm2": LFM2_WORDS}.get(architecture, QWEN_WORDS)
        core.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(words), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        core.post_processor = post_processors.ByteLevel(trim_offsets=False)
    if architecture in ("qwen2", "qwen3"):
        core.normalizer = normalizers.NFC()
    in_vocabulary = {"gpt2": [GPT2_END], "bloom": BLOOM_SPECIAL, "lfm2": LFM2_SPECIAL}
    core.train_from_iterator(
        [text for pair in PAIRS for text in pair],
        BpeTrainer(
            vocab_size=340,
            special_tokens=in_vocabulary.get(architecture, []),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if architecture in ("qwen2", "qwen3"):
        # After the vocabulary, and not in vocab.json.
        core.add_special_tokens(QWEN_SPECIAL)
    if architecture == "qwen3":
        core.add_tokens([AddedToken(word, special=False, normalized=False) for word in QWEN3_WORDS])
    if architecture == "lfm2":
        start = "<|startoftext|>"
        core.post_processor = post_processors.Sequence(
            [
                post_processors.ByteLevel(trim_offsets=False),
                post_processors.TemplateProcessing(
                    single=f"{start} $A",
                    pair=f"{start} $A {start} $B",
                    special_tokens=[(start, core.token_to_id(start))],
                ),
            ]
        )
    return core


def _tokenizer_files(key, core):
    """Which files there are, and what is in them, by the architecture and the repository's age."""
    architecture = KEYS[key]
    model = json.loads(core.to_str())["model"]
    vocabulary = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    merges = "\n".join(["#version: 0.2", *map(" ".join, model["merges"]), ""])
    whole = core.to_str(pretty=True)
    decoder = {
        str(index): {
            "content": token.content,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": token.special,
        }
        for index, token in sorted(core.get_added_tokens_decoder().items())
    }
    if architecture == "gpt2":
        named = dict.fromkeys(("bos_token", "eos_token", "unk_token"), GPT2_END)
        settings = {"add_prefix_space": False, "model_max_length": 1024}
        files = {"vocab.json": vocabulary, "merges.txt": merges, "special_tokens_map.json": named}
        if key == "gpt2-small-arabic":
            # Not even a class is named, so that the configuration's model_type says it.
            return {**files, "tokenizer_config.json": {"model_max_length": 1024}}
        if key == "aragpt2-base":
            files["tokenizer.json"] = whole
        return {
            **files,
            "tokenizer_config.json": {**named, **settings, "tokenizer_class": "GPT2Tokenizer"},
        }
    if architecture == "bloom":
        named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
        settings = {
            "name_or_path": "bigscience/tokenizer",
            "padding_side": "left",
            "special_tokens_map_file": None,
            "tokenizer_class": "BloomTokenizerFast",
        }
        return {
            "tokenizer.json": whole,
            "tokenizer_config.json": {**named, **settings},
            "special_tokens_map.json": named,
        }
    if architecture == "lfm2":
        named = {"bos_token": "<|startoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
        settings = {
            "add_bos_token": True,
            "add_eos_token": False,
            "added_tokens_decoder": decoder,
            "clean_up_tokenization_spaces": True,
            "legacy": False,
            "model_input_names": ["input_ids", "attention_mask"],
            "model_max_length": 1000000000000000019884624838656,
            "sp_model_kwargs": {},
            "spaces_between_special_tokens": False,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "use_default_system_prompt": False,
            "use_fast": True,
        }
        return {
            "tokenizer.json": whole,
            "tokenizer_config.json": {**named, **settings},
            "special_tokens_map.json": named,
            "chat_template.jinja": CHAT,
        }
    settings = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": QWEN_SPECIAL[1:],
        "bos_token": None,
        "chat_template": CHAT,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>" if architecture == "qwen3" else "<|endoftext|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    return {
        "vocab.json": vocabulary,
        "merges.txt": merges,
        "tokenizer.json": whole,
        "tokenizer_config.json": settings,
    }
