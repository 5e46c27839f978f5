"""OMP_NUM_THREADS=2 python benchmarks/finetune.py --method lora --rows 32 --texts posts.xlsx:Post:Plan

Real tokens a second and memory of fine-tuning, beside three ways to do the same: the authors' notebook
(one row at a time, padded to 512 tokens, all in the loss), the Trainer of transformers (a step at once,
padded to its longest row) and TRL's SFTTrainer at its best setting, both with the loss on answers (`pip
install trl`). The models have the shapes of GPT-2 base and Qwen2.5-0.5B (on a CPU 4 of its 24 layers) and
random weights; `--folder` names a real one, such as models/base/gemma3-270m. All see the same token ids in
the same number type, with as many rows to an optimiser step, each in a process of its own, in the
environment that wazn's command line sets (pipeline/environment.py): after a whole pass over the rows to
warm up, every row once. The notebook's steps all take alike, so two are timed after one.

Real tokens are those of prompts, answers and ends of text, not padding. Memory is the peak: on a CPU what
the process held beyond what it did once the model was built, on a GPU all that torch allocated. The share
is of what matrix products reach in the same run, by the fastest way that torch has for them (on a CPU MKL
or oneDNN), and counts useful operations only, alike for all: 6 (4 if frozen) per real token and parameter
outside the embeddings, 6 x layers x width x length² of causal attention per row, 6 (4) x vocabulary x width
per answer token.
Aimed at: at least 10 times the notebook; 1.3 times TRL at its best and at most 0.7 times its memory for all
weights, 1.6 times and 0.4 times for adapters; severity weights cost at most 2 % of the time.
"""

import argparse
import ctypes
import gc
import json
import os
import re
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from itertools import pairwise, product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pipeline import environment

# For every contestant alike; the processes that measure are started with it.
os.environ.update(environment.lacking())

import datasets
import pandas as pd
import psutil
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForSeq2Seq,
    GPT2Config,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from pipeline.config.params import load
from pipeline.config.training import AdapterConfig
from pipeline.models import products
from pipeline.models.lora import add_lora
from pipeline.models.prompt import Example, encode
from pipeline.models.runtime import deterministic, device, fuse_activations, load_tokenizer, torch_dtype
from pipeline.training.dropout import checkpoint_activations
from pipeline.training.trainer import train

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data/sample/complaints.jsonl"
STATUS = Path("/proc/self/status")
END = "<|endoftext|>"
PIECES, LONGEST, LEARNING_RATE = 16_000, 512, 1e-4
AT_ONCE = (1, 2, 4, 8, 16, 32)
LORA_TARGETS = {"gpt2": ["c_attn", "c_proj"], "qwen2": ["q_proj", "v_proj"]}
TRL_SETTINGS = {"": {}, ", grouped": {"grouped": True}, ", padding-free": {"padding_free": True}}
KINDS = ("notebook", "trainer", "trl", "ours")


@dataclass(frozen=True)
class Task:
    """What every contestant is given."""

    model: str
    layers: int
    method: str
    dtype: torch.dtype
    batch_size: int
    tokenizer: PreTrainedTokenizerBase
    examples: list[Example]
    folder: Path | None = None

    def rows(self, grouped: bool = False) -> list[Example]:
        """All rows to warm up on, then all again: shuffled, or grouped by length as Trainer does."""
        generator = torch.Generator().manual_seed(0)
        lengths = [len(example.input_ids) for example in self.examples]
        order = torch.randperm(len(lengths), generator=generator).tolist()
        if grouped:
            # Sorted within 50 steps: what it does with many rows, also where there are few.
            order = get_length_grouped_indices(lengths, self.batch_size, 50, generator)
        return [self.examples[index] for index in [*order, *order]]


@dataclass(frozen=True)
class Found:
    """Seconds of each step, peak bytes, useful operations in all, and a matrix product's a second."""

    steps: list[float]
    memory: int
    useful: float
    rate: float

    @property
    def seconds(self) -> float:
        """Of all steps."""
        return sum(self.steps)

    def best(self, other: "Found") -> "Found":
        """Step by step the faster of two measurements of the same."""
        steps = [min(pair) for pair in zip(self.steps, other.steps, strict=True)]
        return replace(self, steps=steps, rate=max(self.rate, other.rate))


class Watch(TrainerCallback):
    """Notes when each step is done."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called by the trainers, and by `ours`."""
        if device().type == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


Contestant = Callable[[Any, Task, Watch], None]


