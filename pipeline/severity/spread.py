"""How probabilities spread in each split, and how well they agree there with people's labels."""

import numpy as np
import pyarrow as pa

from pipeline.severities import SEVERITIES

_CRITICAL, _NON_CRITICAL = SEVERITIES.index("critical"), SEVERITIES.index("non_critical")


class SpreadBySplit:
    """Sums over scored pairs, by split.

    If the training pairs were scored by a classifier that has seen them, their probabilities would spread
    more, and agree better with the labels, than those of the test pairs.
    """

    def __init__(self) -> None:
        self._sums: dict[str, np.ndarray] = {}

    def add(self, table: pa.Table, probabilities: np.ndarray) -> None:
        """Add n scored pairs.

        Args:
            table: has `split` and `severity_human`.
            probabilities: (n, 3).
        """
        splits = np.array(table["split"].to_pylist())
        labels = [SEVERITIES.index(label) if label else -1 for label in table["severity_human"].to_pylist()]
        label, given = np.array(labels), probabilities.astype(np.float64)
        contrast = given[:, _CRITICAL] - given[:, _NON_CRITICAL]
        labelled = label >= 0
        own = np.where(labelled, given[np.arange(len(given)), label], 1.0)
        columns = np.column_stack(
            [
                np.ones(len(given)),
                contrast,
                contrast**2,
                labelled,
                -np.log(np.maximum(own, np.finfo(np.float32).tiny)),
                labelled * given[:, _CRITICAL],
                label == _CRITICAL,
            ]
        )
        for split in set(splits.tolist()):
            sums = columns[splits == split].sum(axis=0)
            self._sums[split] = self._sums.get(split, 0) + sums

    def figures(self) -> dict[str, dict[str, float | int | None]]:
        """For each split that has rows, in the order of their names.

        `rows`; `contrast_std`, the standard deviation of p_critical - p_non_critical, to which that of the
        weights is proportional where alpha, beta and gamma are evenly spaced; of the `labelled` rows
        `log_loss` in nats, the mean of `p_critical`, and the `critical` share (None without such rows).
        """
        return {split: _figures(*sums.tolist()) for split, sums in sorted(self._sums.items())}


def _figures(
    rows: float, total: float, squares: float, labelled: float, loss: float, given: float, critical: float
) -> dict[str, float | int | None]:
    def mean(value: float) -> float | None:
        return round(value / labelled, 6) if labelled else None

    variance = max(0.0, squares / rows - (total / rows) ** 2)
    return {
        "rows": int(rows),
        "contrast_std": round(variance**0.5, 6),
        "labelled": int(labelled),
        "log_loss": mean(loss),
        "p_critical": mean(given),
        "critical": mean(critical),
    }
