"""Teacher-forced likelihood of the reference answers."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from accelerate import PartialState
from tqdm import tqdm

from pipeline.models.budgets import Budget
from pipeline.models.distributed import all_reduce_sum
from pipeline.models.microbatches import padded_tokens
from pipeline.models.prompt import Example
from pipeline.severities import SEVERITIES
from pipeline.training.batching import collate, split_across_ranks


@torch.no_grad()
def score_answers(
    model: torch.nn.Module,
    examples: Sequence[Example],
    budget: Budget,
    processes: PartialState,
    *,
    progress: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Negative log-likelihood of each example's answer, unweighted.

    Args:
        model: an `AnswerLoss`, perhaps wrapped by DDP or FSDP, in evaluation mode.
        examples: n encoded pairs, at least one.
        budget: padded tokens computed at once.
        processes: divide the work; each gets all of the result.
        progress: what a progress bar over this process's part is called; None for no bar.

    Returns:
        Its sum over the answer's tokens in nats, (n,) float64; the number of these tokens, (n,).

    Raises:
        WaznError: the memory does not hold one sequence; see `Budget.fits`.
    """
    device = processes.device
    sums = torch.zeros(len(examples), dtype=torch.float64, device=device)
    counts = np.array([len(example.input_ids) - example.prompt_length for example in examples])
    lengths = [len(example.input_ids) for example in examples]

    def cut(indices: Sequence[int], size: int) -> list[list[int]]:
        return split_across_ranks(indices, lengths, size, processes.num_processes)[processes.process_index]

    mine = len(range(processes.process_index, len(examples), processes.num_processes))
    with tqdm(total=mine, desc=progress, unit="row", disable=progress is None) as bar:

        def score(group: list[int]) -> None:
            # A process that has none left computes one along, as the others may be waiting for its weights.
            batch = collate([examples[index] for index in group or [0]]).to(device)
            _, nll = model(batch, torch.zeros(len(batch.input_ids), device=device))
            sums[group] = nll[: len(group)].double()
            bar.update(len(group))

        budget.run(range(len(examples)), cut, lambda group: padded_tokens(group, lengths), score)
    return all_reduce_sum(sums, processes).cpu().numpy(), counts


def mean_nll(sums: np.ndarray, counts: np.ndarray, severity: Sequence[str]) -> Mapping[str, float | None]:
    """NLL per answer token in nats: `nll` over all rows, `nll_<severity>` over the rows of each severity.

    A severity without rows has None.

    Args:
        sums, counts: as `score_answers` gives them, (n,) each.
        severity: of each row.
    """
    severities = np.asarray(severity)
    groups = {"nll": np.ones(len(sums), dtype=bool)}
    groups |= {f"nll_{name}": severities == name for name in reversed(SEVERITIES)}
    return {
        name: float(sums[rows].sum() / counts[rows].sum()) if rows.any() else None
        for name, rows in groups.items()
    }
