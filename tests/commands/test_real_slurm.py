"""wazn run --slurm on a real Slurm of this machine, which these tests start and stop."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest
import slurm_cluster
from dvc_projects import Project, python, table_of
from root import ROOT

from pipeline.environment import SETTINGS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        slurm_cluster.missing() is not None, reason=f"Slurm is not installed: no {slurm_cluster.missing()}"
    ),
]
# Asks as in production, but more often, since here a job waits for no other and files are seen at once.
DRIVER = (
    "from pipeline.commands.cells import slurm; slurm._ASK, slurm._LAG = 1, 3; "
    "from pipeline.__main__ import main; main()"
)


@pytest.fixture(scope="module")
def cluster():
    with slurm_cluster.slurm() as variables:
        yield variables


@pytest.fixture
def project(cluster, tmp_path):
    class OnSlurm(Project):
        command = (sys.executable, "-c", DRIVER, "run", "--slurm")

        def environment(self, **variables):
            path = {"PYTHONPATH": f"{ROOT}:{':'.join(path for path in sys.path if path)}"}
            values = super().environment(**path, **cluster, **SETTINGS, **variables)
            return {name: value for name, value in values.items() if name != "OMP_NUM_THREADS"}

        def do(self, *command):
            return subprocess.run(
                command, env=self.environment(), capture_output=True, text=True, check=True, cwd=tmp_path
            ).stdout

        def dvc_has_nothing_to_do(self):
            status = self.do(sys.executable, "-m", "dvc", "status")
            done = self.do(sys.executable, "-m", "dvc", "repro")
            return "up to date" in status and "Running stage" not in done

    return lambda stages: OnSlurm(tmp_path, stages)


COUNTING = python(
    "import time; from pathlib import Path; state = Path('.checkpoints/count'); "
    "start = int(state.read_text() or 0) if state.exists() else 0; "
    "Path('starts').open('a').write(f'{start} '); "
    "enough = Path('enough').exists; "
    "[(state.write_text(str(n)), time.sleep(0.1)) for n in range(start, 10**5) if not enough()]; "
    "Path('long').write_text('x')"
)


def counted(folder, least):
    deadline, path = time.monotonic() + 120, folder / ".checkpoints/count"
    while not path.exists() or int(path.read_text(encoding="utf-8") or 0) < least:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(path.read_text(encoding="utf-8") or 0)


def test_cells_run_as_jobs_and_dvc_finds_nothing_to_do(project, tmp_path):
    tell = python(
        "import json, os; names = ('OMP_NUM_THREADS', 'DVC_STAGE', 'SLURM_JOB_NAME'); "
        "json.dump({n: os.environ.get(n) for n in names}, open('told', 'w'))"
    )
    fail = python("import sys; print('wazn: no such column', file=sys.stderr); sys.exit(2)")
    here = project(
        {
            "tell": {"cmd": tell, "outs": ["told"]},
            "wazn": {"cmd": "python -m pipeline code score > files", "outs": ["files"]},
            "read": {"cmd": "mkdir folder; cp told folder", "deps": ["told"], "outs": ["folder"]},
            "bad": {"cmd": f"(test -e mended || {fail}) && touch bad", "outs": ["bad"]},
            "after": {"cmd": "cat bad > after", "deps": ["bad"], "outs": ["after"]},
        }
    )
    out, err = here.run("--partition", "main", code=1)
    assert err == ""
    assert table_of(out) == {
        "tell": "done",
        "read": "done",
        "wazn": "done",
        "bad": "failed",
        "after": "not run",
    }
    # The same Python, whatever is on PATH.
    assert "pipeline/stages/score.py" in (tmp_path / "files").read_text(encoding="utf-8")
    assert "bad: no such column (.checkpoints/run/bad.log)\n" in out
    assert re.search(r"read: started as job \d+; \.checkpoints/run/read\.log\n", out)
    told = json.loads((tmp_path / "folder/told").read_text(encoding="utf-8"))
    assert told["OMP_NUM_THREADS"] == "4"
    assert told["DVC_STAGE"] == "tell"
    assert re.fullmatch(r"tell\.[0-9a-f]{6}", told["SLURM_JOB_NAME"])
    (tmp_path / "mended").touch()
    out, _ = here.run()
    assert table_of(out) == {"bad": "done", "after": "done"}
    assert here.dvc_has_nothing_to_do()


def test_a_job_outlives_the_submitting_side_and_starts_again_when_preempted_or_out_of_time(
    project, tmp_path
):
    here = project({"long": {"cmd": COUNTING, "outs": ["long"]}})
    process = here.start()
    counted(tmp_path, 5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert err.startswith("1 job left to Slurm; ")
    assert table_of(out) == {"long": "left running"}
    job = re.search(r"as job (\d+)", out)[1]
    process = here.start()
    assert process.stdout.readline().startswith("1 cells are out of date")
    assert process.stdout.readline() == f"long: started again as job {job}; .checkpoints/run/long.log\n"
    before = counted(tmp_path, 10)
    # As Slurm preempts a job, and then as it warns one whose time is nearly up.
    here.do("scontrol", "requeue", job)
    starts = wait_for_starts(tmp_path, 2)
    assert starts[1] >= before
    before = counted(tmp_path, starts[1] + 5)
    here.do("scancel", "--signal=USR2", job)
    starts = wait_for_starts(tmp_path, 3)
    assert starts[2] >= before
    (tmp_path / "enough").touch()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert table_of(out) == {"long": "done"}
    assert here.dvc_has_nothing_to_do()


def wait_for_starts(folder, count):
    deadline = time.monotonic() + 120
    while len(starts := (folder / "starts").read_text(encoding="utf-8").split()) < count:
        assert time.monotonic() < deadline, starts
        time.sleep(0.1)
    return [int(start) for start in starts]


def test_what_ended_while_nobody_watched_is_recorded_and_what_is_cancelled_has_failed(project, tmp_path):
    here = project(
        {
            "long": {"cmd": COUNTING, "outs": ["long"]},
            "other": {"cmd": "touch here; sleep 1000; touch other", "outs": ["other"]},
        }
    )
    process = here.start()
    counted(tmp_path, 2)
    here.written("here")
    process.kill()
    out, _ = process.communicate(timeout=60)
    other = re.search(r"other: started as job (\d+)", out)[1]
    (tmp_path / "enough").touch()
    while (tmp_path / "long").exists() is False:
        time.sleep(0.1)
    here.do("scancel", other)
    out, err = here.run(code=1)
    assert table_of(out) == {"long": "done", "other": "failed"}, err
    assert re.search(r"other: job \d+: .*CANCELLED", out)
    assert (tmp_path / "starts").read_text(encoding="utf-8") == "0 "
    process = here.start()
    here.written("here")
    assert process.stdout.readline().startswith("1 cells")
    assert "other: started as job" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    out, _ = here.run("--cancel")
    assert out == "1 job cancelled\n"
    assert here.run("--cancel")[0] == "0 jobs cancelled\n"


def test_what_slurm_refuses_is_one_sentence(project):
    here = project({"one": {"cmd": "touch one", "outs": ["one"]}})
    _, err = here.run("--partition", "none", code=2)
    assert err.startswith("wazn: Slurm does not take one: ")
    assert "nvalid partition" in err
    assert err.count("\n") == 1
