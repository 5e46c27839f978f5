import ast
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import pytest
from commands import TEST, TRAIN, VALID, lay_out, start
from safetensors.torch import load_file

from pipeline import exits
from pipeline.config.params import load
from pipeline.errors import WaznError

ROOT = Path(__file__).resolve().parents[1]
STAGES = [
    "download",
    "normalise",
    "base_encoder",
    "train_classifier",
    "score",
    "base_model",
    "finetune",
    "embed_references",
    "evaluate",
    "report",
]
# `review` is a stage and has commands below it; typer lists such a one last.
BESIDE = ["code", "run", "ask", "export", "push", "inspect", "table", "profile", "pin", "where", "review"]
MODEL = load(ROOT / "params.yaml").models[0]


def wazn(*arguments, folder, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1", **variables}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(*arguments, folder, **variables):
    """One line on stderr, exit code 2."""
    done = wazn(*arguments, folder=folder, **variables)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("wazn: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture
def folder(tmp_path):
    """A folder with the project's parameters and nothing else."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def test_help_lists_the_stages_in_the_order_of_the_pipeline_and_the_rest(tmp_path):
    done = wazn("--help", folder=tmp_path)
    assert done.returncode == 0
    listed = done.stdout.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in listed if line] == ["code", *STAGES, *BESIDE[1:]]
    assert all(len(line.split()) > 2 for line in listed if line), "each with a line of its own"


def test_without_arguments_the_help_is_shown(tmp_path):
    done = wazn(folder=tmp_path)
    assert "Commands:" in done.stdout + done.stderr


@pytest.mark.parametrize("command", [*STAGES, *BESIDE])
def test_every_command_has_help(command, tmp_path):
    done = wazn(command, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert f"pipeline {command} " in done.stdout
    assert ("--params" in done.stdout) == (command not in ("code", "run", "push", "profile")), (
        "they take no other file"
    )


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_a_module_that_says_how_it_is_run(stage):
    text = (ROOT / "pipeline" / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    assert f"python -m pipeline {stage}" in ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("command", sorted({*BESIDE, "dry_run"}))
def test_every_command_beside_the_stages_has_its_module(command):
    assert importlib.util.find_spec(f"pipeline.commands.{command}")


def test_help_is_quick_because_nothing_heavy_is_imported():
    code = (
        "import sys, pipeline.__main__; "
        "print(sorted({'torch', 'transformers', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [("download",), ("finetune", MODEL, "uniform"), ("where",)])
def test_a_bad_parameter_file_is_one_line(arguments, folder):
    (folder / "params.yaml").write_text("models: [a\n", encoding="utf-8")
    assert "params.yaml" in refused(*arguments, folder=folder)


def test_another_parameter_file_can_be_given(folder):
    (folder / "other.yaml").write_text("models: 1\n", encoding="utf-8")
    assert "other.yaml" in refused("normalise", "--params", "other.yaml", folder=folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ("base_model",),
        ("base_encoder",),
        ("finetune", "uniform"),
        ("finetune", "--dry-run"),
        ("evaluate", "base"),
    ],
)
def test_an_unknown_model_lists_the_registry(arguments, folder):
    stage, *rest = arguments
    text = refused(stage, "unheard", *rest, folder=folder)
    assert "'unheard'" in text
    assert MODEL in text


def test_an_unknown_arm_lists_those_of_the_file(folder):
    text = refused("finetune", MODEL, "focal", folder=folder)
    assert all(word in text for word in ("uniform", "weighting", "mild", "strong", "'focal'"))


@pytest.mark.parametrize("arm", ["base", "Uniform"])
def test_what_is_no_arm_is_not_trained(arm, folder):
    assert f"'{arm}'" in refused("finetune", MODEL, arm, folder=folder)


@pytest.mark.slow
def test_an_arm_that_a_user_adds_is_known(folder):
    path = folder / "params.yaml"
    mine = "\nmine:\n  alpha: 0.0\n  beta: 1.0\n  gamma: 3.0\n  renormalise: false\n"
    path.write_text(path.read_text(encoding="utf-8") + mine, encoding="utf-8")
    assert f"models/base/{MODEL}" in refused("finetune", MODEL, "mine", folder=folder)


def test_base_is_evaluated_but_not_an_unknown_arm(folder):
    text = refused("evaluate", MODEL, "focal", folder=folder)
    assert all(word in text for word in ("base", "uniform", "weighting", "'focal'"))


def test_ask_refuses_an_unknown_model_and_arm(folder):
    assert "'unheard'" in refused("ask", "صداع", "--model", "unheard", folder=folder)
    assert "'focal'" in refused("ask", "صداع", "--model", MODEL, "--arm", "focal", folder=folder)


def test_code_refuses_an_unknown_stage(folder):
    assert "finetune" in refused("code", "training", folder=folder)


def test_profile_refuses_an_unknown_name(folder):
    assert "no profile 'papr'" in refused("profile", "papr", folder=folder)


@pytest.mark.parametrize("command", ["download", "where"])
def test_outside_the_project_the_folder_is_named_as_the_reason(command, tmp_path):
    assert "project's folder" in refused(command, folder=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("normalise",), "data/raw/"),
        (("report",), "data/scored/pairs.parquet"),
        (("inspect",), "metrics/data.json"),
        (("where",), "report/"),
    ],
)
def test_a_stage_whose_input_is_missing_says_what_to_run(arguments, missing, folder):
    text = refused(*arguments, folder=folder)
    assert missing in text
    assert "dvc repro" in text


def test_a_missing_argument_is_a_usage_error_without_traceback(folder):
    done = wazn("evaluate", MODEL, folder=folder)
    assert done.returncode == 2
    assert "missing argument 'arm'" in done.stderr.lower()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [(), (MODEL,)])
def test_finetune_without_model_or_arm_says_how_it_is_called(arguments, folder):
    assert "finetune takes MODEL and ARM" in refused("finetune", *arguments, folder=folder)


@pytest.mark.slow
def test_dry_run_needs_neither_model_nor_arm(folder):
    """Of all the profile's models none is there: each is said so, and nothing is written."""
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    assert wazn("profile", "paper", folder=folder).returncode == 0
    before = sorted(path.name for path in folder.iterdir())
    done = wazn("finetune", "--dry-run", folder=folder)
    assert done.returncode == 2
    for name in load(folder / "params.yaml").models:
        line = f"{name:<22} models/base/{name}: no model there; run `dvc repro`, which makes it"
        assert line in done.stdout.splitlines()
    assert done.stderr.startswith("wazn: models/base/")
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.slow
def test_stage_goes_through_the_launcher_with_its_own_arguments(folder):
    command = ("finetune", MODEL, "uniform", "--params", "params.yaml")
    done = wazn(*command, folder=folder, WAZN_LAUNCH="echo accelerate 'launch  it'")
    assert done.returncode == 0
    assert done.stdout == f"accelerate launch  it -m pipeline {' '.join(command)}\n"


@pytest.mark.slow
def test_launcher_is_taken_from_beside_python_and_once_only(folder):
    """Python itself is one that starts a single process; PATH has none."""
    name = Path(sys.executable).name
    text = refused("finetune", MODEL, "uniform", folder=folder, WAZN_LAUNCH=name, PATH="")
    assert f"models/base/{MODEL}: no model there" in text


@pytest.mark.slow
def test_launcher_that_is_not_there_is_named(folder):
    for stage in (("finetune", MODEL, "uniform"), ("score",)):
        text = refused(*stage, folder=folder, WAZN_LAUNCH="acelerate launch")
        assert "WAZN_LAUNCH: no program acelerate; write it as in: accelerate launch" in text
    text = refused("normalise", folder=folder, WAZN_LAUNCH="acelerate launch")
    assert "data/raw" in text, "what runs as one process needs no launcher"


@pytest.mark.slow
def test_two_processes_give_the_adapter_of_one(built, scored_table, tmp_path):
    """Qwen2 has no dropout of its own."""
    changes = {"lora": {"dropout": 0.0}, "learning_rate": 0.002}
    alone = lay_out(tmp_path / "alone", built, scored_table(TRAIN + VALID, TEST), **changes)
    both = shutil.copytree(alone, tmp_path / "both")
    command = (sys.executable, "-m", "pipeline", "finetune", "tiny_qwen2", "weighting")
    launch = "accelerate launch --multi_gpu --num_processes 2 --main_process_port 0"
    for folder, variables in ((alone, {}), (both, {"WAZN_LAUNCH": launch})):
        process = start(folder, *command, **variables)
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    one, two = (
        load_file(folder / "models/weighting/tiny_qwen2/17/adapter_model.safetensors")
        for folder in (alone, both)
    )
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert (tensor - two[name]).abs().max() < 1e-6, name
    learnt = [tensor.abs().max() for name, tensor in one.items() if "lora_B" in name]
    assert min(learnt) > 0.001, "they begin at 0"
    assert [path.name for path in (both / ".checkpoints/finetune/weighting/tiny_qwen2/17").iterdir()] == [
        "lock"
    ]
    found, expected = (
        json.loads((folder / "metrics/finetune/weighting/tiny_qwen2/17.json").read_text(encoding="utf-8"))
        for folder in (both, alone)
    )
    for name in ("valid", "gradient_norm"):
        assert found.pop(name) == pytest.approx(expected.pop(name), rel=1e-5)
    assert found == expected


def test_where_shows_page_and_summary(folder):
    for name in ("report/index.html", "metrics/summary.json"):
        (folder / name).parent.mkdir()
        (folder / name).touch()
    done = wazn("where", folder=folder)
    assert done.returncode == 0
    assert (folder / "report" / "index.html").resolve().as_uri() in done.stdout
    assert "metrics/summary.json" in done.stdout


@pytest.fixture
def results(folder):
    """A folder with a summary, so that there is much for `table` to print."""
    (folder / "metrics").mkdir()
    (folder / "metrics/summary.json").write_text("{}", encoding="utf-8")
    return folder


def test_reader_of_the_output_that_has_gone_ends_it_without_a_word(results):
    for unbuffered in ({}, {"PYTHONUNBUFFERED": "1"}):
        process = commands.start(results, sys.executable, "-m", "pipeline", "table", **unbuffered)
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1
        process.stderr.close()


@pytest.mark.parametrize("after", [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.6])
@pytest.mark.slow
def test_ctrl_c_ends_it_without_a_traceback_whenever_it_comes(after, folder):
    (folder / "data/raw").mkdir(parents=True)
    os.mkfifo(folder / "data/raw/sources.json")
    process = commands.start(folder, sys.executable, "-m", "pipeline", "normalise")
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    # Until it has come to our first line, Python itself answers.
    if "init_import_site" not in err and (not err or "__main__.py" in err):
        assert (out, err) == ("", "")
        assert process.returncode == 130


def test_ctrl_c_within_a_stage_has_the_exit_code_of_the_shell(folder):
    """The stage waits for a writer of the named pipe."""
    (folder / "data/raw").mkdir(parents=True)
    os.mkfifo(folder / "data/raw/sources.json")
    process = commands.fork(folder, "normalise")
    lock = folder / ".checkpoints/normalise/lock"
    deadline = time.monotonic() + 60
    while not lock.is_file() or not lock.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    ended = commands.wait(process)
    assert (ended.code, ended.out, ended.err) == (130, "", "")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            PermissionError(13, "Permission denied", "a/b"),
            "a/b: could not be read or written (Permission denied)",
        ),
        (
            OSError(28, "No space left on device"),
            "a file: could not be read or written (No space left on device)",
        ),
        (
            FileNotFoundError(2, "No such file or directory", "x"),
            "x: could not be read or written (No such file",
        ),
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), "there is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "there is not enough memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"), "there is not enough memory"),
        (
            RuntimeError("histc does not have a deterministic implementation, but you set 'torch"),
            "histc gives no results that repeat on this device; hide it (CUDA_VISIBLE_DEVICES=)",
        ),
        (WaznError("what is wrong"), "what is wrong"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_system_refuses_is_one_line(error, expected, capsys):
    def command():
        raise error

    with pytest.raises(SystemExit) as ended:
        exits.run(command)
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"wazn: {expected}")
    assert err.count("\n") == 1


def test_mistake_in_the_program_keeps_its_traceback():
    def command():
        raise KeyError("x")

    with pytest.raises(KeyError):
        exits.run(command)


def test_terminal_without_arabic_gets_escapes(folder):
    (folder / "params.yaml").write_text("صداع: 1\n", encoding="utf-8")
    text = refused("where", folder=folder, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "\\u0635" in text


def test_sample_that_is_not_there_is_one_line(folder):
    assert "data/sample/complaints.jsonl: could not be read" in refused("download", folder=folder)


def test_windows_is_refused_before_anything_is_imported():
    program = "import sys; sys.platform = 'win32'; import runpy; runpy.run_module('pipeline')"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("wazn runs on Linux and macOS")
    assert done.stderr.count("\n") == 1
