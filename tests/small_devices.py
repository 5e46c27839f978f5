"""Devices with little memory, as a model meets them: torch raises what it raises on a GPU that is full."""

import contextlib

import torch


@contextlib.contextmanager
def holding(model, tokens):
    """While it lasts, `model` runs out of memory on more than so many padded tokens; gives their number."""
    sizes = []

    def full(_module, given, named):
        ids = given[0] if given else named["input_ids"]
        if ids is None:  # the projection onto the vocabulary, which has the states already
            return
        sizes.append(ids.numel())
        if ids.numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    hook = model.register_forward_pre_hook(full, with_kwargs=True)
    try:
        yield sizes
    finally:
        hook.remove()
