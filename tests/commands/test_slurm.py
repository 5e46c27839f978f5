"""wazn run --slurm without Slurm: jobs that end as a test says, DVC for real where it matters."""

import json
import os
import pickle
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from dvc.repo import Repo
from dvc_projects import Project
from root import ROOT

from pipeline.commands import run
from pipeline.commands.cells import cluster, slurm
from pipeline.commands.cells.graph import Graph
from pipeline.commands.cells.job import Work
from pipeline.commands.cells.schedule import State
from pipeline.commands.cells.signals import Signals
from pipeline.commands.run_options import run_cells
from pipeline.config.params import load
from pipeline.errors import WaznError


def work(cell, inputs="as they are", outputs=(), commands=("true",)):
    return Work(cell, list(commands), ".", list(outputs), {"DVC_STAGE": cell}, inputs)


class Job:
    """A job as submitit shows it."""

    def __init__(self, cluster, folder, number):
        self.cluster, self.job_id = cluster, number
        self.paths = SimpleNamespace(
            result_pickle=folder / f"{number}_result.pkl", stdout=folder / f"{number}_log.out"
        )

    def exception(self):
        kind, _ = pickle.loads(self.paths.result_pickle.read_bytes())
        return RuntimeError("it failed") if kind == "error" else None

    def result(self):
        return pickle.loads(self.paths.result_pickle.read_bytes())[1]

    def cancel(self, check):
        self.cluster.active.discard(self.job_id)
        self.cluster.cancelled.append(self.job_id)


class Cluster:
    """A queue whose jobs end when a test says so."""

    def __init__(self):
        self.submitted, self.active, self.cancelled, self.answers = {}, set(), [], True

    def submit(self, work, folder):
        folder.mkdir(parents=True)
        job = self.job(folder, str(len(self.submitted) + 1))
        self.submitted[job.job_id] = (work, job)
        self.active.add(job.job_id)
        return job

    def job(self, folder, number):
        return Job(self, folder, number)

    def queued(self):
        return set(self.active) if self.answers else None

    def says(self, number, text):
        self.submitted[number][1].paths.stdout.write_text(text, encoding="utf-8")

    def end(self, number, kind="success", code=0):
        self.submitted[number][1].paths.result_pickle.write_bytes(pickle.dumps((kind, (code, 7.0))))
        self.active.discard(number)


class Judge:
    """What stands for DVC."""

    def __init__(self):
        self.state, self.recorded, self.refusal = "as they are", [], None
        self.cached = set()

    def prepare(self, cell):
        return None if cell in self.cached else work(cell, self.state)

    def inputs(self, cell):
        return self.state

    def record(self, cell, inputs):
        if self.refusal:
            raise WaznError(self.refusal)
        self.recorded.append((cell, inputs))


class Shown:
    def __init__(self):
        self.lines, self.shown = [], []

    def started(self, running):
        self.lines.append(f"{running.cell} {running.place}")

    def running(self, those):
        self.shown = [one.cell for one in those]


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "_ASK", 0)
    monkeypatch.setattr(slurm, "_LAG", -1)  # nothing is late to be seen
    it = SimpleNamespace(cluster=Cluster(), judge=Judge(), shown=Shown())
    it.runner = lambda: slurm.SlurmRunner(it.cluster, it.judge, Signals(), it.shown)
    return it


def only(ended):
    (one,) = ended
    return one


def test_a_cell_is_submitted_watched_and_recorded(world, tmp_path):
    runner = world.runner()
    runner.start("train@a")
    assert world.shown.lines == ["train@a as job 1"]
    assert runner._collect() == []
    world.cluster.says("1", "half of it\n")
    # Where all logs are.
    assert (tmp_path / ".checkpoints/run/train@a.log").read_text(encoding="utf-8") == "half of it\n"
    world.cluster.end("1")
    ended = only(runner.wait())
    assert (ended.cell, ended.state, ended.seconds) == ("train@a", State.DONE, 7.0)
    assert world.judge.recorded == [("train@a", "as they are")]
    assert runner.stop() == []


def test_the_next_run_takes_up_the_jobs_of_the_last_and_submits_none_twice(world, capsys):
    first = world.runner()
    for cell in ("a", "b"):
        first.start(cell)
    assert [ended.state for ended in first.stop()] == [State.LEFT, State.LEFT]
    assert capsys.readouterr().err.startswith("2 jobs left to Slurm; ")
    # One ends while nobody watches.
    world.cluster.end("2")
    second = world.runner()
    for cell in ("a", "b"):
        second.start(cell)
    assert world.shown.lines[2:] == ["a again as job 1", "b again as job 2"]
    assert only(second.wait()).cell == "b"
    world.cluster.end("1")
    assert only(second.wait()).cell == "a"
    assert len(world.cluster.submitted) == 2
    assert len(world.judge.recorded) == 2


