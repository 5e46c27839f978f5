import copy
import csv
import json
import os
import subprocess

import pytest
import yaml
from imports import ROOT

from pipeline.commands import table
from pipeline.errors import WaznError

DEFAULT = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
PAPER = yaml.safe_load((ROOT / "profiles" / "paper.yaml").read_text(encoding="utf-8"))
PRESETS = PAPER["presets"]
BASE, CE, MILD, STRONG, BALANCED = range(5)


def git(*arguments, given=None):
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    done = subprocess.run(
        ["git", *identity, *arguments], input=given, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder under git, with one commit and without results."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "start")
    return tmp_path


def params(profile=PAPER, **changes):
    """Parameters of a profile, with changes by dotted key."""
    values = copy.deepcopy(profile)
    for key, value in changes.items():
        *path, last = key.split(".")
        section = values
        for part in path:
            section = section[part]
        section[last] = value
    return values


def summary(**runs):
    """metrics/summary.json of one model."""
    return {"lfm2-350m": {run: {"bertscore_f1": value} for run, value in runs.items()}}


def workspace(values, found):
    (table.Path("metrics")).mkdir(exist_ok=True)
    table.Path("metrics/summary.json").write_text(json.dumps(values), encoding="utf-8")
    lock = {"schema": "2.0", "stages": {"report": {"params": {"params.yaml": found}}}}
    table.Path("dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")


def experiment(name, found, values, of=None, second=0):
    """A DVC experiment as a reference to a commit, made at this second."""
    files = {"params.yaml": None if found is None else yaml.safe_dump(found, allow_unicode=True)}
    entries = ""
    if values is not None:
        blob = git("hash-object", "-w", "--stdin", given=json.dumps(values))
        tree = git("mktree", given=f"100644 blob {blob}\tsummary.json\n")
        entries += f"040000 tree {tree}\tmetrics\n"
    if files["params.yaml"] is not None:
        blob = git("hash-object", "-w", "--stdin", given=files["params.yaml"])
        entries += f"100644 blob {blob}\tparams.yaml\n"
    of = of or git("rev-parse", "HEAD")
    os.environ["GIT_COMMITTER_DATE"] = f"{1_700_000_000 + second} +0000"
    try:
        commit = git("commit-tree", git("mktree", given=entries), "-p", "HEAD", "-m", name)
    finally:
        del os.environ["GIT_COMMITTER_DATE"]
    git("update-ref", f"refs/exps/{of[:2]}/{of[2:]}/{name}", commit)


def shown(capsys, found=None, **options):
    """Title and figure to cells, and what was said on stderr, from the CSV form."""
    table.run(found or params(), **{"form": "csv", "metric": "bertscore_f1", **options})
    said = capsys.readouterr()
    head, *rows = csv.reader(said.out.splitlines())
    assert head == ["model", "figure", "Base", "CE", "mild", "strong", "balanced"]
    *lines, _ = said.err.splitlines()
    return {(row[0], row[1]): row[2:] for row in rows}, lines


def ours(capsys, found=None):
    cells, lines = shown(capsys, found)
    return cells["LFM2-350M", "ours"], lines


# What is found.


def test_without_results_every_cell_of_ours_is_blank(project, capsys):
    cells, lines = shown(capsys)
    assert cells["LFM2-350M", "ours"] == [""] * 5
    assert cells["LFM2-350M", "difference"] == [""] * 5
    assert cells["LFM2-350M", "published"] == ["63.34", "63.72", "65.24", "64.08", "66.60"]
    assert lines == []


def test_the_workspace_stands_in_the_column_of_its_weights(project, capsys):
    workspace(summary(base=0.61, uniform=0.62, weighting=0.63), params(weighting=PRESETS["strong"]))
    cells, lines = shown(capsys, params(weighting=PRESETS["strong"]))
    assert cells["LFM2-350M", "ours"] == ["61.00", "62.00", "", "63.00", ""]
    assert cells["LFM2-350M", "difference"] == ["-2.34", "-1.72", "", "-1.08", ""]
    assert cells["AraGPT2-Base", "ours"] == [""] * 5
    assert lines == []


def test_edited_weights_do_not_move_what_was_run_before(project, capsys):
    workspace(summary(weighting=0.63), params(weighting=PRESETS["mild"]))
    cells, _ = ours(capsys, params(weighting=PRESETS["strong"]))
    assert cells[MILD] == "63.00"
    assert cells[STRONG] == ""


def test_a_workspace_whose_parameters_were_edited_is_left_out(project, capsys):
    workspace(summary(base=0.61), params())
    cells, lines = ours(capsys, params(**{"finetune.epochs": 9}))
    assert cells == [""] * 5
    assert lines == ["workspace: left out, since it was run with another finetune.epochs"]


def test_results_without_a_record_are_of_the_parameters_as_they_are(project, capsys):
    workspace(summary(base=0.61), params())
    (project / "dvc.lock").unlink()
    cells, _ = ours(capsys, params(**{"finetune.epochs": 9}))
    assert cells[BASE] == "61.00"


def test_experiments_fill_the_columns_of_their_weights_whatever_they_are_called(project, capsys):
    workspace(summary(base=0.61, uniform=0.62, weighting=0.63), params())
    experiment("strong", params(weighting=PRESETS["mild"]), summary(base=0.61, weighting=0.64))
    experiment("quick-one", params(weighting=PRESETS["strong"]), summary(weighting=0.65))
    assert ours(capsys) == (["61.00", "62.00", "64.00", "65.00", "63.00"], [])


def test_the_workspace_comes_before_experiments_and_new_ones_before_old(project, capsys):
    workspace(summary(base=0.61), params())
    mild = params(weighting=PRESETS["mild"])
    experiment("new", mild, summary(base=0.1, weighting=0.64), second=9)
    experiment("old", mild, summary(base=0.2, weighting=0.2, uniform=0.62), second=1)
    cells, _ = ours(capsys)
    assert cells == ["61.00", "62.00", "64.00", "", ""]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seeds", [1]),
        ("finetune.epochs", 9),
        ("evaluate.decoding", "greedy"),
        ("evaluate.test_rows", None),
        ("embed_references.layer", 3),
        ("registry.mbert", {"title": "T", "source": "hub:o/n@main", "lora_targets": None}),
        ("registry.arabert", {"title": "T", "source": "hub:o/n@main", "lora_targets": None}),
        ("severity.source", "classifier"),
    ],
)
def test_an_experiment_of_other_parameters_is_left_out_and_named(project, capsys, key, value):
    experiment("odd", params(**{key: value}), summary(base=0.61))
    cells, [line] = ours(capsys)
    assert cells == [""] * 5
    assert line.startswith(f"experiment odd: left out, since it was run with another {key}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("models", ["lfm2-350m"]),
        ("encoders", ["arabert", "mbert", "more"]),
        ("presets", {}),
        ("report.examples", 0),
        ("registry.more", {"title": "T", "source": "tiny:gpt2", "lora_targets": ["x"]}),
        ("registry.lfm2-700m", {"title": "T", "source": "tiny:gpt2", "lora_targets": ["x"]}),
    ],
)
def test_what_changes_no_figure_leaves_nothing_out(project, capsys, key, value):
    experiment("like", params(**{key: value}), summary(base=0.61))
    cells, lines = ours(capsys)
    assert cells[BASE] == "61.00"
    assert lines == []


