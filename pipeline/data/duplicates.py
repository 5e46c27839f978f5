"""Near-duplicate texts: MinHash sketches, locality-sensitive hashing, and groups, in flat memory.

Two texts are near duplicates where the Jaccard similarity of their sets of 5-character shingles is at
least `SIMILAR`, as estimated by their MinHash sketches (Broder 1997). Candidate pairs are found by banding
(Leskovec et al., Mining of Massive Datasets, ch. 3): 16 bands of 8 hashes find 95 % of the pairs of
similarity 0.8, more than 99.9 % of those of 0.9, and 6 % of those of 0.5, which the estimate then rejects.
Sketches lie on disk, so memory holds a few numbers a row.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.text.codes import Codes

SIMILAR = 0.8
_SHINGLE, _HASHES, _BANDS = 5, 128, 16
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
        self._bands = [folder / f"band-{band}" for band in range(_BANDS)]
        self._count = 0

    def add(self, texts: Sequence[str]) -> np.ndarray:
        """Sketch n more texts.

        Returns:
            (n,), uint64: a key that depends on the text alone, and that two texts of similarity s
            share with probability s^2.
        """
        keys = [np.zeros(0, dtype=np.uint64)]
        with self._sketches.open("ab") as sketches:
            for start in range(0, len(texts), _TEXTS):
                hashes = _minhashes(texts[start : start + _TEXTS])
                # Of each hash a byte is enough to compare by (b-bit minwise hashing, Li & König 2010).
                sketches.write(hashes.astype(np.uint8).tobytes())
                for path, band in zip(self._bands, np.split(hashes, _BANDS, axis=1), strict=True):
                    with path.open("ab") as file:
                        file.write(_mixed(band).tobytes())
                keys.append(_mixed(hashes[:, :2]))
        self._count += len(texts)
        return np.concatenate(keys)

    def groups(self) -> np.ndarray:
        """Connect near duplicates to groups.

        Returns:
            (n,), int32: for every text added, the number of the first text of its group.
        """
        groups = np.arange(self._count, dtype=np.int32)
        for band in self._bands if self._count else []:
            for first, second in self._candidates(band):
                one, other = _first_of_group(groups, first), _first_of_group(groups, second)
                apart = np.flatnonzero(one != other)
                near = apart[self._similarity(first[apart], second[apart]) >= SIMILAR]
                if len(near):
                    _join(groups, one[near], other[near])
        return _first_of_group(groups, np.arange(self._count))

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

    def _stored(self, texts: np.ndarray) -> np.ndarray:
        """The sketches of n texts, (n, 128), uint8; read one by one: a mapped file counts as memory."""
        with self._sketches.open("rb") as file:
            sketches = [os.pread(file.fileno(), _HASHES, text * _HASHES) for text in texts.tolist()]
        return np.frombuffer(b"".join(sketches), dtype=np.uint8).reshape(-1, _HASHES)


def _minhashes(texts: Sequence[str]) -> np.ndarray:
    """The MinHash values of n texts, (n, 128), uint32."""
    # A text shorter than a shingle is one shingle, filled up.
    codes = Codes.of([text.ljust(_SHINGLE, "\0") for text in texts])
    values = codes.values.astype(np.uint64)
    shingles = np.zeros(len(values) - _SHINGLE + 1, dtype=np.uint64)
    for place in range(_SHINGLE):
        shingles = shingles * np.uint64(0x110001) + values[place : len(values) - _SHINGLE + 1 + place]
    lengths = np.diff(codes.offsets)
    # Shingles that reach into the next text go.
    ends = np.repeat(codes.offsets[1:], lengths)[: len(shingles)]
    inside = np.arange(len(shingles)) + _SHINGLE <= ends
    shingles = _scrambled(shingles[inside])
    starts = np.append(0, np.cumsum(lengths - _SHINGLE + 1)[:-1])
    result = np.empty((len(texts), _HASHES), dtype=np.uint32)
    for number in range(_HASHES):
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


def _first_of_group(groups: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """The first text of the group of each of n texts, (n,), in a forest (Tarjan 1975).

    `groups` leads from every text to an earlier one of its group; shortened on the way.
    """
    first: np.ndarray = groups[texts]
    while np.any((earlier := groups[first]) != first):
        first = earlier
    groups[texts] = first
    return first


def _join(groups: np.ndarray, one: np.ndarray, other: np.ndarray) -> None:
    """Make one group of each two that are named by their first texts, `one` and `other`, (n,).

    In time that depends on n only, so that many near duplicates take no more than linear time.
    """
    named, places = np.unique(np.append(one, other), return_inverse=True)
    edges = coo_array(
        (np.ones(len(one), dtype=bool), (places[: len(one)], places[len(one) :])), shape=[len(named)] * 2
    )
    _, component = connected_components(edges, directed=False)
    # `named` is in order, so that a component's first is its earliest.
    groups[named] = named[np.unique(component, return_index=True)[1]][component]