def test_a_job_whose_cell_has_changed_is_cancelled_and_submitted_anew(world):
    world.runner().start("a")
    world.judge.state = "others"
    runner = world.runner()
    runner.start("a")
    assert world.cluster.cancelled == ["1"]
    assert world.shown.lines == ["a as job 1", "a as job 2"]
    world.cluster.end("2")
    assert only(runner.wait()).state == State.DONE
    assert world.judge.recorded == [("a", "others")]


def test_the_result_of_a_job_whose_cell_has_changed_is_left_out(world):
    world.runner().start("a")
    world.cluster.end("1")
    world.judge.state = "others"
    world.runner().start("a")
    assert world.cluster.cancelled == []
    assert world.shown.lines == ["a as job 1", "a as job 2"]


def test_what_an_equal_run_has_left_in_the_cache_needs_no_job(world):
    world.judge.cached = {"a"}
    runner = world.runner()
    runner.start("a")
    assert only(runner.wait()).state == State.DONE
    assert world.cluster.submitted == {}


def test_a_command_that_fails_is_told_by_its_log_and_submitted_again_the_next_time(world):
    runner = world.runner()
    runner.start("a")
    world.cluster.says("1", "> x\nwazn: no such column\nERROR: failed to run: x, exited with 2\n")
    world.cluster.end("1", code=2)
    ended = only(runner.wait())
    assert (ended.state, ended.error) == (State.FAILED, "no such column")
    assert world.judge.recorded == []
    world.runner().start("a")
    assert world.shown.lines[-1] == "a as job 2"


KILLED = "slurmstepd: error: *** JOB 1 CANCELLED DUE TO TIME LIMIT ***"


@pytest.mark.parametrize(
    ("log", "error"),
    [
        (f"> x\n{KILLED}\nsubmitit INFO x\nsrun: forcing job termination\n", f"job 1: {KILLED}"),
        (None, "job 1: it has ended, and has left no line"),
    ],
)
def test_a_job_that_ends_without_a_result_has_failed_with_what_slurm_says(log, error, world):
    runner = world.runner()
    runner.start("a")
    if log:
        world.cluster.says("1", log)
    world.cluster.active.clear()
    ended = only(runner.wait())
    assert (ended.state, ended.error) == (State.FAILED, error)


def test_a_job_that_submitit_gives_up_has_failed(world):
    runner = world.runner()
    runner.start("a")
    world.cluster.says(
        "1", "Traceback\nUncompletedJobError: timed-out too many times.\nsrun: error: exit 1\n"
    )
    world.cluster.end("1", kind="error")
    assert only(runner.wait()).error == "job 1: UncompletedJobError: timed-out too many times."


def test_nothing_is_concluded_while_slurm_does_not_answer_or_files_may_be_late(world, monkeypatch):
    runner = world.runner()
    runner.start("a")
    world.cluster.active.clear()
    world.cluster.answers = False
    assert runner._collect() == []
    world.cluster.answers = True
    monkeypatch.setattr(slurm, "_LAG", 60)
    assert runner._collect() == []
    # It was only between two starts.
    world.cluster.active.add("1")
    assert runner._collect() == []
    monkeypatch.setattr(slurm, "_LAG", -1)
    assert runner._collect() == []


def test_outputs_that_are_not_seen_yet_are_waited_for(world, monkeypatch, tmp_path):
    monkeypatch.setattr(slurm, "_LAG", 60)
    monkeypatch.setattr(world.judge, "prepare", lambda cell: work(cell, outputs=[str(tmp_path / "x/out")]))
    runner = world.runner()
    runner.start("a")
    world.cluster.end("1")
    assert runner._collect() == []
    (tmp_path / "x").mkdir()
    (tmp_path / "x/out").touch()
    assert only(runner.wait()).state == State.DONE


def test_what_dvc_refuses_to_record_has_failed(world):
    runner = world.runner()
    runner.start("a")
    world.judge.refusal = "what it depends on has changed"
    world.cluster.end("1")
    ended = only(runner.wait())
    assert (ended.state, ended.error) == (State.FAILED, "what it depends on has changed")


def test_cancel_ends_what_runs_and_keeps_what_has_ended(world, capsys):
    runner = world.runner()
    for cell in ("a", "b"):
        runner.start(cell)
    world.cluster.end("1")
    slurm.cancel(world.cluster)
    assert capsys.readouterr().out == "1 job cancelled\n"
    assert world.cluster.cancelled == ["2"]
    again = world.runner()
    again.start("a")
    assert only(again.wait()).state == State.DONE
    world.cluster.answers = False
    with pytest.raises(WaznError, match=r"^Slurm does not answer"):
        slurm.cancel(world.cluster)


