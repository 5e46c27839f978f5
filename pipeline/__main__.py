"""wazn, or python -m pipeline: one command a stage, and a few beside them.

Modules are imported when their command runs, so that `--help` and small stages are quick.
"""

import importlib
import os
import shlex
import shutil
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline import environment
from pipeline.config.params import Params, load
from pipeline.errors import WaznError

app = typer.Typer(
    name="wazn",
    help="Severity-aware fine-tuning for Arabic medical text. The stages, in the order of the pipeline; "
    "`dvc repro` runs those that changed. Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ParamsFile = Annotated[Path, typer.Option("--params", help="The parameter file.")]
Seed = Annotated[int | None, typer.Option(help="A seed; the first of `seeds` if not given.")]
ModelName = Annotated[str, typer.Argument(help="A model of the registry in params.yaml.")]
DEFAULT = Path("params.yaml")


def _stage(name: str) -> Any:
    return importlib.import_module(f"pipeline.stages.{name}")


def _entry(params: Params, model: str) -> Any:
    if model not in params.registry:
        raise WaznError(f"no model '{model}' in registry; it has {', '.join(params.registry)}")
    return params.registry[model]


def _seed(params: Params, seed: int | None) -> int:
    return params.seeds[0] if seed is None else seed


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise WaznError(f"{what} is one of {', '.join(allowed)}, found '{value}'")
    return value


@app.command()
def download(params: ParamsFile = DEFAULT) -> None:
    """Fetch the pairs and the labelled complaints."""
    _stage("download").run(load(params).download)


@app.command()
def normalise(params: ParamsFile = DEFAULT) -> None:
    """Normalise the Arabic, reject what is unusable, split."""
    _stage("normalise").run(load(params).normalise)


@app.command("base_encoder")
def base_encoder(model: ModelName, params: ParamsFile = DEFAULT) -> None:
    """Fetch or build an encoder."""
    values = load(params)
    entry = _entry(values, model)
    _stage("base_encoder").run(model, base_encoder=values.base_encoder, entry=entry)


@app.command("train_classifier")
def train_classifier(params: ParamsFile = DEFAULT) -> None:
    """Train the severity classifier and measure it."""
    _stage("train_classifier").run(load(params).train_classifier)


@app.command()
def score(params: ParamsFile = DEFAULT) -> None:
    """Give every pair its severity probabilities."""
    values = load(params)
    _launch()
    _stage("score").run(values.score, severity=values.severity)


@app.command("base_model")
def base_model(model: ModelName, params: ParamsFile = DEFAULT) -> None:
    """Fetch or build a language model."""
    values = load(params)
    entry = _entry(values, model)
    _stage("base_model").run(model, base_model=values.base_model, entry=entry)


@app.command()
def finetune(
    model: Annotated[str | None, typer.Argument(help="A model of the registry in params.yaml.")] = None,
    loss: Annotated[str | None, typer.Argument(help="uniform (plain cross-entropy) or weighting.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what it would take; without MODEL, for all `models`."),
    ] = False,
    seed: Seed = None,
    params: ParamsFile = DEFAULT,
) -> None:
    """Fine-tune a language model."""
    values = load(params)
    if dry_run:
        chosen = {name: _entry(values, name) for name in ([model] if model else values.models)}
        _command("plan").run(chosen, values.seeds, finetune=values.finetune, weights=values.weighting)
        return
    if model is None or loss is None:
        raise WaznError("finetune takes MODEL and LOSS, as in: wazn finetune tiny_gpt2 weighting")
    entry = _entry(values, model)
    weights = {"uniform": values.uniform, "weighting": values.weighting}
    _one_of("LOSS", loss, tuple(weights))
    _launch()
    _stage("finetune").run(
        model,
        loss,
        _seed(values, seed),
        finetune=values.finetune,
        entry=entry,
        weights=weights[loss],
    )


@app.command("embed_references")
def embed_references(params: ParamsFile = DEFAULT) -> None:
    """Encode the reference answers for BERTScore."""
    values = load(params)
    _stage("embed_references").run(
        embed_references=values.embed_references, test_rows=values.evaluate.test_rows
    )


@app.command()
def evaluate(
    model: ModelName,
    run: Annotated[str, typer.Argument(help="base, uniform or weighting.")],
    seed: Seed = None,
    params: ParamsFile = DEFAULT,
) -> None:
    """Answer the test complaints and measure."""
    values = load(params)
    _entry(values, model)
    _one_of("RUN", run, ("base", "uniform", "weighting"))
    _stage("evaluate").run(
        model,
        run,
        _seed(values, seed),
        evaluate=values.evaluate,
        embed_references=values.embed_references,
    )


@app.command()
def report(params: ParamsFile = DEFAULT) -> None:
    """Make the summary, the plots and the page."""
    values = load(params)
    _stage("report").run(values)


@app.command(rich_help_panel="Beside the stages")
def ask(
    question: Annotated[str, typer.Argument(help="A complaint, in Arabic.")],
    model: Annotated[str, typer.Option(help="A model of the registry in params.yaml.")],
    run: Annotated[str, typer.Option(help="base, uniform or weighting.")] = "weighting",
    seed: Seed = None,
    params: ParamsFile = DEFAULT,
) -> None:
    """Answer one question (research, not advice)."""
    values = load(params)
    _entry(values, model)
    _one_of("--run", run, ("base", "uniform", "weighting"))
    _command("ask").run(
        question,
        model,
        run,
        _seed(values, seed),
        normalise=values.normalise,
        evaluate=values.evaluate,
    )


@app.command(rich_help_panel="Beside the stages")
def inspect(
    text: Annotated[bool, typer.Option("--text", help="Show the examples' text too.")] = False,
    params: ParamsFile = DEFAULT,
) -> None:
    """Say what the data are: rows, rejections, languages, balance, weights."""
    _command("inspection").run(load(params).weighting, text=text)


@app.command(rich_help_panel="Beside the stages")
def sweep(
    queue: Annotated[bool, typer.Option("--queue", help="Hand them to DVC's queue instead.")] = False,
) -> None:
    """Run the presets as DVC experiments."""
    _command("sweep").run(list(load(DEFAULT).presets), queue=queue, params=DEFAULT)


@app.command(rich_help_panel="Beside the stages")
def table(
    form: Annotated[str, typer.Option("--format", help="terminal, markdown, csv or latex.")] = "terminal",
    metric: Annotated[str, typer.Option(help="A metric of metrics/summary.json.")] = "bertscore_f1",
    params: ParamsFile = DEFAULT,
) -> None:
    """Lay out the paper's table, ours beside the published."""
    values = load(params).model_dump(exclude_unset=True)
    _command("report.table").run(values, form=form, metric=metric)


@app.command(rich_help_panel="Beside the stages")
def where(params: ParamsFile = DEFAULT) -> None:
    """Say where the page and the summary are."""
    load(params)
    for path in (Path("report/index.html"), Path("metrics/summary.json")):
        if not path.is_file():
            raise WaznError(f"{path}: not there yet; run `dvc repro`")
        print(f"{path.stem:>8}: {path.resolve().as_uri() if path.suffix == '.html' else path}")


def _launch() -> None:
    """Run this very command through the launcher in WAZN_LAUNCH, say `accelerate launch`, if there is one.

    It becomes this process, so whoever ends this process ends it.
    """
    # Taken out, so that the processes it starts do not launch again.
    launcher = shlex.split(os.environ.pop("WAZN_LAUNCH", ""))
    if not launcher:
        return
    program = shutil.which(launcher[0]) or shutil.which(launcher[0], path=str(Path(sys.executable).parent))
    if program is None:
        raise WaznError(
            f"WAZN_LAUNCH: no program {launcher[0]}; write it as in: accelerate launch --num_processes 4"
        )
    sys.stdout.flush()
    os.execv(program, [program, *launcher[1:], "-m", "pipeline", *sys.argv[1:]])


def _command(name: str) -> Any:
    return importlib.import_module(f"pipeline.{name}")


def main() -> None:
    """Run the command line; a WaznError becomes one line on stderr and exit code 2."""
    environment.establish()
    # The libraries' notes (a head newly initialised, say) would bury our own lines.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        app()
    except WaznError as error:
        print(f"wazn: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