def main() -> None:
    """Measure every contestant and print tokens a second, memory and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", help="FILE.xlsx:QUESTION_COLUMN:ANSWER_COLUMN (default: data/sample)")
    parser.add_argument("--rows", type=int, help="this many rows, spread evenly (default: all)")
    parser.add_argument("--model", choices=[*LORA_TARGETS, "both"], default="both")
    parser.add_argument("--layers", type=int, help="of qwen2 (default: 4 on a CPU, 24 on a GPU)")
    parser.add_argument(
        "--folder", type=Path, help="a model of its own instead; needs --targets for adapters"
    )
    parser.add_argument("--targets", nargs="+", default=["q_proj", "v_proj"], help="adapters of --folder")
    parser.add_argument("--method", choices=["full", "lora"], default="full")
    parser.add_argument("--dtype", default="auto", help="auto (bfloat16 on a GPU), float32 or bfloat16")
    parser.add_argument("--batch-size", type=int, default=8, help="rows of an optimiser step, for all")
    parser.add_argument(
        "--tokens-per-microbatch", type=int, nargs="*", help="of ours besides params.yaml's (CPU: 4096)"
    )
    parser.add_argument(
        "--at-once", type=int, nargs="+", default=AT_ONCE, help="rows of TRL's, where they fit"
    )
    parser.add_argument("--checkpointing", action="store_true", help="ours computes activations anew")
    parser.add_argument("--contestants", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--weights", action="store_true", help="ours with severity weights as well")
    parser.add_argument(
        "--rounds", type=int, default=1, help="measure so often, the best of each step counts"
    )
    options = parser.parse_args()
    pairs = read_pairs(options.texts)
    if options.rows:
        pairs = [pairs[number * len(pairs) // options.rows] for number in range(options.rows)]
    layers = options.layers or (24 if device().type == "cuda" else 4)
    dtype = torch_dtype(options.dtype)
    texts = [text for pair in pairs for text in pair]
    tokenizer = load_tokenizer(options.folder) if options.folder else byte_level_bpe(texts)
    encoded = [encode(tokenizer, str(row), *pair, 1.0, LONGEST) for row, pair in enumerate(pairs)]
    examples = [example for example in encoded if example is not None]
    shapes = LORA_TARGETS if options.model == "both" else [options.model]
    if options.folder:
        LORA_TARGETS[options.folder.name] = options.targets
        shapes = [options.folder.name]
    for model in shapes:
        task = Task(
            model, layers, options.method, dtype, options.batch_size, tokenizer, examples, options.folder
        )
        compare(task, contestants(options), options.rounds)


def contestants(options: argparse.Namespace) -> dict[str, tuple[str, Contestant]]:
    """Kind and function of each contestant asked for, by name."""
    size, budgets = options.batch_size, options.tokens_per_microbatch
    if budgets is None:
        budgets = [] if device().type == "cuda" else [4096]
    found: dict[str, tuple[str, Contestant]] = {
        "notebook, 1 at once": ("notebook", notebook),
        f"Trainer, {size} at once": ("trainer", of_transformers),
    }
    for rows in [rows for rows in options.at_once if size % rows == 0]:
        for name, more in list(TRL_SETTINGS.items())[: 2 if rows == 1 else 3]:
            found[f"TRL, {rows} at once{name}"] = "trl", partial(of_trl, at_once=rows, **more)
    of_ours = partial(ours, checkpointing=options.checkpointing)
    found["wazn"] = "ours", of_ours
    for budget in budgets:
        found[f"wazn, {budget} tokens at once"] = "ours", partial(of_ours, budget=budget)
    if options.weights:
        found["wazn, severity weights"] = "ours", partial(of_ours, weighted=True)
    return {name: entry for name, entry in found.items() if entry[0] in options.contestants}


def compare(task: Task, todo: dict[str, tuple[str, Contestant]], rounds: int) -> None:
    """Measure `todo` on one model and print the table."""
    tokens = sum(len(example.input_ids) for example in task.examples)
    answers = sum(len(example.input_ids) - example.prompt_length for example in task.examples)
    print(
        f"{task.model}, {task.method}, {task.dtype}, {device().type}, {torch.get_num_threads()} threads: "
        f"{len(task.examples)} rows of {tokens} tokens, {answers} of answers"
    )
    best: dict[str, Found] = {}
    for name, (kind, contestant) in list(todo.items()) * rounds:
        # A process for each, so that its peak is its own.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found = pool.submit(measure, kind, contestant, task, LORA_TARGETS[task.model]).result()
        best[name] = found.best(best.get(name, found))
        rate = max(found.rate for found in best.values())
        print(
            f"    {name:<28} {tokens / best[name].seconds:9.1f} tokens/s "
            f"{best[name].memory / 2**20:8.0f} MB {best[name].useful / best[name].seconds / rate:7.1%} "
            f"of {rate / 1e9:.0f} GFLOP/s",
            flush=True,
        )
    for own, kind in product([name for name in best if todo[name][0] == "ours"], KINDS):
        peers = [name for name in best if todo[name][0] == kind and name != own]
        if peers:
            fastest = min(peers, key=lambda name: best[name].seconds)
            print(
                f"{own}: {best[fastest].seconds / best[own].seconds:.3f} times the speed and "
                f"{best[own].memory / best[fastest].memory:.2f} times the memory of {fastest}"
            )


def measure(kind: str, contestant: Contestant, task: Task, targets: list[str]) -> Found:
    """Build the model and let `contestant` train it; runs in a process of its own."""
    warnings.simplefilter("ignore")
    datasets.disable_progress_bars()
    if kind == "trl":
        # Here, so that its own modules are no part of the memory of training.
        import trl.trainer.sft_trainer  # noqa: F401, PLC0415
    rate = product_rate(task.dtype)
    torch.manual_seed(0)
    kept = torch.float32 if task.method == "full" else task.dtype
    if task.folder:
        model = AutoModelForCausalLM.from_pretrained(task.folder, dtype=kept, local_files_only=True)
    else:
        model = AutoModelForCausalLM.from_config(shape(task), dtype=kept)
    model = model.to(device())
    if task.method == "lora":
        model = add_lora(model, targets, AdapterConfig(r=16, alpha=32.0, dropout=0.05))
    useful = useful_operations(model, task)
    # A file's weights are in memory once they are read.
    assert all(bool(parameter.detach().sum().isfinite()) for parameter in model.parameters())
    before = forget_peak()
    watch = Watch()
    contestant(model, task, watch)
    count = -(-len(task.examples) // task.batch_size)
    steps = [end - start for start, end in pairwise(watch.times[-count - 1 :])]
    steps = [seconds * count / len(steps) for seconds in steps]
    if device().type == "cuda":
        memory = torch.cuda.max_memory_allocated()
    else:
        memory = 1024 * int(re.search(r"VmHWM:\s+(\d+)", STATUS.read_text())[1]) - before
    return Found(steps, memory, useful, max(rate, product_rate(task.dtype)))


def forget_peak() -> int:
    """Give freed memory back to the system, let the peak begin anew, and return what the process holds.

    What is freed while a model is built would else hold what the training needs, and count for nothing.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return psutil.Process().memory_info().rss


