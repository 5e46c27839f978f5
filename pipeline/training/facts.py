"""What is kept of a training: metrics/finetune."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.training.dataset import TrainingData
from pipeline.training.steps import Step

if TYPE_CHECKING:
    from pipeline.config.training import TrainConfig


def training_facts(data: TrainingData, history: Sequence[Step], config: "TrainConfig") -> dict[str, Any]:
    """What was trained on what, how far its steps went, and the validation NLL of what was kept.

    Args:
        data: what the model was trained and validated on.
        history: every step, at least one.
        config: how it was trained.
    """
    evaluated = [step for step in history if step.valid]
    kept = history[-1]
    norms = np.array([step.gradient_norm for step in history])
    if evaluated and config.checkpoint_selection == "best":
        kept = min(evaluated, key=lambda step: (step.valid or {})["nll"] or 0.0)
    return {
        "pairs": len(data.examples),
        "left_out": data.left_out,
        "tokens": sum(len(example.input_ids) for example in data.examples),
        "steps": history[-1].number,
        "kept_step": kept.number,
        # Clipping hides a weight's scale, so that arms compare only where it is alike.
        "clipped_share": float((norms > config.max_grad_norm).mean()),
        "gradient_norm": float(norms.mean()),
        "valid": {"pairs": len(data.valid.examples) if data.valid else 0, **(kept.valid or {})},
    }
