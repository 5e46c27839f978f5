"""Small projects of DVC on which `wazn run` runs, and what it says of them."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import yaml
from dvc.repo import Repo
from root import ROOT


class Project:
    """A small project of DVC, whose stages are given by their commands."""

    command = (sys.executable, "-m", "pipeline", "run")

    def __init__(self, folder, stages):
        self.folder = folder
        Repo.init(str(folder), no_scm=True).close()
        (folder / ".dvc/config").write_text(
            "[core]\n    analytics = false\n    no_scm = true\n", encoding="utf-8"
        )
        shutil.copy(ROOT / "params.yaml", folder)
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")

    def environment(self, **variables):
        # No activated environment: what stages call `python` is that of the running one.
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("WAZN", "DVC"))}
        path = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
        return bare | path | {"DVC_SITE_CACHE_DIR": str(self.folder / ".dvc/tmp/site")} | variables

    def start(self, *options, **popen):
        return subprocess.Popen(
            [*self.command, *options],
            cwd=self.folder,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": self.environment(), **popen},
        )

    def run(self, *options, code=0, **variables):
        process = self.start(*options, env=self.environment(**variables))
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, out + err
        return out, err

    def lock(self):
        return yaml.safe_load((self.folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]

    def written(self, name, timeout=60):
        """Wait for a file."""
        deadline = time.monotonic() + timeout
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, name
            time.sleep(0.02)

    def up_to_date(self):
        out, _ = self.run()
        return out == "every cell is up to date\n"


def python(code):
    return f'python -c "{code}"'


def table_of(out):
    """State of each cell in the table at the end."""
    rows = out.split("-----\n", 1)[1].split("\n\n", 1)[0].splitlines()
    return {row.split()[0]: re.split(r" {2,}", row)[1].strip() for row in rows}
