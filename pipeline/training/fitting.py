"""How large a micro-batch the memory of a GPU holds, found out before the first step."""

import numpy as np
import torch
from torch.distributed.fsdp import FSDPModule

from pipeline.models.distributed import all_reduce_min
from pipeline.models.microbatches import padded_tokens
from pipeline.training.batching import split_across_ranks
from pipeline.training.optimisation import state_bytes
from pipeline.training.parallel import without_all_reduce
from pipeline.training.steps import Run


def try_largest(run: Run) -> None:
    """Compute the largest micro-batch of `run`, and halve its budget until that fits.

    The memory of the optimiser's states, which come with the first step, is held free meanwhile. Several
    processes agree on the least budget. Where FSDP has divided the weights nothing is tried, since every
    process would have to compute along.

    Raises:
        WaznError: a single sequence does not fit.
    """
    if isinstance(run.module, FSDPModule):
        return
    processes, device, lengths = run.processes, run.processes.device, run.lengths
    states = 0 if run.optimiser.state else state_bytes(run.config.optimiser, run.trained)

    def largest() -> list[int]:
        parts = (
            split_across_ranks(step, lengths, run.budget.size, processes.num_processes)
            for step in run.steps()
        )
        groups = (group for part in parts for group in part[processes.process_index])
        return max(groups, key=lambda group: padded_tokens(group, lengths))

    def compute(group: list[int]) -> None:
        run.zero_gradients()
        _kept_free = torch.empty(states, dtype=torch.uint8, device=device)
        nll, rows = torch.zeros(len(group), dtype=torch.float64, device=device), range(len(group))
        with without_all_reduce(run.module):
            run.microbatch(run.answer_loss, 0, group, np.zeros(len(group)), nll, rows)

    run.budget.fixed, fits = False, False
    while not fits:
        group = largest()
        # A process that has none computes along in every step what others have.
        fits = not group or run.budget.fits(
            lambda group=group: compute(group),  # type: ignore[misc]
            padded_tokens(group, lengths),
            len(group),
        )
    least = all_reduce_min(torch.tensor([run.budget.size], device=device), processes)
    run.budget.size, run.budget.fixed = int(least), processes.num_processes > 1
