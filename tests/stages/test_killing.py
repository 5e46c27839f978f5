"""finetune killed, disturbed and starved of space: it goes on, or says in one sentence why not."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from commands import FINETUNE, TEST, TRAIN, VALID, change, files_of, fork, lay_out, run, start, wait
from root import ROOT
from safetensors.torch import load_file, save_file

from pipeline.config.params import load
from pipeline.paths import SCORED
from pipeline.stages import finetune as stage
from pipeline.training import checkpoints

COMMAND = ("finetune", "tiny_gpt2", "weighting")
RESULTS = ("models/weighting/**/*", "metrics/**/*")
PLACE = Path(".checkpoints/finetune/weighting/tiny_gpt2/17")
# The first value of a test is enough for every day.
ALSO = pytest.mark.slow
STEPS = FINETUNE["epochs"] * -(-TRAIN // FINETUNE["batch_size"])


@pytest.fixture(scope="module")
def laid_out(built, scored_table, tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("killing") / "project", built, scored_table(TRAIN + VALID, TEST))


@pytest.fixture
def project(laid_out, tmp_path):
    """A folder in which nothing has run."""
    return shutil.copytree(laid_out, tmp_path / "project")


@pytest.fixture(scope="module")
def uninterrupted(laid_out, tmp_path_factory):
    """What a run writes that nothing disturbs, and at how many moments a file changes meanwhile."""
    folder = shutil.copytree(laid_out, tmp_path_factory.mktemp("uninterrupted") / "project")
    counted = folder.parent / "counted"
    ended = run(folder, *COMMAND, before=lambda: at_changes(lambda n, *_: counted.write_text(str(n))))
    assert (ended.code, ended.out) == (0, ""), ended.err
    found = files_of(folder, *RESULTS)
    assert "models/weighting/tiny_gpt2/17/adapter_model.safetensors" in found
    assert "metrics/finetune/weighting/tiny_gpt2/17.json" in found
    assert "metrics/finetune/weighting/tiny_gpt2/17/plots/metrics/train/loss.tsv" in found
    return found, int(counted.read_text())


def at_changes(do):
    """Call `do` before every change of a file in the present folder: its number, its kind, its path."""
    here, seen = str(Path.cwd()), 0

    def hook(event, arguments):
        nonlocal seen
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if not (writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir")):
            return
        if os.path.abspath(os.fsdecode(arguments[0])).startswith(here):  # noqa: PTH100
            seen += 1
            do(seen, event, str(arguments[0]))

    sys.addaudithook(hook)


def killed(project, when, surely=True):
    """Run until `when` holds of a change of a file, where it is killed."""

    def stop(*said):
        if when(*said):
            os.kill(os.getpid(), signal.SIGKILL)

    ended = run(project, *COMMAND, before=lambda: at_changes(stop))
    assert ended.code == -signal.SIGKILL or (ended.code == 0 and not surely), ended.err


def killed_after(project, step):
    """Killed as soon as the checkpoint of `step` is there."""
    following = f"step-{step + FINETUNE['checkpoint_every']:09}"
    killed(project, lambda _, event, path: event == "open" and following in path)


def saved(project):
    """Checkpoints, by step."""
    paths = (project / PLACE).glob("*/step-*.pt")
    return {int(re.match(r"step-(\d+)", path.name)[1]): path for path in paths}


def finished_as(expected, project, ended, after):
    """It went on after that step, gave those bytes, and left nothing else."""
    assert ended.code == 0, ended.err
    said = f"finetune tiny_gpt2 weighting 17: goes on after step {after} of {STEPS}, from a checkpoint\n"
    assert ended.out.endswith(said if after else ""), ended.out
    assert ("goes on" in ended.out) == bool(after)
    found = files_of(project, *RESULTS)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    assert [path.name for path in (project / PLACE).iterdir()] == ["lock"], "checkpoints are not pruned"
    assert list(project.rglob("*.part")) == []


# ---- killed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=ALSO) for seed in (1, 2, 3))])
def test_killed_again_and_again_it_goes_on_and_gives_the_same_bytes(seed, project, uninterrupted):
    """At changes of files drawn at random, from the first to the last of a whole run."""
    expected, changes = uninterrupted
    assert changes > 60
    for moment in random.Random(seed).sample(range(1, changes + 1), 3):
        # Not killed where a run that goes on makes fewer changes: then the next one is from the start.
        killed(project, lambda number, *_, at=moment: number == at, surely=False)
    done = max(saved(project), default=0)
    finished_as(expected, project, run(project, *COMMAND), done)


@ALSO
def test_a_placebo_that_is_killed_goes_on_with_the_same_weights(project, laid_out, tmp_path):
    plain = shutil.copytree(laid_out, tmp_path / "plain")
    for folder in (project, plain):
        path = folder / "params.yaml"
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        values["weighting"]["permute"] = 5
        path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    assert run(plain, *COMMAND).code == 0
    expected = files_of(plain, *RESULTS)
    facts = json.loads(expected["metrics/finetune/weighting/tiny_gpt2/17.json"])
    assert facts["arm"]["permute"] == 5
    killed_after(project, 4)
    finished_as(expected, project, run(project, *COMMAND), 4)


@pytest.mark.parametrize("writes", [20, *(pytest.param(n, marks=ALSO) for n in (0, 1))])
def test_killed_in_the_midst_of_writing_a_checkpoint(writes, project, uninterrupted):
    def stop():
        real, count = checkpoints._Hashing.write, iter(range(10**6))

        def write(self, data):
            if "step-000000006" in self._file.name and next(count) == writes:
                self._file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, data)

        checkpoints._Hashing.write = write

    assert run(project, *COMMAND, before=stop).code == -signal.SIGKILL
    assert len(list((project / PLACE).glob("*/.step-000000006.part"))) == 1
    assert set(saved(project)) == {2, 4}
    finished_as(uninterrupted[0], project, run(project, *COMMAND), 4)


def test_killed_while_the_model_is_written(project, uninterrupted):
    killed(project, lambda _, event, path: event == "open" and path.endswith("adapter_config.json"))
    assert not (project / "models/weighting/tiny_gpt2/17").exists()
    finished_as(uninterrupted[0], project, run(project, *COMMAND), STEPS - 2)


@pytest.mark.slow
def test_the_best_weights_so_far_survive_a_kill(project):
    """The rate is so high that validation is best early, before the kill."""
    change(
        project,
        checkpoint_selection="best",
        learning_rate=0.05,
        lr_scheduler="constant",
        evaluate_every=0.5,
    )
    again = shutil.copytree(project, project.parent / "again")
    assert run(again, *COMMAND).code == 0
    expected = files_of(again, *RESULTS)
    kept = json.loads(expected["metrics/finetune/weighting/tiny_gpt2/17.json"])["kept_step"]
    assert kept < 6, "of no use here"
    killed_after(project, 8)
    finished_as(expected, project, run(project, *COMMAND), 8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_command_killed_from_outside_at_random_times(seed, project):
    """The very command, as a process of its own."""
    change(project, epochs=12)
    command = (sys.executable, "-m", "pipeline", *COMMAND)
    whole = shutil.copytree(project, project.parent / "whole")
    begun = time.monotonic()
    alone = start(whole, *command)
    assert alone.wait(120) == 0, alone.stderr.read()
    lasted = time.monotonic() - begun
    drawn, told = random.Random(seed), 0
    for _ in range(5):
        process = start(project, *command)
        # From the first checkpoint on, however long the machine takes to get there.
        until(lambda: saved(project) or process.poll() is not None)  # noqa: B023
        time.sleep(drawn.uniform(0, 0.15) * lasted)
        process.kill()
        told += "goes on after step" in process.communicate()[0]
    last = start(project, *command)
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    assert told or "goes on after step" in out, "never killed where it matters"
    assert files_of(project, *RESULTS) == files_of(whole, *RESULTS)


# ---- damaged checkpoints --------------------------------------------------------------------------


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def make_unreadable(path):
    path.unlink()
    # Reading it is an I/O error, as of a broken disk.
    path.symlink_to("/proc/self/mem")


@pytest.mark.parametrize(
    "damage", [flip, *(pytest.param(damage, marks=ALSO) for damage in (cut_off, make_unreadable))]
)
def test_damaged_checkpoint_is_passed_over_in_one_sentence(damage, project, uninterrupted):
    killed_after(project, 6)
    assert set(saved(project)) == {4, 6}
    newest = saved(project)[6]
    damage(newest)
    ended = run(project, *COMMAND)
    first, *_ = lines = ended.out.splitlines()
    assert first.startswith(f"{newest.relative_to(project)}: damaged or cut off")
    assert len(lines) == 2
    finished_as(uninterrupted[0], project, ended, 4)


@pytest.mark.slow
def test_no_whole_checkpoint_means_from_the_start(project, uninterrupted):
    killed_after(project, 6)
    for path in saved(project).values():
        cut_off(path)
    ended = run(project, *COMMAND)
    assert ended.out.count("damaged or cut off") == 2
    finished_as(uninterrupted[0], project, ended, 0)


# ---- whose checkpoints they are -------------------------------------------------------------------


def change_code():
    stage.code_hash = lambda _: "of other code"


@pytest.mark.parametrize("what", ["settings", "code"])
def test_checkpoint_of_other_settings_or_code_is_not_used_and_goes(what, project):
    killed_after(project, 6)
    if what == "settings":
        change(project, learning_rate=0.01)
    again = run(project, *COMMAND, before=change_code if what == "code" else lambda: None)
    assert (again.code, again.out) == (0, "")
    assert [path.name for path in (project / PLACE).iterdir()] == ["lock"]


@pytest.mark.parametrize(
    "resources",
    [{"tokens_per_microbatch": 100, "checkpoint_every": 1}, {"gradient_checkpointing": True}],
    ids=["sizes", "recomputing"],
)
def test_checkpoint_is_used_under_other_resources(resources, project, uninterrupted):
    """They change speed and memory only; sums in another order may differ by rounding."""
    killed_after(project, 6)
    change(project, **resources)
    ended = run(project, *COMMAND)
    assert ended.code == 0, ended.err
    assert (
        ended.out
        == f"finetune tiny_gpt2 weighting 17: goes on after step 6 of {STEPS}, from a checkpoint\n"
    )
    found, expected = (
        json.loads(files["metrics/finetune/weighting/tiny_gpt2/17.json"])
        for files in (files_of(project, *RESULTS), uninterrupted[0])
    )
    assert found.keys() == expected.keys()
    assert found["valid"] == pytest.approx(expected["valid"], rel=1e-3)
    assert [path.name for path in (project / PLACE).iterdir()] == ["lock"]


OTHER = {
    "method": "full",
    "loss_reduction": "token",
    "optimiser": "adafactor",
    "lr_scheduler": "cosine",
    "dtype": "bfloat16",
    "train_rows": 5,
    "valid_rows": 5,
    "checkpoint_selection": "best",
    "max_grad_norm": 0.5,
}


def test_fingerprint_changes_with_all_that_the_weights_come_from(project, monkeypatch):
    monkeypatch.chdir(project)
    params = load(Path("params.yaml"))
    base, entry = Path("models/base/tiny_gpt2"), params.registry["tiny_gpt2"]

    arm = params.arm_settings["weighting"]

    def found(seed=17, finetune=params.finetune, entry=entry, arm=arm, code="its hash"):
        return checkpoints.fingerprint(base, seed, finetune, entry, arm, code)

    seen = [found()]

    def differs(what, **changes):
        assert found(**changes) not in seen, what
        seen.append(found(**changes))

    assert found() == seen[0]
    for name, value in params.finetune:
        if name == "lora":
            for part, number in value:
                lora = value.model_copy(update={part: type(number)(number / 2)})
                differs(part, finetune=params.finetune.model_copy(update={"lora": lora}))
            continue
        other = OTHER[name] if name in OTHER else value / 2 if isinstance(value, float) and value else None
        other = other or value + 1
        assert other != value
        differs(name, finetune=params.finetune.model_copy(update={name: other}))
    for name, value in arm:
        other = 0 if value is None else not value if isinstance(value, bool) else value + 1
        differs(name, arm=arm.model_copy(update={name: other}))
    differs("code", code="another hash")
    differs("seed", seed=18)
    differs("targets", entry=entry.model_copy(update={"lora_targets": ["c_attn"]}))
    assert found(entry=entry.model_copy(update={"title": "Another name"})) == seen[0]
    for path in (SCORED, base / "model.safetensors", base / "tokenizer.json"):
        flip(path)
        differs(path)
    monkeypatch.setattr(checkpoints.torch, "__version__", "0")
    differs("version of a library")


# ---- a second run ---------------------------------------------------------------------------------


def test_second_run_ends_names_the_first_and_writes_nothing(project, uninterrupted):
    """The first one lives on, as when dvc alone was killed; it is made to stand still meanwhile."""

    def pause(_, event, path):
        if event == "open" and "step-000000006" in path:
            os.kill(os.getpid(), signal.SIGSTOP)

    first = fork(project, *COMMAND, before=lambda: at_changes(pause))
    try:
        assert os.WIFSTOPPED(os.waitpid(first.pid, os.WUNTRACED)[1])
        before = files_of(project)
        second = run(project, *COMMAND)
        assert second.code == 2
        assert second.err.count("\n") == 1
        assert re.search(
            rf"process {first.pid} on .* runs `finetune weighting tiny_gpt2 17` already", second.err
        )
        assert files_of(project) == before
        # Another stage is not held up.
        assert run(project, "finetune", "tiny_gpt2", "uniform").code == 0
    finally:
        os.kill(first.pid, signal.SIGCONT)
    ended = wait(first)
    finished = {name: found for name, found in files_of(project, *RESULTS).items() if "uniform" not in name}
    assert (ended.code, finished) == (0, uninterrupted[0])


# ---- numbers that are none ------------------------------------------------------------------------


def one_sentence(ended, *needed):
    """Code 2, and beside progress bars one line is all that is said."""
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err
    [said] = [line for line in ended.err.splitlines() if line.startswith("wazn: ")]
    for part in needed:
        assert re.search(part, said), said


def nothing_half_written(project):
    assert list(project.rglob("*.part")) == []
    assert not (project / "models/weighting/tiny_gpt2/17").exists()
    assert not (project / "metrics/finetune/weighting/tiny_gpt2/17.json").exists()


def test_loss_that_is_not_finite_ends_the_stage_and_keeps_the_last_checkpoint(project):
    change(project, learning_rate=0.99, lora={"alpha": 1e9}, checkpoint_every=1)
    for _ in range(2):  # and once more, from that checkpoint
        ended = run(project, *COMMAND)
        one_sentence(
            ended, "not finite at step 3 ", r"learning rate 0\.\d+, rows row-\d+", "Checkpoints are kept"
        )
        assert set(saved(project)) == {1, 2}
        nothing_half_written(project)


def broken_position(project, position):
    """The base model gives NaN for every text that is longer than `position` tokens."""
    path = project / "models/base/tiny_gpt2/model.safetensors"
    state = load_file(path)
    state["transformer.wpe.weight"][position:] = float("nan")
    save_file(state, path, metadata={"format": "pt"})


def test_base_model_with_weights_that_are_no_numbers_names_the_row(project):
    """First the longest, which reaches the broken position; with it those that are padded up to it."""
    broken_position(project, 72)
    one_sentence(run(project, *COMMAND), "not finite at step", r"rows row-7\b")
    nothing_half_written(project)


def test_validation_that_is_not_finite_is_one_sentence(project, scored_table):
    """Of all rows a validation row is the longest."""
    table = scored_table(TRAIN + VALID, TEST)
    table.loc[TRAIN : TRAIN + VALID - 1, "split"] = "valid"
    table.loc[TRAIN + 1, "answer"] = "راجع الطبيب " * 12
    table.to_parquet(project / "data/scored/pairs.parquet", index=False)
    broken_position(project, 80)
    one_sentence(run(project, *COMMAND), "not finite", f"row-{TRAIN + 1}")
    nothing_half_written(project)


# ---- no space, nothing there ----------------------------------------------------------------------


def test_full_disk_at_a_checkpoint_is_one_sentence(project, uninterrupted):
    ended = run(project, *COMMAND, most_bytes=40_000)
    one_sentence(ended, rf"^wazn: {PLACE}/\w+/step-000000002: could not be written \(File too large\)")
    nothing_half_written(project)
    finished_as(uninterrupted[0], project, run(project, *COMMAND), 0)


@pytest.mark.parametrize(
    ("model", "method", "most"),
    [("tiny_gpt2", "lora", 10_000), ("tiny_gpt2", "full", 50_000), ("tiny_qwen2", "lora", 8_200)],
    ids=["adapter", "whole model", "tokenizer"],
)
def test_full_disk_at_the_model_is_one_sentence_and_leaves_nothing(model, method, most, project):
    change(project, checkpoint_every=100, method=method)
    ended = run(project, "finetune", model, "weighting", most_bytes=most)
    one_sentence(ended, rf"^wazn: models/weighting/{model}/17: could not be written \(File too large\)")
    assert list(project.rglob("*.part")) == []
    assert not (project / "models/weighting" / model / "17").exists()
    assert not (project / f"metrics/finetune/weighting/{model}/17.json").exists()


def test_full_disk_at_a_curve_is_one_sentence(project):
    ended = run(project, *COMMAND, most_bytes=150)
    one_sentence(
        ended, r"^wazn: metrics/finetune/weighting/tiny_gpt2/17: could not be written \(File too large\)"
    )
    nothing_half_written(project)


def test_checkpoints_that_have_no_place_are_one_sentence(project):
    (project / ".checkpoints").write_text("a file")
    one_sentence(run(project, *COMMAND), rf"{PLACE}.*: could not be written \(Not a directory\)")
    nothing_half_written(project)


def test_removed_base_model_is_one_sentence(project):
    shutil.rmtree(project / "models/base/tiny_gpt2")
    one_sentence(run(project, *COMMAND), r"models/base/tiny_gpt2: no model there; run `dvc repro`")
    nothing_half_written(project)


def test_qlora_without_a_gpu_is_one_sentence(project):
    change(project, method="qlora")
    one_sentence(run(project, *COMMAND), r"finetune.method: qlora takes an NVIDIA GPU.*; set it to lora")
    nothing_half_written(project)


# ---- under DVC ------------------------------------------------------------------------------------


@pytest.fixture
def pipeline(project):
    """The project with the code, and of dvc.yaml the stages that hash it and fine-tune."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    stages["finetune"]["matrix"] = {"model": ["tiny_gpt2"], "arm": ["weighting"], "seed": [17]}
    needed = {name: stages[name] for name in ("code", "finetune")}
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": needed}), encoding="utf-8")
    shutil.copy(ROOT / ".dvcignore", project)
    shutil.copytree(ROOT / "pipeline", project / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    change(project, epochs=40)
    for command in (
        ("git", "init", "-q"),
        ("dvc", "init", "-q"),
        ("dvc", "config", "core.analytics", "false"),
    ):
        assert start(project, *command).wait(60) == 0
    return project


def holder(folder):
    """The process that holds the lock."""
    return int(re.match(r"process (\d+) on ", (folder / PLACE / "lock").read_text(encoding="utf-8"))[1])


def repro(folder):
    process = start(folder, "dvc", "repro")
    out, err = process.communicate(timeout=200)
    return process.returncode, out + err


def children(pid):
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(number) for number in listed.stdout.split()]