# ---- submission --------------------------------------------------------------------------------


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """A program that takes every job, or says `refuse`."""
    monkeypatch.chdir(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    refusal = "echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 1"
    (programs / "sbatch").write_text(
        f"#!/bin/sh\n[ -e refuse ] && {{ {refusal}; }}\necho Submitted batch job 7\n", encoding="utf-8"
    )
    (programs / "srun").write_text("#!/bin/sh\n", encoding="utf-8")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    return tmp_path


def resources():
    return load(ROOT / "params.yaml").resources.slurm


def test_a_job_asks_for_what_its_kind_of_cell_needs(sbatch):
    queue = cluster.Slurm(resources(), "long")
    job = queue.submit(work("finetune@a-b-1"), sbatch / "gpu")
    assert job.job_id == "7"
    text = (sbatch / "gpu/7_submission.sh").read_text(encoding="utf-8")
    for option in (
        "gpus-per-node=1",
        "cpus-per-task=8",
        "mem=32GB",
        "time=720",
        "partition=long",
        "dependency=singleton",
        "requeue",
        "signal=USR2@90",
    ):
        assert f"#SBATCH --{option}\n" in text
    assert " --cpus-per-task=8 " in text.partition("srun ")[2]
    # What is run on the node is what was prepared here.
    assert job.submission().function == work("finetune@a-b-1")
    assert job.submission()._checkpoint_function().function == work("finetune@a-b-1")
    queue.submit(work("report"), sbatch / "cpu")
    text = (sbatch / "cpu/7_submission.sh").read_text(encoding="utf-8")
    assert "gpus" not in text
    assert "#SBATCH --time=120\n" in text


def test_what_slurm_refuses_is_one_sentence(sbatch, capfd):
    (sbatch / "refuse").touch()
    sentence = r"^Slurm does not take a: sbatch: error: Batch job submission failed: Invalid account$"
    with pytest.raises(WaznError, match=sentence):
        cluster.Slurm(resources(), None).submit(work("a"), sbatch / "a")
    assert capfd.readouterr().err == ""


def test_stages_that_compute_with_a_model_are_stages():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert stages.keys() >= cluster.WITH_GPU


def test_what_is_missing_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WaznError, match=r"^no Slurm here: there is no sbatch"):
        cluster.Slurm(resources(), None)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(WaznError, match=r"^--slurm needs the package submitit; install it"):
        cluster.Slurm(resources(), None)


@pytest.mark.parametrize("options", [{"gpus": 1}, {"time": 5}, {"partition": "x"}, {"cancel": True}])
def test_options_of_slurm_go_with_it(options):
    with pytest.raises(WaznError, match=r"go with --slurm$"):
        run_cells(**options)


def by_slurm(jobs=None, partition=None, gpus=None, minutes=None, dry_run=False, cancel=False):
    params = load(ROOT / "params.yaml")
    run.run_by_slurm(
        params, jobs, partition=partition, gpus=gpus, minutes=minutes, dry_run=dry_run, cancel=cancel
    )


def test_a_dry_run_says_what_each_job_would_ask_for(monkeypatch, capsys):
    needs = {"score": [], "report": ["score"]}
    monkeypatch.setattr(run, "Graph", lambda: SimpleNamespace(needs=lambda: needs, changed=set))
    monkeypatch.setenv("WAZN_LAUNCH", "accelerate launch")  # a job may have several devices
    by_slurm(gpus=4, minutes=30, dry_run=True)
    out = capsys.readouterr().out
    assert out.startswith("2 cells are out of date, or may be; 0 are not. Each is a job of Slurm\n")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[4:]}
    assert rows == {"score": ["4", "8", "32", "30"], "report": ["0", "4", "16", "30"]}


def test_options_win_over_the_variables_of_slurm(monkeypatch):
    monkeypatch.setenv("SBATCH_PARTITION", "other")
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    monkeypatch.setattr(
        run, "Graph", lambda: SimpleNamespace(needs=lambda: {"a": []}, changed=lambda _: set())
    )
    by_slurm(partition="gpu", dry_run=True)
    assert "SBATCH_PARTITION" not in os.environ
    assert os.environ["SBATCH_ACCOUNT"] == "mine"


def test_where_slurm_does_not_answer_nothing_is_touched(world, monkeypatch):
    """DVC would remove the outputs of a cell, and no job would make them again."""
    world.cluster.answers = False
    monkeypatch.setattr(run, "Slurm", lambda *_: world.cluster)
    monkeypatch.setattr(run, "Graph", lambda: pytest.fail("DVC was asked"))
    with pytest.raises(WaznError, match=r"^Slurm does not answer; `squeue` says why$"):
        by_slurm()


# ---- what runs on a node -----------------------------------------------------------------------


