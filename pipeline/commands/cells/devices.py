"""What each of several cells at once computes with: one GPU, or its share of the processor."""

import os
import warnings
from dataclasses import dataclass

from joblib import cpu_count

from pipeline.errors import WaznError

# What OpenMP, and with it torch, MKL and oneDNN, takes as the number of threads.
_THREADS = "OMP_NUM_THREADS"
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Slot:
    """A place for one cell at a time.

    Attributes:
        name: for people.
        variables: of the environment of its cells.
    """

    name: str
    variables: dict[str, str]


def slots(jobs: int | None) -> list[Slot]:
    """A place for each of `jobs` cells at once; None for as many as there are GPUs, or one without any.

    Each has one GPU; where there are more places than GPUs, they share them evenly. Where there are
    several, each has its part of the processor's cores as threads, unless OMP_NUM_THREADS says how many.

    Raises:
        WaznError: fewer than one.
    """
    if jobs is not None and jobs < 1:
        raise WaznError(f"--jobs is a number of cells at once, 1 or more, found {jobs}")
    gpus = visible_gpus()
    count = jobs or max(1, len(gpus))
    threads = _threads(count)
    found = []
    for number in range(count):
        if gpus:
            gpu = gpus[number % len(gpus)]
            found.append(Slot(f"GPU {gpu}", {**threads, _VISIBLE: gpu}))
        else:
            found.append(Slot("CPU", threads))
    return found


def described(places: list[Slot]) -> str:
    """The places in words, such as `2 at once on 2 GPUs`."""
    names = sorted({place.name for place in places})
    where = "the CPU" if names == ["CPU"] else f"{len(names)} GPU{'s' * (len(names) > 1)}"
    threads = places[0].variables.get(_THREADS)
    number = f", {threads} thread{'s' * (threads != '1')} each" if threads else ""
    return f"{len(places)} at once on {where}{number}"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get(_VISIBLE)
    if named is not None and not named.strip():
        return []
    import torch  # noqa: PLC0415  # takes seconds, and is needed for this only

    count = torch.cuda.device_count()
    names = named.split(",") if named else [str(number) for number in range(count)]
    return [name.strip() for name in names[:count]]


def _threads(count: int) -> dict[str, str]:
    if count == 1:
        return {}
    if _THREADS in os.environ:
        return {_THREADS: os.environ[_THREADS]}
    with warnings.catch_warnings():
        # Where it cannot tell cores from threads of one core, it counts the latter.
        warnings.simplefilter("ignore")
        return {_THREADS: str(max(1, cpu_count(only_physical_cores=True) // count))}
