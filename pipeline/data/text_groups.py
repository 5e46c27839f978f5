"""Groups of texts that grow as pairs are found alike: a disjoint-set forest (Tarjan 1975) in numpy."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


class TextGroups:
    """Groups of n texts, each named by its first text.

    Memory holds four numbers a text: an earlier text of its group; and of a group's first text, the lengths
    of the shortest and of the longest text in it, and how many contained texts joined it.
    """

    def __init__(self, lengths: np.ndarray) -> None:
        """Start with every text in a group of its own; `lengths` is (n,), uint16."""
        self._earlier = np.arange(len(lengths), dtype=np.int32)
        self._shortest, self._longest = lengths.copy(), lengths.copy()
        self._joined = np.zeros(len(lengths), dtype=np.uint16)

    def first(self, texts: np.ndarray) -> np.ndarray:
        """The first text of the group of each of some texts, (m,); the ways there are shortened."""
        first: np.ndarray = self._earlier[texts]
        while np.any((earlier := self._earlier[first]) != first):
            first = earlier
        self._earlier[texts] = first
        return first

    def join(self, one: np.ndarray, other: np.ndarray) -> None:
        """Make one group of each two that are named by their first texts, `one` and `other`, (m,).

        In time that depends on m only, so that many near duplicates take no more than linear time.
        """
        if not len(one):
            return
        named, places = np.unique(np.append(one, other), return_inverse=True)
        edges = coo_array(
            (np.ones(len(one), dtype=bool), (places[: len(one)], places[len(one) :])),
            shape=[len(named)] * 2,
        )
        _, component = connected_components(edges, directed=False)
        # `named` is in order, so that a component's first is its earliest.
        firsts = named[np.unique(component, return_index=True)[1]][component]
        self._earlier[named] = firsts
        np.minimum.at(self._shortest, firsts, self._shortest[named])
        np.maximum.at(self._longest, firsts, self._longest[named])
        later = named != firsts
        np.add.at(self._joined, firsts[later], self._joined[named[later]])

    def may_join(self, pair: np.ndarray, *, ratio: float, most: int) -> bool:
        """Whether `join_contained` of two texts leaves groups of one complaint, rather than of many.

        A short text that stands in many others, or in one that stands in a longer one, is said by many
        people and is no repost.

        Args:
            pair: (2,), the texts.
            ratio: by which the longest text of a group is longer than its shortest, at most.
            most: how many joins of contained texts a group comes from, at most.
        """
        firsts = self.first(pair)
        within = int(self._longest[firsts].max()) <= ratio * int(self._shortest[firsts].min())
        return bool(firsts[0] != firsts[1] and within and self._joined[firsts].sum() < most)

    def join_contained(self, pair: np.ndarray) -> None:
        """Make one group of those of two texts, (2,), of which the one contains the other."""
        firsts = self.first(pair)
        self.join(firsts[:1], firsts[1:])
        self._joined[firsts.min()] += 1
