"""python benchmarks/paper_cost.py

What the trainings and evaluations of the paper's table take on 1, 8 and 64 GPUs. Nothing is measured:
operations are counted, and divided by what a GPU is assumed to do in a second.

Operations: 4 per token and parameter for a training whose base model is frozen (2 forward, 2 backward), 2
for validation, likelihood and generation. Tokens: 69 in a pair, 24 of them the answer's, the mean of 3,250
labelled posts under a vocabulary of 16,000. Rows, epochs and arms: profiles/paper.yaml. Parameters: the
models' cards. The GPU: an A100's peak in bfloat16, of which training and likelihood reach a tenth (a step
of 8 pairs is small for it) and generation, token by token, a hundredth. Each cell takes a minute besides:
start, reading the model, Slurm. Cells are laid on the GPUs as `wazn run` does, each on one. The other
stages are not counted.
"""

import argparse
from pathlib import Path

from pipeline.commands.cells.schedule import makespan
from pipeline.commands.profile import FOLDER, complete
from pipeline.config.params import Params, check
from pipeline.config.yaml_text import parse_yaml

MILLIONS = {
    "aragpt2-base": 135,
    "aragpt2-medium": 370,
    "bloomz-560m": 559,
    "al-atlas-0_5b": 494,
    "gpt2-small-arabic": 124,
    "lfm2-350m": 354,
    "lfm2-700m": 742,
    "dialect-ar-gpt-2021": 135,
    "qwen2_5-0_5b": 494,
    "qwen3-0_6b": 596,
}
TRAINING, FORWARD = 4, 2
# Of BERTScore's encoder, multilingual BERT.
ENCODER = 178


def main() -> None:
    """Print a row for each number of GPUs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--tokens", type=float, default=69, help="of a pair")
    parser.add_argument("--answer", type=float, default=24, help="tokens of it that are the answer's")
    parser.add_argument("--peak", type=float, default=312, help="TFLOP/s of a GPU")
    parser.add_argument("--training-share", type=float, default=0.1, help="of that")
    parser.add_argument("--generation-share", type=float, default=0.01, help="of that")
    parser.add_argument("--overhead", type=float, default=60, help="seconds of a cell besides its work")
    arguments = parser.parse_args()
    path = str(FOLDER / "paper.yaml")
    needs, seconds = cells(check(parse_yaml(complete("paper"), path), path), arguments)
    hours = sum(seconds.values()) / 3600
    trainings = sum(value for cell, value in seconds.items() if cell.startswith("finetune")) / 3600
    print(f"{len(seconds)} cells; {hours:.1f} hours of a GPU, {trainings:.1f} of them fine-tuning")
    for count in arguments.gpus:
        print(f"{count:>3} GPUs: {makespan(needs, count, seconds) / 3600:.1f} hours")


def cells(params: Params, arguments: argparse.Namespace) -> tuple[dict[str, list[str]], dict[str, float]]:
    """The fine-tunings and evaluations with what each needs, and the seconds of each."""
    needs: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    for model in params.models:
        train, test = training(params, model, arguments), evaluation(params, model, arguments)
        needs[f"evaluate_base@{model}"], seconds[f"evaluate_base@{model}"] = [], test
        for arm in params.arms:
            for seed in params.seeds:
                run = f"{model}-{arm}-{seed}"
                needs[f"finetune@{run}"], seconds[f"finetune@{run}"] = [], train
                needs[f"evaluate@{run}"], seconds[f"evaluate@{run}"] = [f"finetune@{run}"], test
    return needs, seconds


def training(params: Params, model: str, arguments: argparse.Namespace) -> float:
    """Seconds of a fine-tuning with its validations."""
    config = params.finetune
    assert config.train_rows and config.valid_rows and config.evaluate_every
    validations = config.epochs / config.evaluate_every + 1
    operations = TRAINING * config.train_rows * config.epochs + FORWARD * config.valid_rows * validations
    return _seconds(operations * arguments.tokens * MILLIONS[model], arguments.training_share, arguments)


def evaluation(params: Params, model: str, arguments: argparse.Namespace) -> float:
    """Seconds of an evaluation: likelihood of test and validation rows, answers, BERTScore."""
    config = params.evaluate
    assert config.test_rows and config.valid_rows
    read = FORWARD * (config.test_rows + config.valid_rows) * arguments.tokens * MILLIONS[model]
    read += FORWARD * config.test_rows * config.max_new_tokens * ENCODER
    written = arguments.tokens - arguments.answer + config.max_new_tokens
    written *= FORWARD * config.test_rows * MILLIONS[model]
    generating = _seconds(written, arguments.generation_share, arguments) - arguments.overhead
    return _seconds(read, arguments.training_share, arguments) + generating


def _seconds(operations: float, share: float, arguments: argparse.Namespace) -> float:
    """For operations in millions."""
    return operations * 1e6 / (arguments.peak * 1e12 * share) + float(arguments.overhead)


if __name__ == "__main__":
    if not Path("dvc.yaml").exists():
        raise SystemExit("run it in the project's folder")
    main()
