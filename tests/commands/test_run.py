"""wazn run: the cells that are out of date, several at once, with DVC for real on small stages."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dvc_projects import Project, python, table_of
from root import ROOT

from pipeline.commands.cells import devices, runner
from pipeline.commands.cells.schedule import Ended, Schedule, State, execute, makespan, reached
from pipeline.commands.cells.signals import Signals
from pipeline.errors import WaznError

# Two arms, each trained and evaluated; the report needs all.
NEEDS = {
    "score": [],
    "train-a": ["score"],
    "train-b": ["score"],
    "test-a": ["train-a"],
    "test-b": ["train-b"],
    "report": ["test-a", "test-b"],
}


class Clockwork:
    """A runner whose cells take a time each; it is advanced from one end to the next."""

    def __init__(self, seconds, failing=(), unfinished=()):
        self.seconds, self.failing, self.unfinished = seconds, failing, unfinished
        self.now, self.running, self.started, self.most = 0, {}, [], 0

    def start(self, cell):
        self.started.append(cell)
        self.running[cell] = self.now + self.seconds[cell]
        self.most = max(self.most, len(self.running))

    def wait(self):
        if self.unfinished and set(self.running) & set(self.unfinished):
            raise KeyboardInterrupt
        self.now = min(self.running.values())
        ended = [cell for cell, end in self.running.items() if end == self.now]
        for cell in ended:
            del self.running[cell]
        return [Ended(cell, State.FAILED if cell in self.failing else State.DONE, 1.0) for cell in ended]

    def stop(self):
        ended = [Ended(cell, State.INTERRUPTED) for cell in self.running]
        self.running = {}
        return ended


def states(schedule):
    return {ended.cell: ended.state for ended in schedule.results()}


def carry_out(slots=2, changed=set, **options):
    seconds = dict.fromkeys(NEEDS, 1) | {"train-a": 3}
    clockwork, schedule, noted = Clockwork(seconds, **options), Schedule(NEEDS, slots), []
    execute(schedule, changed, clockwork, noted.append)
    assert clockwork.most <= slots
    return clockwork, schedule, noted


def test_cells_run_as_soon_as_what_they_need_is_done_and_a_slot_is_free():
    clockwork, schedule, noted = carry_out()
    # test-b does not wait for train-a, which takes longer.
    assert clockwork.started == ["score", "train-a", "train-b", "test-b", "test-a", "report"]
    assert set(states(schedule).values()) == {State.DONE}
    assert {ended.cell for ended in noted} == NEEDS.keys()
    assert clockwork.now == 6


def test_with_one_slot_the_order_is_that_of_the_graph():
    clockwork, _, _ = carry_out(slots=1)
    assert clockwork.started == ["score", "train-a", "train-b", "test-a", "test-b", "report"]
    assert clockwork.most == 1


def test_a_failure_stops_only_what_needs_it():
    _, schedule, _ = carry_out(failing=["train-a"])
    assert states(schedule) == {
        "score": State.DONE,
        "train-a": State.FAILED,
        "train-b": State.DONE,
        "test-a": State.NOT_RUN,
        "test-b": State.DONE,
        "report": State.NOT_RUN,
    }


def test_what_is_out_of_date_is_asked_when_what_a_cell_needs_is_done():
    """`train-b` comes out the same, so its evaluation stays; the report does not."""
    asked = []

    def changed(cells):
        asked.append(list(cells))
        return set(cells) - {"test-b"}

    clockwork, schedule, _ = carry_out(changed=changed)
    assert clockwork.started == ["score", "train-a", "train-b", "test-a", "report"]
    assert states(schedule)["test-b"] == State.UP_TO_DATE
    assert asked == [["score"], ["train-a", "train-b"], ["test-b"], ["test-a"], ["report"]]


def test_an_interrupt_ends_what_runs_and_starts_nothing_more():
    schedule = Schedule(NEEDS, 2)
    clockwork = Clockwork(dict.fromkeys(NEEDS, 1), unfinished=["train-a"])
    with pytest.raises(KeyboardInterrupt):
        execute(schedule, set, clockwork, lambda _: None)
    assert states(schedule) == {
        "score": State.DONE,
        "train-a": State.INTERRUPTED,
        "train-b": State.INTERRUPTED,
        "test-a": State.NOT_RUN,
        "test-b": State.NOT_RUN,
        "report": State.NOT_RUN,
    }


def test_a_change_reaches_what_needs_it_and_nothing_else():
    assert reached(NEEDS, {"train-b"}) == {
        "train-b": [],
        "test-b": ["train-b"],
        "report": ["test-b"],
    }
    assert reached(NEEDS, set()) == {}


@pytest.mark.parametrize(("slots", "seconds"), [(1, 60), (2, 40), (3, 40)])
def test_makespan_is_what_the_schedule_takes(slots, seconds):
    assert makespan(NEEDS, slots, dict.fromkeys(NEEDS, 10)) == seconds


def test_makespan_takes_what_has_no_estimate_for_nothing():
    assert makespan(NEEDS, 2, {"train-a": 5, "train-b": 3}) == 5


@pytest.fixture
def gpus(monkeypatch):
    def visible(*names):
        monkeypatch.setattr(devices, "visible_gpus", lambda: list(names))

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(devices, "cpu_count", lambda **_: 8)
    return visible


def test_each_job_has_a_gpu_of_its_own(gpus):
    gpus("0", "3")
    places = devices.slots(None)
    assert [place.variables["CUDA_VISIBLE_DEVICES"] for place in places] == ["0", "3"]
    assert devices.described(places) == "2 at once on 2 GPUs, 4 threads each"


def test_more_jobs_than_gpus_share_them_evenly(gpus):
    gpus("0", "1")
    places = devices.slots(5)
    assert [place.variables["CUDA_VISIBLE_DEVICES"] for place in places] == ["0", "1", "0", "1", "0"]
    assert {place.variables["OMP_NUM_THREADS"] for place in places} == {"1"}
    assert devices.described(places) == "5 at once on 2 GPUs, 1 thread each"


def test_jobs_divide_the_cores_of_a_processor_and_one_has_all(gpus, monkeypatch):
    gpus()
    assert [place.variables for place in devices.slots(2)] == [{"OMP_NUM_THREADS": "4"}] * 2
    assert [place.variables for place in devices.slots(20)] == [{"OMP_NUM_THREADS": "1"}] * 20
    assert [place.variables for place in devices.slots(None)] == [{}]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [place.variables for place in devices.slots(2)] == [{"OMP_NUM_THREADS": "3"}] * 2


@pytest.mark.parametrize("jobs", [0, -2])
def test_fewer_than_one_job_is_a_sentence(gpus, jobs):
    gpus()
    with pytest.raises(WaznError, match=f"^--jobs is a number of cells at once, 1 or more, found {jobs}$"):
        devices.slots(jobs)


def test_devices_are_named_as_the_environment_names_them(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-4f, 7,9")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert devices.visible_gpus() == ["GPU-4f", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.visible_gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert devices.visible_gpus() == ["0", "1"]


@pytest.mark.parametrize(
    ("log", "error"),
    [
        (
            "Running stage 'a':\n> python -m pipeline a\nhalf:  50%|##  |\rwazn: a.csv: no such file\n"
            "ERROR: failed to reproduce 'a': failed to run: python -m pipeline a, exited with 2\n",
            "a.csv: no such file",
        ),
        (
            "> python a\nTraceback (most recent call last):\nValueError: 5\n"
            "ERROR: failed to reproduce 'a': failed to run: python a, exited with 1\n",
            "ValueError: 5",
        ),
        (
            "Running stage 'a':\n> false\n"
            "ERROR: failed to reproduce 'a': failed to run: false, exited with 1\n",
            "failed to run: false, exited with 1",
        ),
        (
            "\x1b[31mERROR\x1b[39m: failed to reproduce 'a': 'a' is busy, it is being blocked by:\n"
            "  (PID 7): dvc repro\n\nIf there are no processes with such PIDs\n",
            "'a' is busy, it is being blocked by: (PID 7): dvc repro",
        ),
        ("", "it was killed"),
    ],
    ids=["wazn", "python", "silent", "busy", "empty"],
)
def test_error_is_the_first_line_that_says_what_is_wrong(log, error, tmp_path):
    (tmp_path / "log").write_text(log, encoding="utf-8")
    assert runner.error_in(tmp_path / "log") == error


def test_progress_is_the_last_state_of_a_bar(tmp_path):
    (tmp_path / "log").write_bytes(b"x\n" * 5000 + "step:  10%|\rstep: 20%|█\r\r\n\x1b[A".encode())
    assert runner.last_line(tmp_path / "log") == "step: 20%|█"
    assert runner.last_line(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_waits_for_the_end_of_what_must_not_be_cut(number, error):
    reached_end = False
    with Signals() as signals, pytest.raises(error) as raised:
        with signals.hold():
            os.kill(os.getpid(), number)
            reached_end = True
        pytest.fail("nothing was raised")
    assert reached_end
    assert number == signal.SIGINT or raised.value.code == 143


def test_later_signals_are_noted_only():
    with Signals() as signals:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.noted == 2


# ---- with DVC ----------------------------------------------------------------------------------


def meeting(first, second):
    """Commands that end only if both run at the same time."""
    wait = "import time; from pathlib import Path; Path('{0}').touch(); {1}; Path('{2}').write_text('x')"
    until = (
        "[time.sleep(0.02) for _ in range(3000) if not Path('{0}').exists()]; assert Path('{0}').exists()"
    )
    return [
        python(wait.format(f"{mine}.here", until.format(f"{other}.here"), mine))
        for mine, other in ((first, second), (second, first))
    ]


@pytest.mark.slow
def test_independent_cells_run_at_once_and_dvc_finds_nothing_to_do(tmp_path):
    one, two = meeting("one", "two")
    project = Project(
        tmp_path,
        {
            "one": {"cmd": one, "outs": ["one"]},
            "two": {"cmd": two, "outs": ["two"]},
            "both": {"cmd": "cat one two > both", "deps": ["one", "two"], "outs": ["both"]},
        },
    )
    out, err = project.run("--jobs", "2")
    assert err == ""
    assert out.startswith("3 cells are out of date, or may be; 0 are not. 2 at once on the CPU, ")
    assert "\r" not in out
    assert "\x1b" not in out
    assert "one: started on CPU; .checkpoints/run/one.log" in out
    assert table_of(out) == {"one": "done", "two": "done", "both": "done"}
    assert project.lock().keys() == {"one", "two", "both"}
    assert project.up_to_date()


@pytest.mark.slow
def test_a_cell_that_fails_stops_only_what_needs_it_and_is_taken_up_again(tmp_path):
    fail = python("import sys; print('wazn: no such column', file=sys.stderr); sys.exit(2)")
    project = Project(
        tmp_path,
        {
            "bad": {"cmd": f"(test -e mended || {fail}) && touch bad", "outs": ["bad"]},
            "after": {"cmd": "cat bad > after", "deps": ["bad"], "outs": ["after"]},
            "good": {"cmd": "touch good", "outs": ["good"]},
        },
    )
    out, _ = project.run("--jobs", "1", code=1)
    assert table_of(out) == {"bad": "failed", "after": "not run", "good": "done"}
    assert "bad: no such column (.checkpoints/run/bad.log)\n" in out
    assert out.splitlines()[-1].startswith("1 failed, 1 not run, 1 done; ")
    (tmp_path / "mended").touch()
    out, _ = project.run("--jobs", "2")
    assert table_of(out) == {"bad": "done", "after": "done"}


@pytest.mark.slow
def test_what_comes_out_the_same_reruns_nothing_after_it(tmp_path):
    project = Project(
        tmp_path,
        {
            "first": {"cmd": 'test -n "$(cat in)"; echo same > first', "deps": ["in"], "outs": ["first"]},
            "second": {"cmd": "cat first > second", "deps": ["first"], "outs": ["second"]},
        },
    )
    (tmp_path / "in").write_text("one", encoding="utf-8")
    project.run()
    (tmp_path / "in").write_text("two", encoding="utf-8")
    out, _ = project.run("--jobs", "2")
    assert out.startswith("2 cells are out of date, or may be; 0 are not")
    assert table_of(out) == {"first": "done"}
    assert out.splitlines()[-1].startswith("1 done, 1 up to date; ")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_all_loses_nothing_and_the_same_command_goes_on(number, code, tmp_path):
    """A stage that goes on from its checkpoint, as those of wazn do."""
    counting = python(
        "import time; from pathlib import Path; state = Path('.checkpoints/count'); "
        "start = int(state.read_text()) if state.exists() else 0; Path('from').write_text(str(start)); "
        "[(state.write_text(str(n)), time.sleep(0.05)) for n in range(start, 10**4) if not start]; "
        "Path('long').write_text('x')"
    )
    project = Project(
        tmp_path,
        {
            "short": {"cmd": "echo x > short", "outs": ["short"]},
            "long": {"cmd": counting, "outs": ["long"]},
            "last": {"cmd": "cat long short > last", "deps": ["long", "short"], "outs": ["last"]},
        },
    )
    process = project.start("--jobs", "2")
    while not process.stdout.readline().startswith("short: done"):
        assert process.poll() is None
    project.written(".checkpoints/count")
    while (tmp_path / ".checkpoints/count").read_text(encoding="utf-8") in ("", "0"):
        time.sleep(0.02)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    assert err.startswith("ending 1 cell; once more kills them\n")
    assert "Traceback" not in err
    assert table_of(out) == {"short": "done", "long": "interrupted", "last": "not run"}
    assert project.lock().keys() == {"short"}
    out, _ = project.run("--jobs", "2")
    assert table_of(out) == {"long": "done", "last": "done"}
    assert int((tmp_path / "from").read_text(encoding="utf-8")) > 0
    assert project.up_to_date()


@pytest.mark.slow
def test_a_second_signal_kills_what_does_not_end(tmp_path):
    stubborn = python(
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); open('pid', 'w').write('x'); "
        "time.sleep(1000)"
    )
    project = Project(tmp_path, {"stubborn": {"cmd": stubborn, "outs": ["out"]}})
    process = project.start()
    project.written("pid")
    os.kill(process.pid, signal.SIGINT)
    assert process.stderr.readline() == "ending 1 cell; once more kills them\n"
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 130
    assert table_of(out) == {"stubborn": "interrupted"}


@pytest.mark.slow
def test_on_a_terminal_each_running_cell_has_a_line_with_its_progress(tmp_path):
    talking = python(
        "import time; print('half of it', flush=True); time.sleep(2); open('out', 'w').write('x')"
    )
    project = Project(tmp_path, {"talking": {"cmd": talking, "outs": ["out"]}})
    master, terminal = pty.openpty()
    process = project.start(stdout=terminal, env=project.environment(TERM="xterm", COLUMNS="120"))
    os.close(terminal)
    shown = b""
    while True:
        try:
            if not (piece := os.read(master, 4096)):
                break
        except OSError:  # its other end is closed
            break
        shown += piece
    os.close(master)
    assert process.wait(timeout=60) == 0, shown
    assert re.search(r"talking  on CPU  0:0\d  half of it", shown.decode())
    assert "0 of 1 cells have ended" in shown.decode()


@pytest.mark.slow
def test_another_command_that_holds_the_lock_is_waited_for(tmp_path):
    project = Project(tmp_path, {"one": {"cmd": "touch one", "outs": ["one"]}})
    holding = (
        "import sys, time; from dvc.repo import Repo\n"
        "with Repo().lock:\n    print('held', flush=True)\n    sys.stdin.readline()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", holding],
        cwd=tmp_path,
        env=project.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    process = project.start()
    assert process.stderr.readline() == "another command of DVC holds its lock; waiting for it\n"
    holder.communicate("\n")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert err == ""
    assert table_of(out) == {"one": "done"}


@pytest.mark.slow
def test_a_cell_that_another_dvc_runs_is_named_with_its_process(tmp_path):
    until = "import time; from pathlib import Path; Path('here').touch(); "
    until += "[time.sleep(0.05) for _ in range(2000) if not Path('go').exists()]; Path('one').touch()"
    project = Project(tmp_path, {"one": {"cmd": python(until), "outs": ["one"]}})
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    other = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=tmp_path, env=project.environment(PATH=path)
    )
    project.written("here")
    out, _ = project.run(code=1)
    assert re.search(rf"one: '.*' is busy, it is being blocked by: \(PID {other.pid}\)", out), out
    (tmp_path / "go").touch()
    assert other.wait(timeout=60) == 0
    assert project.up_to_date()


@pytest.mark.slow
def test_each_cell_has_its_threads_its_device_and_this_python(tmp_path):
    tell = python(
        "import json, os, sys; names = ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES', 'DVC_STAGE'); "
        "json.dump({'python': sys.prefix} | {n: os.environ.get(n) for n in names}, open('told', 'w'))"
    )
    project = Project(tmp_path, {"tell": {"cmd": tell, "outs": ["told"]}})
    project.run("--jobs", "2", OMP_NUM_THREADS="5")
    assert json.loads((tmp_path / "told").read_text(encoding="utf-8")) == {
        "OMP_NUM_THREADS": "5",
        "CUDA_VISIBLE_DEVICES": "",
        "DVC_STAGE": "tell",
        # Though PATH names another.
        "python": sys.prefix,
    }


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"WAZN_LAUNCH": "accelerate launch"}, "WAZN_LAUNCH gives one cell several devices"),
        ({"DVC_STAGE": "a"}, "`wazn run` starts DVC, so it cannot be the command of a stage"),
    ],
)
def test_what_cannot_be_is_refused(variables, sentence, tmp_path, monkeypatch):
    from pipeline.commands import run
    from pipeline.config.params import load

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WaznError, match=f"^{sentence}"):
        run.run(load(ROOT / "params.yaml"), jobs=1, dry_run=False)


def test_a_folder_without_dvc_is_one_sentence(tmp_path, monkeypatch):
    from pipeline.commands.cells.graph import Graph

    monkeypatch.chdir(tmp_path)
    with pytest.raises(WaznError, match=r"^no DVC project here"):
        Graph()


def test_what_dvc_cannot_read_is_one_sentence(tmp_path, monkeypatch):
    from pipeline.commands.cells.graph import Graph

    Project(tmp_path, {"one": {"cmd": "touch one", "outs": ["one"]}})
    (tmp_path / "dvc.yaml").write_text("stages: {one: 1}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WaznError, match=r"^DVC: .*dvc.yaml") as raised:
        Graph().needs()
    assert "\n" not in str(raised.value)


def test_the_graph_is_that_of_the_pipeline(monkeypatch):
    from pipeline.commands.cells.graph import Graph

    monkeypatch.chdir(ROOT)
    needs = Graph().needs()
    cells = list(needs)
    assert cells[0] == "code"
    assert cells[-1] == "report"
    assert {"finetune@tiny_gpt2-uniform-17", "code", "score", "embed_references"} <= set(
        needs["evaluate@tiny_gpt2-uniform-17"]
    ) | {"score"}
    for place, cell in enumerate(cells):
        assert set(needs[cell]) <= set(cells[:place])


def test_a_frozen_cell_waits_for_nothing(tmp_path, monkeypatch):
    from pipeline.commands.cells.graph import Graph

    Project(
        tmp_path,
        {
            "one": {"cmd": "touch one", "outs": ["one"]},
            "two": {"cmd": "touch two", "deps": ["one"], "outs": ["two"], "frozen": True},
        },
    )
    monkeypatch.chdir(tmp_path)
    assert Graph().needs()["two"] == []
