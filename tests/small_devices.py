"""Devices that are not here: one with little memory, which raises what torch raises on a GPU, or four."""

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


class _NotTrainedError(Exception):
    pass


@contextlib.contextmanager
def batch_sizes_on_four_gpus(module, monkeypatch):
    """Gives the batch sizes that `module` asks transformers' Trainer for, where four GPUs are visible.

    Nothing is trained: the block ends there.
    """
    sizes, arguments_of = [], module.TrainingArguments

    def seen_by_four(**options):
        arguments = arguments_of(**options)
        assert arguments.n_gpu <= 1, "this is read first, as it sets what is set here"
        arguments._n_gpu = 4
        return arguments

    def trainer(*, args, **_):
        sizes.append(args.train_batch_size)
        raise _NotTrainedError

    monkeypatch.setattr(module, "TrainingArguments", seen_by_four)
    monkeypatch.setattr(module, "Trainer", trainer)
    with contextlib.suppress(_NotTrainedError):
        yield sizes
