"""A model in training that several processes share, and its weights as a whole."""

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

# Whole tensors on the CPU of the main process, whatever the processes share the model by.
_GATHER = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)


def shared(module: AnswerLoss, here: PartialState) -> torch.nn.Module:
    """`module` as the processes share it: whole in each (DDP), or cut over them (FSDP).

    FSDP is asked for by `accelerate launch --use_fsdp`; weights, gradients and optimiser states then lie
    divided among the processes, layer by layer.

    Args:
        module: the same in every process.
        here: the processes.
    """
    if here.num_processes == 1:
        return module
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return DistributedDataParallel(
            module, device_ids=[here.device] if here.device.type == "cuda" else None
        )
    mesh = dist.device_mesh.init_device_mesh(here.device.type, (here.num_processes,))
    for part in module.modules():
        if type(part).__name__ in (module.decoder._no_split_modules or ()):
            fully_shard(part, mesh=mesh)
    fully_shard(module, mesh=mesh)
    return module


def accumulating(module: torch.nn.Module) -> AbstractContextManager[Any]:
    """A context in which gradients stay in their process, as more micro-batches of the step follow."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


def summed(values: torch.Tensor, here: PartialState) -> torch.Tensor:
    """Add up `values` over the processes, in place; every process gets the same sums."""
    if here.num_processes > 1:
        dist.all_reduce(values)
    return values


def trained_state(module: torch.nn.Module, optimiser: torch.optim.Optimizer | None) -> dict[str, Any]:
    """What training changes, as whole tensors on the CPU; every process must call it, the main one gets it.

    Args:
        module: as `shared` gave it.
        optimiser: of its trainable parameters; None to leave its state out.

    Returns:
        `model`, by the parameters' names in the module that was shared, and `optimiser`.
    """
    # A tied weight is there under its other name too, even where it is frozen.
    names = {name.removeprefix("module.") for name, p in module.named_parameters() if p.requires_grad}
    state = get_model_state_dict(module, options=_GATHER)
    found: dict[str, Any] = {"model": {name: state[name] for name in state if name in names}}
    if optimiser:
        found["optimiser"] = dict(get_optimizer_state_dict(module, optimiser, options=_GATHER))
    return found


def restore_trained(
    module: torch.nn.Module,
    optimiser: torch.optim.Optimizer | None,
    state: dict[str, Any],
    here: PartialState,
) -> None:
    """Set what `trained_state` gave; the main process has it, the others give an empty dictionary."""
    options = StateDictOptions(
        full_state_dict=True,
        broadcast_from_rank0=here.num_processes > 1,
        ignore_frozen_params=True,
        strict=False,
    )
    weights = state.get("model", {})
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        whole = torch.empty(parameter.shape, dtype=parameter.dtype, device=here.device)
        if here.is_main_process:
            whole.copy_(weights[name.removeprefix("module.")])
        if here.num_processes > 1:
            dist.broadcast(whole, 0)
        with torch.no_grad():
            if isinstance(parameter, DTensor):
                whole = distribute_tensor(whole, parameter.device_mesh, parameter.placements)
            parameter.copy_(whole)
    if optimiser:
        set_optimizer_state_dict(module, optimiser, state.get("optimiser", {}), options=options)
