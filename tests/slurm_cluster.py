"""A Slurm of this machine alone, as this user, which lives as long as the block."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
_CONFIG = """
ClusterName=wazn
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A job that starts again waits for its old credential to expire: two minutes if not told; 5 s at least.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
KillWait=3
NodeName={host} NodeAddr=127.0.0.1 CPUs=32 RealMemory=100000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=1-0 State=UP
"""


def missing():
    """The first program of Slurm that is not installed, or None."""
    return next((name for name in PROGRAMS if shutil.which(name, path=_path()) is None), None)


@contextmanager
def slurm():
    """Start munge and Slurm; the variables with which its commands find it."""
    with ExitStack() as stack:
        # A socket's name is short.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        # munge wants one that all can enter.
        folder.chmod(0o711)
        control, node = _free_ports(2)
        host = socket.gethostname().partition(".")[0]
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        config = folder / "slurm.conf"
        values = {"host": host, "control": control, "node": node, "user": user, "folder": folder}
        config.write_text(_CONFIG.format(**values), encoding="utf-8")
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "seed-file": "seed",
            "log-file": "log",
        }
        options = [f"--{option}={folder}/munge.{name}" for option, name in files.items()]
        variables = {"SLURM_CONF": str(config), "PATH": _path()}
        for command in (["munged", "--foreground", *options], ["slurmctld", "-D"], ["slurmd", "-D"]):
            log = stack.enter_context((folder / f"{command[0]}.out").open("wb"))
            daemon = subprocess.Popen(
                command, env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT
            )
            stack.callback(_end, daemon)
        deadline = time.monotonic() + 30
        while _said(["sinfo", "--noheader", "--format=%T"], variables) not in ("idle", "idle*"):
            assert time.monotonic() < deadline, [path.read_text() for path in folder.glob("*.out")]
            time.sleep(0.2)
        yield variables
        subprocess.run(["scancel", "--user", user], env=os.environ | variables, check=False)
        deadline = time.monotonic() + 30
        while _said(["squeue", "--noheader"], variables) and time.monotonic() < deadline:
            time.sleep(0.2)


def _path():
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _said(command, variables):
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _end(daemon):
    daemon.terminate()
    daemon.wait(timeout=30)


def _free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
