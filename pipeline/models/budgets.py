"""How much is computed at once on a device whose memory is not known: what does not fit is cut smaller."""

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from tqdm import tqdm

from pipeline.errors import WaznError
from pipeline.models.microbatches import Resource, resolve

_SETTINGS: dict[Resource, str] = {
    "microbatch_tokens": "resources.finetune.tokens_per_microbatch",
    "scoring_tokens": "resources.score.tokens_per_batch",
    "questions": "resources.evaluate.batch_size",
    "bertscore_texts": "resources.evaluate.bertscore_batch_size",
}
_UNITS: dict[Resource, str] = {"questions": "questions", "bertscore_texts": "texts"}
# What torch says of an operator that cannot repeat its result.
_NO_REPEATABLE_FORM = re.compile(r"(\S+) does not have a deterministic implementation")
Cut = Callable[[Sequence[int], int], list[list[int]]]


class Budget:
    """A bound on what is computed at once; it is halved where the memory does not hold so much.

    Attributes:
        size: the bound, in `unit`; setting: the key of params.yaml that sets it, None where there is none.
        fixed: whether it must stay as it is, as other processes compute by the same one.
    """

    def __init__(self, size: int, unit: str = "tokens", setting: str | None = None) -> None:
        """Start with `size`."""
        self.size, self.unit, self.setting, self.fixed = size, unit, setting, False

    @classmethod
    def of(cls, value: int | Literal["auto"], resource: Resource) -> "Budget":
        """That which a value of `resources` means on this machine."""
        return cls(resolve(value, resource), _UNITS.get(resource, "tokens"), _SETTINGS[resource])

    def fits(self, compute: Callable[[], None], size: int, count: int) -> bool:
        """Run `compute`; False where it has to be done once more, in one line that says why.

        That is after a lack of memory, for which the budget was halved, or after an operator that cannot
        repeat its result, which is allowed from then on.

        Args:
            compute: may leave half of its work done.
            size: what it computes at once, in `unit`; count: sequences, of which one cannot be cut.

        Raises:
            WaznError: it can be cut no further, or the budget is fixed.
        """
        try:
            compute()
            return True
        except RuntimeError as error:
            operator = _NO_REPEATABLE_FORM.match(str(error))
            if not operator and not lacks_memory(error):
                raise
        # Not within `except`: what the failed call computed lives as long as its error.
        if operator:
            _allow(operator[1])
            return False
        clear_device_cache(garbage_collection=True)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        if count <= 1:
            training = self.setting == _SETTINGS["microbatch_tokens"]
            first = "see that resources.finetune.gradient_checkpointing is true, " if training else ""
            raise WaznError(
                f"the memory is too small for a single sequence ({size} {self.unit}); {first}lower "
                "max_length in params.yaml, or take a smaller model, another finetune.method or a larger "
                "GPU. What was complete is kept"
            )
        half = max(1, min(size, self.size) // 2)
        if self.fixed:
            raise WaznError(
                f"the memory does not hold {size} {self.unit} at once; set {self.setting} to {half}, since "
                "several processes must compute by the same. What was complete is kept"
            )
        sets = f" ({self.setting} sets it)" if self.setting else ""
        tqdm.write(f"out of memory with {size} {self.unit} at once; goes on with {half}{sets}")
        self.size = half
        return False

    def run(
        self,
        todo: Sequence[int],
        cut: Cut,
        size: Callable[[Sequence[int]], int],
        compute: Callable[[list[int]], None],
    ) -> None:
        """Run `compute` on the items `todo` in batches, the largest first.

        Where one does not fit, all that is left is cut anew.

        Args:
            cut: items and a size to batches of at most so much; a batch may be empty.
            size: of a batch, in `unit`.
            compute: takes a batch; may be called for its items again.

        Raises:
            WaznError: see `fits`.
        """
        waiting = sorted(cut(todo, self.size), key=size, reverse=True)
        while waiting:
            batch = waiting[0]
            if self.fits(lambda batch=batch: compute(batch), size(batch), len(batch)):  # type: ignore[misc]
                del waiting[0]
            else:
                left = [item for group in waiting for item in group]
                waiting = sorted(cut(left, self.size), key=size, reverse=True)


def slices(items: Sequence[int], size: int) -> list[list[int]]:
    """Cut items into batches of `size`, in their order."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the computer, has too little memory."""
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "CUBLAS_STATUS_ALLOC_FAILED" in str(error)
        or (isinstance(error, Exception) and should_reduce_batch_size(error))
    )


def refuse_too_large(folder: Path, error: BaseException) -> None:
    """Say that a model does not fit, where that is what `error` says: the model is not damaged.

    Raises:
        WaznError: see above.
    """
    if lacks_memory(error):
        raise WaznError(
            f"{folder}: the memory does not hold this model beside what else is there; close other "
            "programs, or take a smaller model or a larger GPU"
        ) from error


def _allow(operator: str) -> None:
    """Let operators without a repeatable form run from here on, and name the first of them."""
    tqdm.write(
        f"{operator} has no form here that repeats to the last bit, so another run may differ a little"
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    warnings.filterwarnings("ignore", message=".*determinis")
