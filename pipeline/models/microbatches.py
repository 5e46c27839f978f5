"""How sequences are put together so that little is padding."""

from collections.abc import Sequence


def microbatches(
    indices: Sequence[int], lengths: Sequence[int], max_tokens: int, max_padding: float = 1.0
) -> list[list[int]]:
    """Cut sequences into groups of similar length, each of at most `max_tokens` padded tokens.

    Args:
        indices: the sequences, of an optimiser step for example.
        lengths: tokens of every sequence, by index.
        max_tokens: bound on sequences times longest; a single longer sequence stands alone.
        max_padding: bound on the share of a group's tokens that is padding.
    """
    groups: list[list[int]] = []
    real = 0
    for index in sorted(indices, key=lambda index: (-lengths[index], index)):
        # Longest first: the first of a group sets its padded length.
        padded = lengths[groups[-1][0]] * (len(groups[-1]) + 1) if groups else 0
        if groups and padded <= max_tokens and padded - real - lengths[index] <= max_padding * padded:
            groups[-1].append(index)
            real += lengths[index]
        else:
            groups.append([index])
            real = lengths[index]
    return groups