def notebook(model: Any, task: Task, watch: Watch) -> None:
    """The authors' recipe: one row at a time, padded to 512 tokens, padding and prompt in the loss."""
    rows = []
    for example in task.rows()[: 3 * task.batch_size]:
        padding = LONGEST - len(example.input_ids)
        tokens = [*example.input_ids, *[task.tokenizer.pad_token_id] * padding]
        mask = [1] * len(example.input_ids) + [0] * padding
        rows.append({"input_ids": tokens, "attention_mask": mask, "labels": tokens})
    with_trainer(Trainer, TrainingArguments, task, 1, rows, model=model, callbacks=[watch])


def of_transformers(model: Any, task: Task, watch: Watch) -> None:
    """The Trainer of transformers: a step at once, padded to its longest row, loss on answers."""
    rows = []
    for example in task.rows():
        tokens, start = list(example.input_ids), example.prompt_length
        rows.append({"input_ids": tokens, "labels": [-100] * start + tokens[start:]})
    collator = DataCollatorForSeq2Seq(task.tokenizer)
    more = {"model": model, "callbacks": [watch], "data_collator": collator}
    with_trainer(Trainer, TrainingArguments, task, task.batch_size, rows, **more)


def of_trl(
    model: Any, task: Task, watch: Watch, at_once: int, grouped: bool = False, padding_free: bool = False
) -> None:
    """TRL's SFTTrainer, loss on completions; gradient checkpointing, its default, is off."""
    from trl import SFTConfig, SFTTrainer  # noqa: PLC0415  # a peer, no dependency

    rows = []
    for example in task.rows(grouped):
        mask = [0] * example.prompt_length + [1] * (len(example.input_ids) - example.prompt_length)
        rows.append({"input_ids": list(example.input_ids), "completion_mask": mask})
    config = partial(
        SFTConfig,
        completion_only_loss=True,
        max_length=None,
        padding_free=padding_free,
        gradient_checkpointing=False,
    )
    more = {"model": model, "callbacks": [watch], "processing_class": task.tokenizer}
    with_trainer(SFTTrainer, config, task, at_once, rows, **more)


