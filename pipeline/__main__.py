"""wazn, or python -m pipeline: one command for each stage, and a few beside them.

Modules are imported when their command runs, so that `--help` and small stages are quick.
"""

import os
import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # A library that is being imported may swallow Ctrl-C, or show where it came; so until a stage begins it
    # ends the process at once.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

import importlib
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline import environment, exits, paths
from pipeline.commands.ask import ask
from pipeline.commands.export import export
from pipeline.commands.push import push
from pipeline.commands.review import app as review_app
from pipeline.commands.run_options import run_cells
from pipeline.config.choices import check_arm, chosen_entry, chosen_seed
from pipeline.config.params import WEIGHTING, load
from pipeline.errors import WaznError
from pipeline.run_lock import run_lock

app = typer.Typer(
    name="wazn",
    help="Severity-aware fine-tuning for Arabic medical text. The stages, in the order of the pipeline; "
    "`dvc repro` runs those that changed. Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(review_app, name="review", rich_help_panel="Beside the stages")

DEFAULT = Path("params.yaml")
ParamsFile = Annotated[Path, typer.Option("--params", help="The parameter file.")]
Seed = Annotated[int | None, typer.Option(help="A seed; without it, the first of `seeds`.")]
ModelName = Annotated[str, typer.Argument(help="A model of the registry in params.yaml.")]
Stage = Annotated[str | None, typer.Argument(help="A stage: list the files that its hash covers.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would take; without MODEL, for all.")]
ArmName = Annotated[str, typer.Argument(help="An arm of params.yaml, such as uniform; or base.")]


def _run(stage: str, *arguments: Any, item: Sequence[str | int | None] = (), **options: Any) -> None:
    """Run a stage, of which no other process may run the same item at the same time.

    Args:
        item: what names one of the stage's matrix, such as arm, model and seed.
    """
    names = [paths.BASE if name is None else str(name) for name in item]
    with run_lock(paths.CHECKPOINTS.joinpath(stage, *names), " ".join([stage, *names])):
        module = importlib.import_module(f"pipeline.stages.{stage}")
        exits.interruptible()
        module.run(*arguments, **options)


def _command(name: str) -> Any:
    module = importlib.import_module(f"pipeline.commands.{name}")
    exits.interruptible()
    return module


def _launch() -> None:
    """Start this command again through the launcher in WAZN_LAUNCH, if it is set."""
    if os.environ.get("WAZN_LAUNCH", "").strip():
        importlib.import_module("pipeline.models.distributed").launch()


@app.command(rich_help_panel="Beside the stages")
def code(stage: Stage = None) -> None:
    """Hash the code of every stage into code.yaml, on which the stages depend."""
    if stage is None:
        _run("code")
    else:
        _command("code").run(stage)


@app.command()
def download(params: ParamsFile = DEFAULT) -> None:
    """Fetch the pairs and the labelled complaints."""
    _run("download", load(params).download)


@app.command()
def normalise(params: ParamsFile = DEFAULT) -> None:
    """Normalise the Arabic, reject what is unusable, split."""
    _run("normalise", load(params).normalise)


@app.command("base_encoder")
def base_encoder(model: ModelName, params: ParamsFile = DEFAULT) -> None:
    """Fetch or build an encoder."""
    values = load(params)
    entry = chosen_entry(values, model)
    _run("base_encoder", model, item=[model], base_encoder=values.base_encoder, entry=entry)


@app.command("train_classifier")
def train_classifier(params: ParamsFile = DEFAULT) -> None:
    """Train the severity classifier and measure it."""
    values = load(params)
    chosen = values.train_classifier
    _run("train_classifier", chosen, encoder_entry=chosen_entry(values, chosen.encoder))


@app.command()
def score(params: ParamsFile = DEFAULT) -> None:
    """Give every pair its severity probabilities."""
    values = load(params)
    _launch()
    _run("score", values.score, values.severity, values.resources.score)


@app.command("base_model")
def base_model(model: ModelName, params: ParamsFile = DEFAULT) -> None:
    """Fetch or build a language model."""
    values = load(params)
    entry = chosen_entry(values, model)
    _run("base_model", model, item=[model], base_model=values.base_model, entry=entry)


@app.command()
def finetune(
    model: Annotated[str | None, typer.Argument(help="A model of the registry in params.yaml.")] = None,
    arm: Annotated[str | None, typer.Argument(help="An arm of params.yaml, such as weighting.")] = None,
    dry_run: DryRun = False,
    effect: Annotated[float | None, typer.Option(help="A difference to plan for by --dry-run.")] = None,
    seed: Seed = None,
    params: ParamsFile = DEFAULT,
) -> None:
    """Fine-tune a language model."""
    values = load(params)
    if effect is not None and (not dry_run or not 0 < abs(effect) < math.inf):
        raise WaznError("--effect is a difference other than 0, and goes with --dry-run")
    if dry_run:
        chosen = {name: chosen_entry(values, name) for name in ([model] if model else values.models)}
        _command("dry_run").run(
            chosen,
            values.seeds,
            arms={name: values.arm_settings[name] for name in values.arms},
            finetune=values.finetune,
            resources=values.resources.finetune,
        )
        _command("trainings_needed").run(values, list(chosen), effect)
        return
    if model is None or arm is None:
        raise WaznError("finetune takes MODEL and ARM, as in: wazn finetune tiny_gpt2 weighting")
    entry = chosen_entry(values, model)
    check_arm(arm, list(values.arm_settings))
    seed = chosen_seed(values, arm, seed)
    _launch()
    _run(
        "finetune",
        model,
        arm,
        seed,
        item=[arm, model, seed],
        finetune=values.finetune,
        entry=entry,
        weights=values.arm_settings[arm],
        resources=values.resources.finetune,
    )


@app.command("embed_references")
def embed_references(params: ParamsFile = DEFAULT) -> None:
    """Encode the reference answers for BERTScore."""
    values = load(params)
    _run(
        "embed_references",
        embed_references=values.embed_references,
        test_rows=values.evaluate.test_rows,
        test_seed=values.evaluate.seed,
        resources=values.resources.evaluate,
    )


@app.command()
def evaluate(model: ModelName, arm: ArmName, seed: Seed = None, params: ParamsFile = DEFAULT) -> None:
    """Answer the test complaints and measure."""
    values = load(params)
    chosen_entry(values, model)
    check_arm(arm, [paths.BASE, *values.arm_settings])
    seed = chosen_seed(values, arm, seed)
    _run(
        "evaluate",
        model,
        arm,
        seed,
        item=[arm, model, seed],
        evaluate=values.evaluate,
        embed_references=values.embed_references,
        resources=values.resources.evaluate,
    )


@app.command()
def report(params: ParamsFile = DEFAULT) -> None:
    """Make the summary, the plots and the page."""
    _run("report", load(params))


app.command("run", rich_help_panel="Beside the stages")(run_cells)


app.command(rich_help_panel="Beside the stages")(ask)
app.command(rich_help_panel="Beside the stages")(export)
app.command(rich_help_panel="Beside the stages")(push)


@app.command(rich_help_panel="Beside the stages")
def inspect(
    text: Annotated[bool, typer.Option("--text", help="Show the examples' text too.")] = False,
    params: ParamsFile = DEFAULT,
) -> None:
    """Say what the data are: rows, rejections, languages, balance, weights."""
    _command("inspect").run(load(params).arm_settings[WEIGHTING], text=text)


@app.command(rich_help_panel="Beside the stages")
def table(
    form: Annotated[str, typer.Option("--format", help="terminal, markdown, csv or latex.")] = "terminal",
    metric: Annotated[
        str, typer.Option(help="A metric of metrics/summary.json or review.json.")
    ] = "bertscore_f1",
    params: ParamsFile = DEFAULT,
) -> None:
    """Lay out the paper's table, ours beside the published."""
    _command("table").run(load(params), form=form, metric=metric)


@app.command(rich_help_panel="Beside the stages")
def profile(
    name: Annotated[str, typer.Argument(help="A file of profiles/, such as paper.")],
    keep_changes: Annotated[
        bool, typer.Option("--keep-changes", help="Leave a params.yaml alone that no profile has written.")
    ] = False,
) -> None:
    """Write the complete params.yaml of a profile, and name the licences of its models."""
    _command("profile").run(name, DEFAULT, keep_changes)


@app.command(rich_help_panel="Beside the stages")
def pin(params: ParamsFile = DEFAULT) -> None:
    """Write commits of the Hub in place of branches and tags."""
    _command("pin").run(params)


@app.command(rich_help_panel="Beside the stages")
def where(params: ParamsFile = DEFAULT) -> None:
    """Say where the page and the summary are."""
    load(params)
    _command("where").run()


def main() -> None:
    """Run the command line."""
    environment.establish()
    # The libraries' notes (a head newly initialised, say) would bury our own lines.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    exits.run(app)


if __name__ == "__main__":
    main()
