"""OMP_NUM_THREADS=2 python benchmarks/finetune.py --rows 64 --texts posts.xlsx:Post:Plan

Real tokens a second and memory of fine-tuning, beside three ways to do the same: the authors' notebook (one
row at a time, padded to 512 tokens, loss on everything), the Trainer of transformers (padded to the longest
of a batch) and TRL's SFTTrainer at its best batch size, both with the loss on answers. `pip install trl`
first: nothing else needs it. Models have random weights in the shape of GPT-2 base and of Qwen2.5-0.5B (which
has 4 of its 24 layers on a CPU); all contestants see the same token ids, in the same number type, with as many
rows to an optimiser step, each in a process of its own. After a step to warm up, every row is trained on once.

Real tokens are those of prompts, answers and ends of text, not padding. Memory is the peak: on a CPU what the
process held beyond what it did once the model was built, on a GPU what torch allocated, model included.
The last column is the share of this machine's own matrix-product rate that useful work reaches, counted alike
for all: 6 operations per parameter (4 if it is frozen; embeddings apart) and real token, 6 x layers x width x
length² of causal attention per row, and 6 (4) x vocabulary x width per answer token.
Aimed at: at least 10 times the notebook and 1.3 times the best of TRL, in at most 0.7 times its memory; 60 % of
the rate; severity weights cost at most 2 % of the time.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import datasets
import pandas as pd
import psutil
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForSeq2Seq,
    GPT2Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from pipeline.training.batching import optimiser_steps
from pipeline.training.lora import add_lora
from pipeline.training.prompt import Example, encode
from pipeline.training.runtime import deterministic, device, torch_dtype
from pipeline.training.trainer import Recipe, train

SAMPLE = Path(__file__).resolve().parents[1] / "data/sample/complaints.jsonl"
END = "<|endoftext|>"
PIECES, LONGEST, LEARNING_RATE = 16_000, 512, 1e-4
MICRO_BATCHES = (1, 2, 4, 8, 16, 32)
LORA_TARGETS = {"gpt2": ["c_attn", "c_proj"], "qwen2": ["q_proj", "v_proj"]}


@dataclass(frozen=True)
class Task:
    """What every contestant is given; the rows of the first step are there twice, to warm up on."""

    model: str
    layers: int
    method: str
    dtype: str
    batch_size: int
    tokenizer: PreTrainedTokenizerFast
    examples: list[Example]

    def ordered(self, grouped: bool) -> list[Example]:
        """A shuffle, or the Trainer's grouping by length: sorted within 50 steps, as on a large data set."""
        generator = torch.Generator().manual_seed(0)
        lengths = [len(example.tokens) for example in self.examples]
        order = torch.randperm(len(lengths), generator=generator).tolist()
        if grouped:
            order = get_length_grouped_indices(lengths, self.batch_size, 50, generator)
        return [self.examples[index] for index in [*order[: self.batch_size], *order]]


class Watch(TrainerCallback):
    """Measures from the end of the first step to the end of the last."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called by the Trainer, and by `ours`, when a step is done."""
        if device().type == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


@dataclass(frozen=True)
class Found:
    """Seconds over all rows, peak bytes, useful floating-point operations, and those of matrix products a second."""

    seconds: float
    memory: int
    useful: float
    rate: float


Contestant = Callable[[Any, Task, Watch], None]


