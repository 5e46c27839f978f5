"""Teacher-forced likelihood of the reference answers."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from accelerate import PartialState

from pipeline.models.prompt import Example
from pipeline.severities import SEVERITIES
from pipeline.training.batching import collate, shares
from pipeline.training.parallel import summed


@torch.no_grad()
def score_answers(
    model: torch.nn.Module, examples: Sequence[Example], max_tokens: int, here: PartialState
) -> tuple[np.ndarray, np.ndarray]:
    """Negative log-likelihood of each example's answer, unweighted.

    Args:
        model: an `AnswerLoss`, perhaps shared by processes, in evaluation mode.
        examples: n encoded pairs, at least one.
        max_tokens: padded tokens computed at once.
        here: the processes that divide the work; each gets all of the result.

    Returns:
        Its sum over the answer's tokens in nats, (n,) float64; the number of tokens, (n,).
    """
    sums = torch.zeros(len(examples), dtype=torch.float64, device=here.device)
    counts = np.array([len(example.tokens) - example.answer_start for example in examples])
    lengths = [len(example.tokens) for example in examples]
    for group in shares(range(len(examples)), lengths, max_tokens, here.num_processes)[here.process_index]:
        # A process that has none left computes along, as the others may be waiting for its weights.
        batch = collate([examples[index] for index in group or [0]]).to(here.device)
        _, nll = model(batch, torch.zeros(len(batch.tokens), device=here.device))
        sums[group] = nll[: len(group)].double()
    return summed(sums, here).cpu().numpy(), counts


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
