"""The memory that a fine-tuning takes before it computes anything: weights, gradients, optimiser states."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from pipeline.errors import WaznError
from pipeline.models.lora import add_lora, decoder_of
from pipeline.models.runtime import device, load_pretrained
from pipeline.training.optimisation import state_bytes

if TYPE_CHECKING:
    from pipeline.config.training import TrainConfig

# A weight in nf4 with double quantisation: 4 bits, 8 for every 64 weights, 32 for every 256 of these.
_BITS = 4 + 8 / 64 + 32 / (64 * 256)


def least_memory(base: Path, config: "TrainConfig", targets: Sequence[str], dtype: torch.dtype) -> int:
    """Bytes of weights, gradients and optimiser states in one process, from the configuration alone.

    What is trained is in float32, and so is its gradient. Activations come on top.

    Args:
        base: folder of the base model, of which config.json is read.
        config: method and optimiser.
        targets, dtype: see `load_trainable`.
    """
    architecture = load_pretrained(AutoConfig, base)
    with torch.device("meta"):  # shapes without numbers
        weights = torch.float32 if config.method == "full" else dtype
        model: torch.nn.Module = AutoModelForCausalLM.from_config(architecture, dtype=weights)
        if config.method != "full":
            model = add_lora(model, targets, config.lora)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    total = float(
        sum(2 * parameter.nbytes for parameter in trained) + state_bytes(config.optimiser, trained)
    )
    total += sum(parameter.nbytes for parameter in model.parameters() if not parameter.requires_grad)
    if config.method == "qlora":
        head = decoder_of(model).get_output_embeddings()
        for module in model.modules():
            if type(module) in (torch.nn.Linear, Conv1D) and module is not head:
                weight = module.get_parameter("weight")
                if not weight.requires_grad:
                    total += weight.numel() * _BITS / 8 - weight.nbytes
    return int(total)


def check_memory(base: Path, config: "TrainConfig", targets: Sequence[str], dtype: torch.dtype) -> None:
    """Refuse a fine-tuning that one GPU cannot hold whatever is computed at once; on a CPU nothing is.

    Raises:
        WaznError: see above.
    """
    if device().type != "cuda":
        return
    least = least_memory(base, config, targets, dtype)
    there = torch.cuda.get_device_properties(device()).total_memory
    if least > there:
        raise WaznError(
            f"{base}: weights, gradients and optimiser states take {least / 2**30:.0f} GiB with method: "
            f"{config.method} and optimiser: {config.optimiser}, and the GPU has {there / 2**30:.0f} GiB; "
            "take lora or qlora, adafactor or adamw_8bit, a larger GPU, or several with FSDP"
        )