def ours(
    model: Any,
    task: Task,
    watch: Watch,
    budget: int | None = None,
    checkpointing: bool = False,
    weighted: bool = False,
) -> None:
    """The loop of the stage `finetune` at its default parameters; two epochs, the first to warm up."""
    deterministic(0)
    fuse_activations(model)
    products.use_onednn(model)
    if checkpointing:
        checkpoint_activations(model)
    examples = task.examples
    if weighted:
        weights = torch.empty(len(examples)).uniform_(0.5, 1.5).tolist()
        examples = [replace(one, weight=weight) for one, weight in zip(examples, weights, strict=True)]
    params = load(ROOT / "params.yaml")
    changes = {"epochs": 2, "batch_size": task.batch_size, "learning_rate": LEARNING_RATE}
    config, resources = params.finetune.model_copy(update=changes), params.resources.finetune
    if budget:
        resources = resources.model_copy(update={"tokens_per_microbatch": budget})
    with redirect_stderr(StringIO()):
        for _ in train(model, examples, config, resources, 17, name="ours", dtype=task.dtype):
            watch.on_step_end()


def with_trainer(
    kind: type[Trainer],
    config: Callable[..., TrainingArguments],
    task: Task,
    at_once: int,
    rows: Any,
    **more: Any,
) -> None:
    """Train on `rows` in their order by the recipe of `ours`, without logs and checkpoints."""
    with tempfile.TemporaryDirectory() as scratch:
        given = config(
            output_dir=scratch,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=task.batch_size // at_once,
            num_train_epochs=1,
            learning_rate=LEARNING_RATE,
            train_sampling_strategy="sequential",
            bf16=task.dtype == torch.bfloat16,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=device().type == "cuda",
        )
        trainer = kind(args=given, train_dataset=datasets.Dataset.from_list(rows), **more)
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def product_rate(dtype: torch.dtype) -> float:
    """Floating-point operations a second of the fastest of ten matrix products, each way that there is."""
    size = 8192 if device().type == "cuda" else 2048
    left, right = torch.randn(2, size, size, device=device()).to(dtype)
    watch = Watch()
    watch.on_step_end()
    for _ in range(10):
        torch.mm(left, right)
        watch.on_step_end()
        if products.usable(left, right):
            products.product(left, right)
            watch.on_step_end()
    return 2 * size**3 / min(end - start for start, end in pairwise(watch.times))


def useful_operations(model: Any, task: Task) -> float:
    """Floating-point operations that training on every row once needs, as said at the top."""
    config = model.config
    lengths = [len(example.input_ids) for example in task.examples]
    answers = sum(len(example.input_ids) - example.prompt_length for example in task.examples)
    tables = [module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    body = sum(
        parameter.numel() * (6 if parameter.requires_grad else 4)
        for parameter in model.parameters()
        if all(parameter is not table for table in tables)
    )
    attention = 6 * config.num_hidden_layers * config.hidden_size * sum(length**2 for length in lengths)
    head = (6 if tables[0].requires_grad else 4) * config.vocab_size * config.hidden_size
    return body * sum(lengths) + attention + head * answers


def shape(task: Task) -> GPT2Config | Qwen2Config:
    """GPT-2 base as AraGPT2 has it, or Qwen2.5-0.5B with `task.layers` layers."""
    ends = {name: task.tokenizer.eos_token_id for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    if task.model == "gpt2":
        return GPT2Config(vocab_size=64_000, **ends)
    return Qwen2Config(
        vocab_size=151_936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=task.layers,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        **ends,
    )


def byte_level_bpe(texts: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of 16,000 pieces trained on `texts`; padding is the end of text, as in the notebooks."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=END, pad_token=END)


def read_pairs(where: str | None) -> list[tuple[str, str]]:
    """Questions and answers."""
    if where is None:
        rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
        return [(row["question"], row["answer"]) for row in rows]
    path, question, answer = where.rsplit(":", 2)
    table = pd.read_excel(path)[[question, answer]].dropna().astype(str)
    return list(table.itertuples(index=False, name=None))


if __name__ == "__main__":
    main()
