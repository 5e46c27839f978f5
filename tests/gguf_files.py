"""GGUF files as llama.cpp's converter writes them, of models of transformers."""

import json

import gguf
import numpy as np
import pytest

from pipeline.base_models.gguf import convert
from pipeline.errors import WaznError

# Weights that GPT-2 stores transposed, as they are called in a GGUF file.
TRANSPOSED = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")


def tensors_of(model):
    """The model's weights as numpy arrays under the names that GGUF has for them."""
    config = model.config
    architecture = {"gpt2": gguf.MODEL_ARCH.GPT2, "qwen2": gguf.MODEL_ARCH.QWEN2}[config.model_type]
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    found = {}
    for name, parameter in model.named_parameters():
        called = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert called, name
        value = parameter.detach().numpy()
        found[called] = np.ascontiguousarray(
            value.T if config.model_type == "gpt2" and called.endswith(TRANSPOSED) else value
        )
    return found


def write_gguf(path, model, tokenizer, kind="F32", metadata=None, architecture=None, without=()):
    """Write the model, its matrices in the type `kind`, and its byte-level tokenizer.

    Args:
        metadata: more of it, or other values of what there is.
        architecture: what the file calls it, if not what it is.
        without: parts of keys and names that are left out.
    """
    config = model.config
    architecture = architecture or config.model_type
    core = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = tokenizer.get_vocab()
    is_gpt2 = config.model_type == "gpt2"
    values = {
        "general.name": "Minute model",
        "general.license": "apache-2.0",
        f"{architecture}.context_length": config.max_position_embeddings,
        f"{architecture}.embedding_length": config.hidden_size,
        f"{architecture}.block_count": config.num_hidden_layers,
        f"{architecture}.feed_forward_length": 4 * config.hidden_size
        if is_gpt2
        else config.intermediate_size,
        f"{architecture}.attention.head_count": config.num_attention_heads,
        f"{architecture}.attention.layer_norm_epsilon": 1e-5,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-6,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2" if is_gpt2 else "qwen2",
        "tokenizer.ggml.tokens": sorted(vocabulary, key=vocabulary.get),
        "tokenizer.ggml.token_type": [
            3 if index in tokenizer.all_special_ids else 1 for index in range(len(vocabulary))
        ],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in core["model"]["merges"]],
        "tokenizer.ggml.bos_token_id": config.bos_token_id,
        "tokenizer.ggml.eos_token_id": config.eos_token_id,
        "tokenizer.ggml.padding_token_id": config.pad_token_id,
    }
    if not is_gpt2:
        values[f"{architecture}.attention.head_count_kv"] = config.num_key_value_heads
        values[f"{architecture}.rope.freq_base"] = 10000.0
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in (values | (metadata or {})).items():
        if not any(part in key for part in without):
            add = {
                str: writer.add_string,
                bool: writer.add_bool,
                int: writer.add_uint32,
                float: writer.add_float32,
                list: writer.add_array,
            }
            add[type(value)](key, value)
    for name, value in tensors_of(model).items():
        if not any(part in name for part in without):
            add_tensor(writer, name, value, kind if value.ndim == 2 else "F32")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_tensor(writer, name, value, kind):
    """Add a tensor in the type `kind`; where nobody can quantise to it, zeros of the right size."""
    known = gguf.GGMLQuantizationType[kind]
    try:
        data = gguf.quantize(value, known)
    except NotImplementedError:
        block, size = gguf.GGML_QUANT_SIZES[known]
        data = np.zeros((len(value), value.shape[1] // block * size), np.uint8)
    writer.add_tensor(name, data, raw_dtype=known)


def as_stored(value, kind):
    """What is left of a float32 array once it was stored in the type `kind`."""
    known = gguf.GGMLQuantizationType[kind]
    return gguf.dequantize(gguf.quantize(value, known), known).reshape(value.shape)


def refusal(source, folder, local, decoder=True):
    """The sentence that converting ends in; whatever it is, nothing may be left."""
    with pytest.raises(WaznError) as caught:
        convert(source, folder, local, decoder)
    assert not folder.parent.exists() or not list(folder.parent.iterdir())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(source)
    return str(caught.value)