def test_a_key_that_only_one_side_has_is_named(project, capsys):
    old = params()
    del old["finetune"]["keep"]
    experiment("old", old, summary(base=0.61))
    assert ours(capsys)[1] == ["experiment old: left out, since it was run with another finetune.keep"]


def test_of_a_model_with_another_entry_only_that_model_is_left_out(project, capsys):
    found = params(**{"registry.lfm2-350m": {**PAPER["registry"]["lfm2-350m"], "lora_targets": ["x"]}})
    both = {"lfm2-700m": {"base": {"bertscore_f1": 0.7}}, **summary(base=0.61)}
    experiment("half", found, both)
    cells, lines = shown(capsys)
    assert cells["LFM2-350M", "ours"] == [""] * 5
    assert cells["LFM2-700M", "ours"][BASE] == "70.00"
    assert lines == [
        "experiment half: lfm2-350m left out, since it was run with another registry.lfm2-350m"
    ]


def test_weights_of_no_preset_have_no_column_and_are_named(project, capsys):
    weights = {**PRESETS["mild"], "alpha": 0.1}
    experiment("mild", params(weighting=weights), summary(base=0.61, weighting=0.64))
    cells, lines = ours(capsys)
    assert cells == ["61.00", "", "", "", ""]
    assert lines == ["experiment mild: no column for its weighting, which is none of the presets"]


def test_an_experiment_of_another_commit_is_used_and_named(project, capsys):
    experiment("old", params(), summary(base=0.61), of="ab" * 20)
    cells, [line] = ours(capsys)
    assert cells[BASE] == "61.00"
    assert line == "experiment old: run on commit abababa, whose code may not be that of HEAD"


@pytest.mark.parametrize(("found", "values"), [(None, summary(base=0.6)), (params(), None)])
def test_an_experiment_without_results_is_named(project, capsys, found, values):
    experiment("broken", found, values)
    cells, [line] = ours(capsys)
    assert cells == [""] * 5
    assert line.startswith("experiment broken: left out, since it has no ")


def test_the_queue_of_dvc_is_no_experiment(project, capsys):
    experiment("one", params(), summary(base=0.61))
    commit = git("for-each-ref", "--format=%(objectname)", "refs/exps")
    git("update-ref", "-d", git("for-each-ref", "--format=%(refname)", "refs/exps"))
    git("update-ref", "refs/exps/celery/stash", commit)
    git("update-ref", "refs/exps/exec/EXEC_BRANCH", commit)
    assert ours(capsys) == ([""] * 5, [])


@pytest.mark.parametrize("git_there", [True, False])
def test_the_workspace_alone_is_enough(tmp_path, monkeypatch, capsys, git_there):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    if not git_there:
        monkeypatch.setenv("PATH", "")
    workspace(summary(base=0.61), params())
    assert ours(capsys)[0][BASE] == "61.00"


