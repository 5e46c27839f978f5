"""Teacher-forced likelihood of the reference answers."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.severity.labels import SEVERITIES
from pipeline.training.batching import collate
from pipeline.training.grouping import microbatches
from pipeline.training.loss import answer_nll
from pipeline.training.prompt import Example


@torch.inference_mode()
def score_answers(
    model: PreTrainedModel, examples: Sequence[Example], max_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """Negative log-likelihood of each example's answer, unweighted.

    Args:
        examples: n encoded pairs.
        max_tokens: padded tokens computed at once.

    Returns:
        Its sum over the answer's tokens in nats, (n,) float64; the number of tokens, (n,).
    """
    sums = np.zeros(len(examples))
    counts = np.zeros(len(examples), dtype="int64")
    lengths = [len(example.tokens) for example in examples]
    for group in microbatches(range(len(examples)), lengths, max_tokens):
        nll, answers = answer_nll(model, collate([examples[index] for index in group]).to(model.device))
        sums[group] = nll.double().cpu().numpy()
        counts[group] = answers.cpu().numpy()
    return sums, counts


def mean_nll(sums: np.ndarray, counts: np.ndarray, severity: Sequence[str]) -> Mapping[str, float | None]:
    """NLL per answer token in nats: `nll` over all rows, `nll_<severity>` over each severity's.

    None where a severity has no row.
    """
    severities = np.asarray(severity)
    chosen = {"nll": np.ones(len(sums), dtype=bool)}
    chosen |= {f"nll_{name}": severities == name for name in reversed(SEVERITIES)}
    return {
        name: float(sums[rows].sum() / counts[rows].sum()) if rows.any() else None
        for name, rows in chosen.items()
    }
