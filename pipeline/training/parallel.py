"""A model that several processes train together by DDP or FSDP, and its weights as whole tensors."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from pipeline.training.objective import AnswerLoss

# Whole tensors on the CPU of the main process, under DDP and FSDP alike.
_GATHER = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)


def wrap_for_processes(module: AnswerLoss, processes: PartialState) -> torch.nn.Module:
    """Wrap `module` for several processes: a copy in each (DDP), or divided among them (FSDP).

    `accelerate launch --use_fsdp` asks for FSDP. Weights, gradients and optimiser states then lie divided
    among the processes, layer by layer.

    Args:
        module: the same in every process.
        processes: with one process, `module` is returned as it is.
    """
    if processes.num_processes == 1:
        return module
    device = processes.device
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return DistributedDataParallel(module, device_ids=[device] if device.type == "cuda" else None)
    mesh = dist.device_mesh.init_device_mesh(device.type, (processes.num_processes,))
    for part in module.modules():
        if type(part).__name__ in (module.decoder._no_split_modules or ()):
            fully_shard(part, mesh=mesh)
    fully_shard(module, mesh=mesh)
    return module


def without_all_reduce(module: torch.nn.Module) -> AbstractContextManager[Any]:
    """A context in which gradients are not added over processes, as more micro-batches follow."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


def trained_state(module: torch.nn.Module, optimiser: torch.optim.Optimizer | None) -> dict[str, Any]:
    """What training changes, as whole tensors on the CPU of the main process. Every process must call it.

    Args:
        module: as `wrap_for_processes` returned it.
        optimiser: of its trainable parameters; None to leave its state out.

    Returns:
        `model`: parameters by their names in the module that was wrapped; and `optimiser`.
    """
    # A tied weight is there under its second name too, even where it is frozen.
    names = {name.removeprefix("module.") for name, p in module.named_parameters() if p.requires_grad}
    state_dict = get_model_state_dict(module, options=_GATHER)
    state: dict[str, Any] = {"model": {name: state_dict[name] for name in state_dict if name in names}}
    if optimiser:
        state["optimiser"] = dict(get_optimizer_state_dict(module, optimiser, options=_GATHER))
    return state


def restore_trained(
    module: torch.nn.Module,
    optimiser: torch.optim.Optimizer | None,
    state: dict[str, Any],
    processes: PartialState,
) -> None:
    """Set what `trained_state` returned. The main process has it, the others pass an empty dictionary."""
    options = StateDictOptions(
        full_state_dict=True,
        broadcast_from_rank0=processes.num_processes > 1,
        ignore_frozen_params=True,
        strict=False,
    )
    weights = state.get("model", {})
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        whole = torch.empty(parameter.shape, dtype=parameter.dtype, device=processes.device)
        if processes.is_main_process:
            whole.copy_(weights[name.removeprefix("module.")])
        if processes.num_processes > 1:
            dist.broadcast(whole, 0)
        with torch.no_grad():
            if isinstance(parameter, DTensor):
                whole = distribute_tensor(whole, parameter.device_mesh, parameter.placements)
            parameter.copy_(whole)
    if optimiser:
        set_optimizer_state_dict(module, optimiser, state.get("optimiser", {}), options=options)