# How it is shown.


def test_models_are_those_that_run_and_then_others_that_were_found(project, capsys):
    experiment("all", params(), {"qwen3-0_6b": {}, "lfm2-700m": {"base": {"bertscore_f1": 0.7}}})
    cells, _ = shown(capsys, params(models=["lfm2-350m"]))
    titles = [title for title, figure in cells if figure == "ours"]
    assert titles == ["LFM2-350M", "LFM2-700M"], "no cell of Qwen3 was found"


def test_a_model_that_the_paper_lacks_has_ours_only(project, capsys):
    cells, _ = shown(capsys, params(DEFAULT))
    assert list(cells) == [("Tiny GPT-2", "ours"), ("Tiny Qwen2", "ours")]


def test_several_seeds_have_a_row_for_their_spread(project, capsys):
    values = {"lfm2-350m": {"uniform": {"bertscore_f1": 0.62, "bertscore_f1_sd": 0.0123}}}
    workspace(values, params())
    cells, _ = shown(capsys)
    assert cells["LFM2-350M", "ours"][CE] == "62.00"
    assert cells["LFM2-350M", "sd over seeds"] == ["", "1.23", "", "", ""]
    assert ("LFM2-700M", "sd over seeds") not in cells


def test_other_metrics_stand_as_they_are_without_published_ones(project, capsys):
    values = {"lfm2-350m": {"base": {"nll_critical": 2.34567, "chrf": 20.456}}}
    workspace(values, params())
    cells, _ = shown(capsys, metric="nll_critical")
    assert cells["LFM2-350M", "ours"][BASE] == "2.3457"
    assert {figure for _, figure in cells} == {"ours"}
    assert shown(capsys, metric="chrf")[0]["LFM2-350M", "ours"][BASE] == "20.46"


def test_the_published_table_is_of_the_papers_models_and_presets():
    titles = {PAPER["registry"][model]["title"] for model in PAPER["models"]}
    published = table._published()
    assert set(published) == titles
    assert published["Qwen3-0.6B"] == {
        "base": 60.43,
        "uniform": 61.40,
        "mild": 62.87,
        "strong": 62.53,
        "balanced": 65.06,
    }


def printed(capsys, form, found=None):
    workspace(summary(base=0.61), found or params())
    table.run(found or params(), form=form, metric="bertscore_f1")
    return capsys.readouterr()


def test_markdown(project, capsys):
    said = printed(capsys, "markdown")
    lines = said.out.splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        *("Model", "", "Base", "CE", "mild", "strong", "balanced")
    ]
    [row] = [line for line in lines if "LFM2-350M" in line]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["LFM2-350M", "ours", "61.00", *[""] * 4]
    assert lines[-2:] == ["", "BERTScore F1 (%) by Multilingual BERT, cased, layer 9; decoding: paper."]
    assert said.err == ""


def test_latex(project, capsys):
    lines = printed(capsys, "latex").out.splitlines()
    assert lines[0] == r"\begin{tabular}{llrrrrr}"
    [row] = [line for line in lines if "LFM2-350M" in line]
    assert [cell.strip() for cell in row.rstrip("\\ ").split("&")] == [
        "LFM2-350M",
        "ours",
        "61.00",
        *[""] * 4,
    ]
    assert lines[-2] == r"\end{tabular}"
    assert lines[-1].startswith("% BERTScore F1")


def test_terminal(project, capsys):
    lines = printed(capsys, "terminal").out.splitlines()
    assert lines[0].split() == ["Model", "Base", "CE", "mild", "strong", "balanced"]
    [place] = [number for number, line in enumerate(lines) if line.startswith("LFM2-350M")]
    assert lines[place].split() == ["LFM2-350M", "ours", "61.00"]
    assert lines[place + 1].split() == ["published", "63.34", "63.72", "65.24", "64.08", "66.60"]
    assert lines[place + 2].split() == ["difference", "-2.34"]


def test_the_encoder_is_named_and_another_than_the_papers_is_marked(project, capsys):
    other = params(**{"embed_references.encoder": "arabert", "seeds": [1, 2]})
    note = printed(capsys, "terminal", other).out.splitlines()[-1]
    assert note == (
        "BERTScore F1 (%) by AraBERT v0.2 base, layer 9, mean over 2 seeds; decoding: paper. The published "
        "figures are not comparable: they are by google-bert/bert-base-multilingual-cased, layer 9."
    )
    layer = printed(capsys, "terminal", params(**{"embed_references.layer": 8})).out.splitlines()[-1]
    assert "not comparable" in layer


def test_without_published_figures_none_are_spoken_of(project, capsys):
    note = printed(capsys, "terminal", params(DEFAULT)).out.splitlines()[-1]
    assert note == "BERTScore F1 (%) by Tiny ModernBERT, layer 1; decoding: greedy."


@pytest.mark.parametrize(("form", "metric"), [("html", "nll"), ("csv", "words")])
def test_what_there_is_not_is_refused(project, form, metric):
    with pytest.raises(WaznError, match=r"^--(format|metric) is one of .*, found '(html|words)'$"):
        table.run(params(), form=form, metric=metric)
