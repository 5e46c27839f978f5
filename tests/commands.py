"""A project to fine-tune in, and its commands in processes that can be killed or starved."""

import contextlib
import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import yaml
from root import ROOT

from pipeline import environment
from pipeline.__main__ import main
from pipeline.commands import profile
from pipeline.config.params import check, load, parse_yaml

# In one epoch 4 steps, in all 12, with a checkpoint after every other but the last.
FINETUNE = {
    "epochs": 3,
    "batch_size": 4,
    "length_window": 2,
    "max_length": 300,
    "learning_rate": 0.02,
    "dtype": "float32",
    "checkpoint_every": 2,
}
TRAIN, VALID, TEST = 14, 5, 6


def lay_out(folder, built, table, **finetune):
    """Make `folder` a project with two minute models and scored pairs of every split."""
    for architecture in ("gpt2", "qwen2"):
        shutil.copytree(built(architecture), folder / "models" / "base" / f"tiny_{architecture}")
    table.loc[TRAIN : TRAIN + VALID - 1, "split"] = "valid"
    (folder / "data" / "scored").mkdir(parents=True)
    table.to_parquet(folder / "data" / "scored" / "pairs.parquet", index=False)
    shutil.copy(ROOT / "params.yaml", folder)
    change(folder, **{**FINETUNE, **finetune})
    return folder


def change(folder, **finetune):
    """Change `finetune` and `resources.finetune` in params.yaml; a mapping adds to what is there."""
    path = folder / "params.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, value in finetune.items():
        resources = values["resources"]["finetune"]
        section = resources if name in resources else values["finetune"]
        section[name] = section[name] | value if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def finetune(model, arm, seed):
    """Fine-tune a model of the present project, in this process."""
    values = load(Path("params.yaml"))
    stage = importlib.import_module("pipeline.stages.finetune")
    stage.run(
        model,
        arm,
        seed,
        finetune=values.finetune,
        entry=values.registry[model],
        weights=values.arm_settings[arm],
        resources=values.resources.finetune,
    )


def paper_params():
    """The parameters of the paper's profile."""
    with contextlib.chdir(ROOT):
        return check(parse_yaml(profile.complete("paper"), "paper"), "paper")


def files_of(folder, *patterns):
    """Every file below, or those that match, with its bytes."""
    found = {path for pattern in patterns or ("**/*",) for path in folder.glob(pattern) if path.is_file()}
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(found)}


def start(folder, *command, **variables):
    """Start a command of the project, on one thread, in a group of its own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PATH": path, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that runs the tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def fork(folder, *arguments, before=lambda: None, most_bytes=None):
    """Fork a process that runs `python -m pipeline` with `arguments` in `folder`: no import to wait for.

    Args:
        before: called in the process first.
        most_bytes: no file may become larger, as on a full disk.

    Returns:
        Its `pid`, and what `wait` needs.
    """
    pipes = [os.pipe() for _ in range(2)]
    pid = os.fork()
    if pid:
        for _, end in pipes:
            os.close(end)
        return SimpleNamespace(pid=pid, pipes=[open(end, encoding="utf-8") for end, _ in pipes])  # noqa: PTH123
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(folder)
        for number, (_, end) in enumerate(pipes, start=1):
            os.dup2(end, number)
        sys.stdout, sys.stderr = (open(n, "w", encoding="utf-8", closefd=False) for n in (1, 2))  # noqa: SIM115
        # As main sets it in a process that it then starts anew.
        os.environ.update(environment.SETTINGS)
        sys.argv = ["pipeline", *arguments]
        before()
        if most_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(process):
    """How a process that `fork` started ended: `code` (negative for a signal), `out`, `err`."""
    out, err = (pipe.read() for pipe in process.pipes)
    for pipe in process.pipes:
        pipe.close()
    code = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
    return SimpleNamespace(code=code, out=out, err=err)


def run(folder, *arguments, **options):
    """Fork, and wait for the end."""
    return wait(fork(folder, *arguments, **options))