def until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


@pytest.mark.slow
def test_command_killed_under_dvc_goes_on_by_repro(pipeline):
    whole = shutil.copytree(pipeline, pipeline.parent / "whole")
    assert repro(whole)[0] == 0
    for steps in (20, 90):
        dvc = start(pipeline, "dvc", "repro")
        until(lambda n=steps: max(saved(pipeline), default=0) >= n)
        os.kill(holder(pipeline), signal.SIGKILL)
        assert dvc.wait(60) != 0
    done = max(saved(pipeline))
    code, said = repro(pipeline)
    assert code == 0, said
    assert f"goes on after step {done} of 160" in said
    assert files_of(pipeline, *RESULTS) == files_of(whole, *RESULTS)
    assert "didn't change" in repro(pipeline)[1]


@pytest.mark.slow
def test_command_that_outlives_dvc_keeps_a_second_repro_away(pipeline):
    whole = shutil.copytree(pipeline, pipeline.parent / "whole")
    assert repro(whole)[0] == 0
    dvc = start(pipeline, "dvc", "repro")
    until(lambda: max(saved(pipeline), default=0) >= 4)
    pid = holder(pipeline)
    os.kill(pid, signal.SIGSTOP)
    dvc.kill()
    dvc.wait()
    assert Path(f"/proc/{pid}").exists()
    try:
        code, said = repro(pipeline)
        assert code != 0
        assert re.search(rf"process {pid} on .* runs `finetune weighting tiny_gpt2 17` already", said)
        assert "Traceback" not in said
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: "State:\tZ" in status(pid) if status(pid) else True)
    assert (pipeline / "models/weighting/tiny_gpt2/17/adapter_model.safetensors").is_file()
    code, said = repro(pipeline)
    assert code == 0, said
    assert files_of(pipeline, *RESULTS) == files_of(whole, *RESULTS)


def status(pid):
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