def main() -> None:
    """Measure every contestant and print tokens a second, memory and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", help="FILE.xlsx:QUESTION_COLUMN:ANSWER_COLUMN (default: data/sample)")
    parser.add_argument("--rows", type=int, help="this many rows, spread evenly (default: all)")
    parser.add_argument("--model", choices=["gpt2", "qwen2", "both"], default="both")
    parser.add_argument("--layers", type=int, help="of qwen2 (default: 4 on a CPU, 24 on a GPU)")
    parser.add_argument("--method", choices=["full", "lora"], default="full")
    parser.add_argument(
        "--batch-size", type=int, default=8, help="rows of an optimiser step, of every contestant"
    )
    parser.add_argument("--tokens-per-microbatch", type=int, nargs="+", default=[4096], help="ours")
    parser.add_argument("--dtype", default="auto", help="auto (bfloat16 on a GPU), float32 or bfloat16")
    kinds = ["notebook", "trainer", "trl", "ours"]
    parser.add_argument("--contestants", choices=kinds, nargs="+", default=kinds)
    parser.add_argument("--weights", action="store_true", help="ours with severity weights as well")
    parser.add_argument(
        "--rounds", type=int, default=1, help="measure all this often, in turn; the best counts"
    )
    options = parser.parse_args()
    texts = read_pairs(options.texts)
    if options.rows:
        texts = [texts[number * len(texts) // options.rows] for number in range(options.rows)]
    layers = options.layers or (4 if device().type == "cpu" else 24)
    tokenizer = byte_level_bpe([text for pair in texts for text in pair])
    encoded = [encode(tokenizer, str(row), *pair, 1.0, LONGEST) for row, pair in enumerate(texts)]
    examples = [example for example in encoded if example is not None]
    for model in ["gpt2", "qwen2"] if options.model == "both" else [options.model]:
        task = Task(model, layers, options.method, options.dtype, options.batch_size, tokenizer, examples)
        compare(task, dict(contestants(options)), options.rounds)


def contestants(options: argparse.Namespace) -> Iterator[tuple[str, Contestant]]:
    """Name and function of each contestant asked for."""
    if "notebook" in options.contestants:
        yield "notebook, padded to 512", notebook
    if "trainer" in options.contestants:
        yield "transformers Trainer, longest of 8", of_transformers
    if "trl" in options.contestants:
        for size in MICRO_BATCHES:
            if options.batch_size % size == 0:
                yield f"TRL, {size} at once", partial(of_trl, at_once=size)
                yield f"TRL, {size} at once, grouped", partial(of_trl, at_once=size, grouped=True)
                if size > 1:
                    yield (
                        f"TRL, {size} at once, padding-free",
                        partial(of_trl, at_once=size, padding_free=True),
                    )
    if "ours" in options.contestants:
        for budget in options.tokens_per_microbatch:
            yield f"wazn, {budget} tokens at once", partial(ours, budget=budget)
            if options.weights:
                yield f"wazn, {budget} at once, weighted", partial(ours, budget=budget, weighted=True)


def compare(task: Task, todo: dict[str, Contestant], rounds: int) -> None:
    """Measure `todo` on one model and print the table."""
    tokens = sum(len(example.tokens) for example in task.examples)
    answers = sum(len(example.tokens) - example.answer_start for example in task.examples)
    print(
        f"\n{task.model}, {task.method}, {torch_dtype(task.dtype)}, {device().type}, "
        f"{torch.get_num_threads()} threads: {len(task.examples)} rows, {tokens} tokens, {answers} of answers"
    )
    best: dict[str, Found] = {}
    for _ in range(rounds):
        for name, contestant in todo.items():
            # A spawned process for each, so that its peak is its own.
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                found = pool.submit(measure, contestant, task).result()
            print(
                f"{name:<36} {tokens / found.seconds:9.1f} tokens/s {found.memory / 2**20:8.0f} MB "
                f"{found.useful / found.seconds / found.rate:7.1%} of {found.rate / 1e9:.0f} GFLOP/s",
                flush=True,
            )
            best[name] = min(best.get(name, found), found, key=lambda one: one.seconds)
    peers = {name: found for name, found in best.items() if name.startswith("TRL")}
    for name, found in best.items():
        if not name.startswith("wazn"):
            continue
        print(f"{name}:")
        for other in ["notebook", "transformers"]:
            for their_name, theirs in best.items():
                if their_name.startswith(other):
                    print(f"    {against(found, theirs)} {their_name}")
        if peers:
            fastest = min(peers, key=lambda peer: peers[peer].seconds)
            print(f"    {against(found, peers[fastest])} {fastest}, the fastest")
        plain = best.get(name.replace(" at once, weighted", " tokens at once"))
        if name.endswith("weighted") and plain:
            print(f"    {found.seconds / plain.seconds:.3f} times the time without severity weights")


def against(ours: Found, theirs: Found) -> str:
    """The two ratios that matter."""
    return f"{theirs.seconds / ours.seconds:.2f} times the speed, {ours.memory / theirs.memory:.2f} times the memory of"


def measure(contestant: Contestant, task: Task) -> Found:
    """Build the model, let `contestant` train it; runs in a process of its own."""
    if getattr(contestant, "func", None) is of_trl:
        import trl.trainer.sft_trainer  # noqa: F401, PLC0415  # before memory is looked at
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    rate = product_rate(torch_dtype(task.dtype))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(shape(task), dtype=torch_dtype(task.dtype)).to(device())
    if task.method == "lora":
        model = add_lora(model, LORA_TARGETS[task.model], r=16, alpha=32, dropout=0.05)
    useful = useful_operations(model, task)
    watch = Watch()
    before = psutil.Process().memory_info().rss
    contestant(model, task, watch)
    assert len(watch.times) == 1 + -(-len(task.examples) // task.batch_size)
    if device().type == "cuda":
        memory = torch.cuda.max_memory_allocated()
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    rate = max(rate, product_rate(torch_dtype(task.dtype)))
    return Found(watch.times[-1] - watch.times[0], memory, useful, rate)


def notebook(model: Any, task: Task, watch: Watch) -> None:
    """The authors' recipe: one row at a time, padded to 512 tokens, padding and prompt in the loss."""
    rows = []
    for example in task.ordered(grouped=False):
        padding = LONGEST - len(example.tokens)
        tokens = [*example.tokens, *[task.tokenizer.pad_token_id] * padding]
        mask = [1] * len(example.tokens) + [0] * padding
        rows.append({"input_ids": tokens, "attention_mask": mask, "labels": tokens})
    with_trainer(Trainer, model, watch, rows, arguments(TrainingArguments, task, 1))