@pytest.fixture
def handlers():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_job_runs_as_dvc_would(handlers, tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    (tmp_path / "kept").write_text("of the cache", encoding="utf-8")
    (tmp_path / "hard").hardlink_to(tmp_path / "kept")
    (tmp_path / "soft").symlink_to(tmp_path / "kept")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/old").touch()
    outputs = [str(tmp_path / name) for name in ("hard", "soft", "folder", "none")]
    commands = [
        'echo "$DVC_STAGE $OMP_NUM_THREADS" > hard',
        "cp hard soft; mkdir folder; echo second",
    ]
    cell = Work("a@b", commands, str(tmp_path), outputs, {"DVC_STAGE": "a@b"}, "")
    code, seconds = cell()
    assert code == 0
    assert seconds > 0
    # Links into DVC's cache are replaced, not written through.
    assert (tmp_path / "kept").read_text(encoding="utf-8") == "of the cache"
    assert (tmp_path / "soft").read_text(encoding="utf-8") == "a@b 6\n"
    assert list((tmp_path / "folder").iterdir()) == []
    assert capfd.readouterr().out == f"> {commands[0]}\n> {commands[1]}\nsecond\n"


def test_a_command_that_fails_is_the_last(handlers, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("pipeline.commands.cells.job._MOMENT", 0)
    monkeypatch.setenv("SHELL", "/bin/sh")
    code, _ = Work("a", ["echo wrong; exit 3", "touch more"], str(tmp_path), [], {}, "")()
    assert code == 3
    assert not (tmp_path / "more").exists()
    out = capfd.readouterr().out
    assert out.endswith("wrong\nERROR: failed to run: echo wrong; exit 3, exited with 3\n")


def test_what_slurm_ends_has_not_failed_and_its_warning_reaches_submitit_alone(tmp_path):
    """SIGTERM ends the command, and its job says nothing; SIGUSR2 does not end it."""
    program = (
        "from pipeline.commands.cells import job; job._MOMENT = 0.1; "
        "import signal; signal.signal(signal.SIGUSR2, lambda *_: print('warned', flush=True)); "
        "command = 'touch here; while ! test -e go; do sleep 0.05; done; touch went; sleep 60'; "
        f"print(job.Work('a', [command], {str(tmp_path)!r}, [], {{}}, '')())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"SHELL": "/bin/sh"},
    )
    assert process.stdout.readline().startswith("> touch here")
    while not (tmp_path / "here").exists():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGUSR2)
    assert process.stdout.readline() == "warned\n"
    (tmp_path / "go").touch()
    while not (tmp_path / "went").exists():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.6)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.communicate()[0] == ""


# ---- with DVC ----------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".dvc/tmp/site"))
    (tmp_path / "in").write_text("one", encoding="utf-8")
    Project(
        tmp_path,
        {"copy": {"cmd": "cp in out", "deps": ["in"], "params": ["models"], "outs": ["out"]}},
    )
    return tmp_path


def test_dvc_prepares_a_cell_and_records_what_ran_outside(project):
    (project / "out").write_text("stale", encoding="utf-8")
    graph = Graph()
    prepared = graph.prepare("copy")
    assert not (project / "out").exists()
    assert prepared.commands == ["cp in out"]
    assert prepared.outputs == [str(project / "out")]
    assert prepared.variables == {"DVC_ROOT": str(project), "DVC_STAGE": "copy"}
    assert prepared.inputs == graph.inputs("copy")
    assert Work(**json.loads(json.dumps(vars(prepared)))) == prepared
    with pytest.raises(WaznError, match=r"^DVC: output 'out' does not exist$"):
        graph.record("copy", prepared.inputs)
    (project / "out").write_text("one", encoding="utf-8")
    graph.record("copy", prepared.inputs)
    assert graph.changed(["copy"]) == set()
    assert Repo().status() == {}
    # As in `dvc repro`, a run that is known is not run again.
    (project / "in").write_text("two", encoding="utf-8")
    assert graph.changed(["copy"]) == {"copy"}
    other = graph.prepare("copy")
    assert other.inputs != prepared.inputs
    (project / "in").write_text("one", encoding="utf-8")
    with pytest.raises(WaznError, match=r"^what it depends on has changed"):
        graph.record("copy", other.inputs)
    assert graph.prepare("copy") is None
    assert (project / "out").read_text(encoding="utf-8") == "one"
    assert graph.changed(["copy"]) == set()


def test_a_cell_that_lacks_what_it_needs_has_failed_and_is_not_submitted(project, world):
    (project / "in").unlink()
    (project / "out").write_text("of before", encoding="utf-8")
    world.judge = Graph()
    runner = world.runner()
    runner.start("copy")
    ended = only(runner.wait())
    assert ended.state == State.FAILED
    assert ended.error == "DVC: dependency 'in' does not exist"
    assert world.cluster.submitted == {}
