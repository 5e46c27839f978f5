"""Near-duplicate texts: MinHash sketches, locality-sensitive hashing, and groups, in flat memory.

Formulas of politeness are set aside first (`formulas.py`). Two texts are then near duplicates where the
Jaccard similarity of their sets of 5-character shingles is at least `SIMILAR`, as estimated by their
MinHash sketches (Broder 1997). So are they where one contains the other: where `CONTAINED` of the shingles
of the shorter one, of at least `LEAST` characters, are in one that is `LONGER` times as long at most.
What is contained in very many is no repost, so a group comes from at most `MOST` containments.

Candidates of the first kind are found by banding (Leskovec et al., Mining of Massive Datasets, ch. 3): 16
bands of 8 hashes find 95 % of the pairs of similarity 0.8, more than 99.9 % of those of 0.9, and 6 % of
those of 0.5, which the estimate then rejects. Those of the second kind agree in one of 16 hashes of
shingles that are long enough to be one person's own; 99.8 % do where one text is thrice as long as the
other. They are compared themselves. Texts and sketches lie on disk, so memory holds a few numbers a row.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.data.formulas import without_formulas
from pipeline.data.text_groups import TextGroups
from pipeline.text.codes import Codes

SIMILAR = 0.8
CONTAINED = 0.95
LEAST, LONGER, MOST = 40, 4, 8
# Of an estimate of the share that is contained: what is likely enough for the texts to be read.
_LIKELY = 0.7
_SHINGLE, _HASHES, _BANDS = 5, 128, 16
_LONG_SHINGLE, _LONG_HASHES = 20, 16
# Texts sketched at once: the shingles of so many stay in the processor's cache.
_TEXTS = 256
_PAIRS = 2_000
# Odd multipliers and offsets of multiply-shift hashing (Dietzfelbinger et al. 1997); any fixed ones do.
_RANDOM = np.random.default_rng(20_260_406)
_MULTIPLIERS = _RANDOM.integers(0, 2**63, _HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_OFFSETS = _RANDOM.integers(0, 2**63, _HASHES, dtype=np.uint64)


class Sketches:
    """Sketches of any number of texts, in files of a folder."""

    def __init__(self, folder: Path) -> None:
        """Start empty; `folder` exists and is the caller's to remove."""
        self._sketches = folder / "sketches"
        self._bands = [folder / f"band-{band}" for band in range(_BANDS + _LONG_HASHES)]
        self._texts, self._ends = folder / "texts", folder / "ends"
        self._size = 0
        self._lengths = [np.zeros(0, dtype=np.uint16)]

    def add(self, texts: Sequence[str]) -> np.ndarray:
        """Sketch n more texts.

        Returns:
            (n,), uint64: a key that depends on the text alone, and that two texts of similarity s
            without their formulas share with probability s^2.
        """
        keys = [np.zeros(0, dtype=np.uint64)]
        with self._sketches.open("ab") as sketches:
            for start in range(0, len(texts), _TEXTS):
                cores = [without_formulas(text) for text in texts[start : start + _TEXTS]]
                hashes = _minhashes(cores, _SHINGLE, _HASHES)
                # Of each hash a byte is enough to compare by (b-bit minwise hashing, Li & König 2010).
                sketches.write(hashes.astype(np.uint8).tobytes())
                bands = np.split(hashes, _BANDS, axis=1)
                bands += np.split(_minhashes(cores, _LONG_SHINGLE, _LONG_HASHES), _LONG_HASHES, axis=1)
                for path, band in zip(self._bands, bands, strict=True):
                    with path.open("ab") as file:
                        file.write(_mixed(band).tobytes())
                keys.append(_mixed(hashes[:, :2]))
                self._keep(cores)
        return np.concatenate(keys)

    def _keep(self, cores: Sequence[str]) -> None:
        """Write texts to disk, with where each of them ends."""
        encoded = [core.encode("utf-8", "surrogatepass") for core in cores]
        ends = self._size + np.cumsum([len(core) for core in encoded], dtype=np.int64)
        self._size = int(ends[-1])
        with self._texts.open("ab") as texts, self._ends.open("ab") as file:
            texts.write(b"".join(encoded))
            file.write(ends.tobytes())
        self._lengths.append(np.minimum([len(core) for core in cores], 2**16 - 1).astype(np.uint16))

    def groups(self) -> np.ndarray:
        """Connect near duplicates to groups.

        Returns:
            (n,), int32: for every text added, the number of the first text of its group.
        """
        lengths = np.concatenate(self._lengths)
        groups = TextGroups(lengths)
        for band in self._bands if len(lengths) else []:
            for first, second in self._candidates(band):
                one, other = groups.first(first), groups.first(second)
                apart = np.flatnonzero(one != other)
                similarity = self._similarity(first[apart], second[apart])
                similar = similarity >= SIMILAR
                near = apart[similar]
                groups.join(one[near], other[near])
                # Only pairs that are no near duplicates anyway, and that may be: texts are slow to read.
                likely = apart[
                    _likely(similarity, lengths[first[apart]], lengths[second[apart]]) & ~similar
                ]
                for pair in np.stack([first[likely], second[likely]], axis=1):
                    if groups.may_join(pair, ratio=LONGER, most=MOST) and self._contained(*pair.tolist()):
                        groups.join_contained(pair)
        return groups.first(np.arange(len(lengths)))

    def _candidates(self, band: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of texts that agree in a band: each text with the one before and with the first."""
        keys = np.fromfile(band, dtype=np.uint64)
        order = np.argsort(keys, kind="stable").astype(np.int32)
        keys = keys[order]
        new = np.append(True, keys[1:] != keys[:-1])
        del keys
        places = np.arange(len(order), dtype=np.int32)
        firsts = np.maximum.accumulate(np.where(new, places, 0))
        later = places[~new]
        for start in range(0, len(later), _PAIRS):
            chosen = later[start : start + _PAIRS]
            yield order[chosen - 1], order[chosen]
            yield order[firsts[chosen]], order[chosen]

    def _similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The estimated Jaccard similarity of pairs of texts, (n,)."""
        agree = (self._stored(first) == self._stored(second)).mean(axis=1)
        # Bytes of different hashes agree once in 256.
        return np.asarray((agree - 1 / 256) / (1 - 1 / 256))

    def _contained(self, one: int, other: int) -> bool:
        """Whether one of two texts, by their numbers, is in the other."""
        sets = sorted((_shingles(self._text(one)), _shingles(self._text(other))), key=len)
        return len(sets[0] & sets[1]) >= CONTAINED * len(sets[0])

    def _text(self, number: int) -> str:
        with self._ends.open("rb") as ends, self._texts.open("rb") as texts:
            before = b"" if number == 0 else os.pread(ends.fileno(), 8, 8 * (number - 1))
            start = int.from_bytes(before, sys.byteorder)
            end = int.from_bytes(os.pread(ends.fileno(), 8, 8 * number), sys.byteorder)
            return os.pread(texts.fileno(), end - start, start).decode("utf-8", "surrogatepass")

    def _stored(self, texts: np.ndarray) -> np.ndarray:
        """The sketches of n texts, (n, 128), uint8; read one by one: a mapped file counts as memory."""
        with self._sketches.open("rb") as file:
            sketches = [os.pread(file.fileno(), _HASHES, text * _HASHES) for text in texts.tolist()]
        return np.frombuffer(b"".join(sketches), dtype=np.uint8).reshape(-1, _HASHES)


def _likely(similarity: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether one of two texts may well be in the other, by their similarity and lengths, (n,) each."""
    shorter, longer = np.minimum(one, other).astype(np.float64), np.maximum(one, other).astype(np.float64)
    common = similarity * (shorter + longer) / (1 + similarity)
    return np.asarray((shorter >= LEAST) & (longer <= LONGER * shorter) & (common >= _LIKELY * shorter))


def _shingles(text: str) -> set[str]:
    return {text[start : start + _SHINGLE] for start in range(len(text) - _SHINGLE + 1)}


def _minhashes(texts: Sequence[str], size: int, count: int) -> np.ndarray:
    """`count` MinHash values of the shingles of `size` characters of n texts, (n, count), uint32."""
    # A text shorter than a shingle is one shingle, filled up.
    codes = Codes.of([text.ljust(size, "\0") for text in texts])
    values = codes.values.astype(np.uint64)
    shingles = np.zeros(len(values) - size + 1, dtype=np.uint64)
    for place in range(size):
        shingles = shingles * np.uint64(0x110001) + values[place : len(values) - size + 1 + place]
    lengths = np.diff(codes.offsets)
    # Shingles that reach into the next text go.
    ends = np.repeat(codes.offsets[1:], lengths)[: len(shingles)]
    inside = np.arange(len(shingles)) + size <= ends
    shingles = _scrambled(shingles[inside])
    starts = np.append(0, np.cumsum(lengths - size + 1)[:-1])
    result = np.empty((len(texts), count), dtype=np.uint32)
    for number in range(count):
        hashed = (shingles * _MULTIPLIERS[number] + _OFFSETS[number]) >> np.uint64(32)
        result[:, number] = np.minimum.reduceat(hashed, starts)
    return result


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """One 64-bit number of each row of hashes (n, k): (n,), uint64."""
    mixed = np.zeros(len(hashes), dtype=np.uint64)
    for column in hashes.T:
        mixed = _scrambled(mixed + column.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return mixed


def _scrambled(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele et al. 2014): every bit of the input moves all of the result."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))