def of_transformers(model: Any, task: Task, watch: Watch) -> None:
    """The Trainer of transformers: a step at once, padded to its longest row, loss on answers."""
    rows = [
        {
            "input_ids": list(one.tokens),
            "labels": [-100] * one.answer_start + list(one.tokens[one.answer_start :]),
        }
        for one in task.ordered(grouped=False)
    ]
    collator = DataCollatorForSeq2Seq(task.tokenizer)
    given = arguments(TrainingArguments, task, task.batch_size)
    with_trainer(Trainer, model, watch, rows, given, data_collator=collator)


def of_trl(
    model: Any, task: Task, watch: Watch, at_once: int, grouped: bool = False, padding_free: bool = False
) -> None:
    """TRL's SFTTrainer, loss on completions; what it recomputes or casts by default to save memory is off."""
    from trl import SFTConfig, SFTTrainer  # noqa: PLC0415  # a peer, no dependency

    rows = [
        {
            "input_ids": list(one.tokens),
            "completion_mask": [0] * one.answer_start + [1] * (len(one.tokens) - one.answer_start),
        }
        for one in task.ordered(grouped)
    ]
    more = {"completion_only_loss": True, "max_length": None, "padding_free": padding_free}
    given = arguments(SFTConfig, task, at_once, **more)
    with_trainer(SFTTrainer, model, watch, rows, given, processing_class=task.tokenizer)


def ours(model: Any, task: Task, watch: Watch, budget: int, weighted: bool = False) -> None:
    """The training loop of the stage `finetune`, in the surroundings that it sets up."""
    deterministic(0)
    examples = task.ordered(grouped=False)
    if weighted:
        spread = torch.empty(len(examples)).uniform_(0.5, 1.5).tolist()
        examples = [replace(one, weight=weight) for one, weight in zip(examples, spread, strict=True)]
    recipe = Recipe(
        epochs=1,
        batch_size=task.batch_size,
        tokens_per_microbatch=budget,
        learning_rate=LEARNING_RATE,
        warmup=0.0,
        max_grad_norm=1.0,
        seed=0,
    )
    # It shuffles; put the rows where its shuffle takes them from.
    places = [place for step in optimiser_steps(len(examples), task.batch_size, 0, 0) for place in step]
    placed = dict(zip(places, examples, strict=True))
    if task.method == "full":
        model.get_base_model = lambda: model
    for _ in train(model, [placed[place] for place in range(len(placed))], recipe, "ours"):
        watch.on_step_end()


def arguments(kind: type[TrainingArguments], task: Task, at_once: int, **more: Any) -> TrainingArguments:
    """What the three trainers are set to: the recipe of `ours`, and nothing that costs time or memory beside it."""
    return kind(
        output_dir=str(Path(tempfile.gettempdir()) / "unused"),
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=task.batch_size // at_once,
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        train_sampling_strategy="sequential",
        gradient_checkpointing=False,
        bf16=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=device().type == "cuda",
        **more,
    )


def with_trainer(
    kind: type[Trainer],
    model: Any,
    watch: Watch,
    rows: list[dict[str, Any]],
    given: TrainingArguments,
    **more: Any,
) -> None:
    """Train on `rows` in their order."""
    trainer = kind(
        model=model, args=given, train_dataset=datasets.Dataset.from_list(rows), callbacks=[watch], **more
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def product_rate(dtype: torch.dtype) -> float:
    """Floating-point operations a second of this machine's best matrix product of some."""
    size = 8192 if device().type == "cuda" else 2048
    left, right = torch.randn(2, size, size, device=device()).to(dtype)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(left, right)
        if device().type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def useful_operations(model: Any, task: Task) -> float:
    """Floating-point operations that training on every row once needs (see above)."""
    config = model.config
    lengths = [len(example.tokens) for example in task.examples]
    answers = sum(len(example.tokens) - example.answer_start for example in task.examples)
    tables = [module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    embeddings = {id(table) for table in tables}
    body = sum(
        parameter.numel() * (6 if parameter.requires_grad else 4)
        for parameter in model.parameters()
        if id(parameter) not in embeddings
    )
    attention = 6 * config.num_hidden_layers * config.hidden_size * sum(length**2 for length in lengths)
    per_weight = 6 if tables[0].requires_grad else 4
    return body * sum(lengths) + attention + per_weight * config.vocab_size * config.hidden_size * answers


def shape(task: Task) -> PreTrainedConfig:
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
    """A byte-level tokenizer of 16,000 pieces trained on `texts`; padding is the end of text, as with GPT-2."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=PIECES, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        ),
    )
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
