"""What does not fit into memory is cut smaller, and nothing that was computed is lost."""

import warnings

import pytest
import torch

from pipeline.errors import WaznError
from pipeline.models.budgets import Budget, lacks_memory, slices
from pipeline.models.microbatches import microbatches, padded_tokens
from pipeline.models.runtime import deterministic
from pipeline.training.batching import split_across_ranks

LENGTHS = [5, 40, 12, 33, 7, 21, 40, 9]


def full_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def full_computer():
    torch.empty(1 << 60)


def computed(budget, memory, cause=full_gpu):
    """The batches that a device computed whose memory holds so many tokens, and the sizes that it tried."""
    done, tried = [], []

    def compute(batch):
        tried.append(padded_tokens(batch, LENGTHS))
        if tried[-1] > memory:
            cause()
        done.append(batch)

    budget.run(
        range(len(LENGTHS)),
        lambda indices, size: microbatches(indices, LENGTHS, size),
        lambda batch: padded_tokens(batch, LENGTHS),
        compute,
    )
    return done, tried


@pytest.mark.parametrize("cause", [full_gpu, full_computer])
def test_what_does_not_fit_is_halved_until_it_does_in_a_line_each(cause, capsys):
    budget = Budget(1000, "tokens", "resources.score.tokens_per_batch")
    done, tried = computed(budget, 90, cause)
    assert sorted(index for batch in done for index in batch) == list(range(len(LENGTHS)))
    assert tried[:3] == [320, 160, 80], "the largest first, and each half of what did not fit"
    assert budget.size == 80
    assert all(padded_tokens(batch, LENGTHS) <= 80 for batch in done)
    assert capsys.readouterr().out.splitlines() == [
        f"out of memory with {size} tokens at once; goes on with {half} "
        "(resources.score.tokens_per_batch sets it)"
        for size, half in ((320, 160), (160, 80))
    ]


def test_what_was_complete_is_not_computed_again():
    done, tried = computed(Budget(100), 40, full_gpu)
    assert sorted(index for batch in done for index in batch) == list(range(len(LENGTHS)))
    assert len(tried) == len(done) + sum(size > 40 for size in tried)


def test_a_budget_remembers_what_did_not_fit():
    budget = Budget(1000)
    computed(budget, 90)
    _, tried = computed(budget, 90)
    assert max(tried) <= 80


def test_enough_memory_changes_nothing(capsys):
    budget = Budget(100)
    done, tried = computed(budget, 1000)
    assert sorted(done) == sorted(microbatches(range(len(LENGTHS)), LENGTHS, 100))
    assert tried == sorted(tried, reverse=True)
    assert budget.size == 100
    assert capsys.readouterr().out == ""


def test_questions_are_counted_not_their_tokens():
    budget, done = Budget(7, "questions"), []

    def compute(batch):
        if len(batch) > 2:
            full_gpu()
        done.extend(batch)

    budget.run([4, 2, 0, 1, 3, 5], slices, len, compute)
    assert (done, budget.size) == ([4, 2, 0, 1, 3, 5], 1)


def test_one_sequence_that_does_not_fit_is_one_sentence():
    with pytest.raises(WaznError, match=r"too small for a single sequence \(40 tokens\); lower max_length"):
        computed(Budget(1000), 39)


def test_processes_that_must_cut_alike_are_told_what_to_set():
    budget = Budget(1000, "tokens", "resources.finetune.tokens_per_microbatch")
    budget.fixed = True
    with pytest.raises(WaznError, match=r"set resources\.finetune\.tokens_per_microbatch to 160, since"):
        computed(budget, 90)


def test_other_errors_are_no_lack_of_memory():
    def broken():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        Budget(8).fits(broken, 8, 2)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (WaznError("out of luck"), False),
    ],
)
def test_what_a_lack_of_memory_looks_like(error, expected):
    assert lacks_memory(error) == expected


@pytest.mark.parametrize("gpu", [False, True])
def test_auto_is_what_the_device_needs(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    budget = Budget.of("auto", "scoring_tokens")
    assert (budget.size > 10_000) == gpu
    assert Budget.of(33, "questions").size == 33
    # What a CPU computes at once is small and has little padding; a GPU waits for launches.
    lengths = [100] * 3 + [60] * 3
    [groups] = split_across_ranks(range(6), lengths, 10_000, 1)
    assert len(groups) == (1 if gpu else 2)


# ---- results that repeat --------------------------------------------------------------------------


@pytest.fixture
def strict():
    deterministic(1)
    yield
    torch.use_deterministic_algorithms(True)


def test_torch_takes_attention_that_repeats(strict):
    """Flash and memory-efficient attention ask for just this; with `warn_only` neither would repeat.

    `at::globalContext().deterministicAlgorithms()` and `deterministicAlgorithmsWarnOnly()`, in
    aten/src/ATen/native/transformers/cuda/attention_backward.cu and sdp_utils.cpp (cuDNN's is not taken).
    """
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()


def test_operator_that_cannot_repeat_is_named_once_and_runs(strict, capsys):
    """`put_` is such an operator, on every device."""
    values, calls = torch.zeros(4), []

    def compute():
        calls.append(1)
        values.put_(torch.tensor([1, 2]), torch.tensor([5.0, 6.0]))

    budget = Budget(100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not budget.fits(compute, 100, 3), "it has to be done again"
        assert [budget.fits(compute, 100, 3) for _ in range(2)] == [True, True]
    assert values.tolist() == [0, 5, 6, 0]
    assert (len(calls), budget.size) == (3, 100)
    assert capsys.readouterr().out == (
        "put_ has no form here that repeats to the last bit, so another run may differ a little\n"
    )
