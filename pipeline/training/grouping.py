"""How sequences are put together so that little is padding."""

from collections.abc import Sequence


def microbatches(indices: Sequence[int], lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Cut sequences into groups of similar length, each of at most `max_tokens` padded tokens.

    Args:
        indices: the sequences, of an optimiser step for example.
        lengths: tokens of every sequence, by index.
        max_tokens: bound on sequences times longest; a single longer sequence stands alone.
    """
    groups: list[list[int]] = []
    for index in sorted(indices, key=lambda index: (-lengths[index], index)):
        # Longest first: the first of a group sets its padded length.
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= max_tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
