"""Two processes, in both ways of sharing a model, give what one gives."""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch
import two_processes
from accelerate import PartialState
from equation import assert_close
from root import ROOT
from runs import trainable, weights
from two_processes import run

from pipeline.training.checkpoints import Checkpoints
from pipeline.training.objective import AnswerLoss
from pipeline.training.parallel import restore_trained, trained_state, wrap_for_processes

MODES = {"DDP": ["--multi_gpu"], "FSDP": ["--use_fsdp"]}
# 20 steps, of which each epoch's smallest has one sequence, so one process none; micro-batches of 1 to 4.
TWENTY = {"epochs": 5, "tokens_per_microbatch": 90}
# In float64, as some gradients are 0 but for rounding (a key's bias does not matter to a softmax), and the
# optimiser divides them by their own size.
FULL = {"method": "full", "dtype": "float64"}
MODELS = {"lora": {}, "full": FULL}
JOBS = {
    "lora": TWENTY,
    "full": {"model": FULL, **TWENTY},
    "token mean": {**TWENTY, "loss_reduction": "token"},
    "bloom": {"model": {"architecture": "bloom"}, **TWENTY},
    "qwen3": {"model": {"architecture": "qwen3", **FULL}, **TWENTY},
    "lfm2": {"model": {"architecture": "lfm2", **FULL}, **TWENTY},
    "adafactor": {**TWENTY, "optimiser": "adafactor"},
    "best": {
        "valid": 6,
        **TWENTY,
        "learning_rate": 0.02,
        "checkpoint_selection": "best",
        "evaluate_every": 0.5,
    },
    "nan": {"spoilt": 5, "epochs": 1},
}
RESUMED = {
    method: {"model": model, **TWENTY, "valid": 6, "checkpoint_selection": "best", "evaluate_every": 0.5}
    for method, model in MODELS.items()
}


def launch(mode, folder, jobs):
    """Do the jobs in two processes; what each left, by the job's name."""
    command = [sys.executable, "-m", "accelerate.commands.launch", *MODES[mode], "--num_processes", "2"]
    command += ["--main_process_port", "0", two_processes.__file__, str(folder)]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    done = subprocess.run(
        [*command, *(json.dumps({"name": name, **job}) for name, job in jobs.items())],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {name: [torch.load(folder / f"{name}-{rank}.pt") for rank in (0, 1)] for name in jobs}
    for main, other in found.values():
        assert main["processes"] == other["processes"] == 2
        assert main["steps"] == other["steps"]
        assert main["error"] == other["error"]
        assert not other["state"], "the weights are gathered by the main process only"
    return {name: main for name, (main, _) in found.items()}


def numbers(step):
    """All that a step says, at one level and without what is None."""
    return {
        name: value
        for name, value in (step | (step["valid"] or {"valid": None})).items()
        if value is not None and not isinstance(value, dict)
    }


def assert_same_steps(found, steps):
    assert len(found["steps"]) == len(steps) == 20
    for one, other in zip(found["steps"], map(vars, steps), strict=True):
        assert numbers(one) == pytest.approx(numbers(other), rel=1e-4)


def assert_as_alone(found, job):
    state, steps = run(**job)
    assert_same_steps(found, steps)
    assert_close(found["state"], state, atol=1e-6)


# ---- quick ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_give_the_adapter_of_one(tmp_path):
    assert_as_alone(launch("DDP", tmp_path, {"lora": JOBS["lora"]})["lora"], JOBS["lora"])


def test_alone_a_model_stays_as_it_is():
    module = AnswerLoss(trainable())
    assert wrap_for_processes(module, PartialState(cpu=True)) is module


@pytest.mark.parametrize("method", MODELS)
def test_state_is_what_is_trained_once_and_can_be_set_again(method):
    """Neither the head of a frozen model, which is tied, nor that of a trained one a second time."""
    model = trainable("qwen2", method)
    before = weights(model)
    state = copy.deepcopy(trained_state(model, None)["model"])
    assert_close(state, before, atol=0)
    with torch.no_grad():
        for parameter in before:
            model.get_parameter(parameter).add_(1.0)
    restore_trained(model, None, {"model": state}, PartialState(cpu=True))
    assert_close(weights(model), before, atol=0)


# ---- in both modes --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=MODES)
def both(request, tmp_path_factory):
    """What came of every job in two processes, and the folder with the checkpoints."""
    folder, jobs = tmp_path_factory.mktemp(request.param), dict(JOBS)
    base = folder / "base"
    trainable("qwen2", "full").save_pretrained(base)
    for method, job in RESUMED.items():
        run(**job, stop=7, folder=folder / f"{method} by one")
        jobs[f"{method} by one"] = job | {"folder": str(folder / f"{method} by one")}
        jobs[f"{method} by two"] = job | {"folder": str(folder / f"{method} by two"), "stop": 7}
        jobs[f"{method} loaded"] = {"model": {"method": method, "base": str(base)}, **TWENTY}
    jobs["checkpointing"] = {"model": {"base": str(base), "gradient_checkpointing": True}, **TWENTY}
    for dtype in ("bfloat16", "float16"):
        jobs[dtype] = {"model": {"base": str(base), "dtype": dtype}, "dtype": dtype, **TWENTY}
    return launch(request.param, folder, jobs), jobs, folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in JOBS if name not in ("nan", "adafactor")])
def test_two_processes_give_the_weights_of_one(name, both):
    found, jobs, _ = both
    assert_as_alone(found[name], jobs[name])


@pytest.mark.slow
def test_adafactor_is_as_alone_or_refused_in_a_sentence(both):
    """It takes norms in place, which torch cannot do of a tensor that is cut."""
    found, jobs, folder = both
    if folder.name.startswith("FSDP"):
        assert "finetune.optimiser: adafactor" in found["adafactor"]["error"]
    else:
        assert_as_alone(found["adafactor"], jobs["adafactor"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora loaded", "full loaded", "checkpointing"])
def test_model_of_a_folder_is_loaded_in_either_process(name, both):
    found, jobs, _ = both
    assert_same_steps(found[name], run(**jobs[name])[1])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_frozen_sixteen_bits_under_float32_adapters(dtype, both):
    found, jobs, _ = both
    assert {tensor.dtype for tensor in found[dtype]["state"].values()} == {torch.float32}
    state, steps = run(**jobs[dtype])
    found_losses = [step["loss"] for step in found[dtype]["steps"]]
    assert found_losses == pytest.approx([step.loss for step in steps], rel=0.01)
    assert_close(found[dtype]["state"], state, atol=0.01)


@pytest.mark.slow
def test_processes_agree_on_what_fits_before_the_first_step(tmp_path):
    """The largest micro-batch of one process does not fit, or not as often as that of the other."""
    job = {**TWENTY, "tokens_per_microbatch": 100_000}
    found = launch("DDP", tmp_path, {"little": job | {"holds": 60}, "too little": job | {"holds": 3}})
    assert_as_alone(found["little"], TWENTY)
    assert "too small for a single sequence" in found["too little"]["error"]


@pytest.mark.slow
def test_row_of_either_process_is_named_by_both(both):
    found, _, _ = both
    assert "rows row-5)" in found["nan"]["error"]


@pytest.mark.slow
@pytest.mark.parametrize("method", RESUMED)
def test_checkpoint_of_one_process_is_taken_up_by_two(method, both):
    found, _, _ = both
    assert_as_alone(found[f"{method} by one"], RESUMED[method])


@pytest.mark.slow
@pytest.mark.parametrize("method", RESUMED)
def test_checkpoint_of_two_processes_is_taken_up_by_one(method, both):
    found, _, folder = both
    assert len(found[f"{method} by two"]["steps"]) == 7
    kept = folder / f"{method} by two"
    assert len(Checkpoints(kept).latest()["history"]) == 5
    state, steps = run(**RESUMED[method], folder=kept)
    taken_up = {"state": state, "steps": [vars(step) for step in steps]}
    assert steps[4].loss == found[f"{method} by two"]["steps"][4]["loss"]
    assert_as_alone(taken_up, RESUMED[method])
