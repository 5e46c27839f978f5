"""OMP_NUM_THREADS=2 python benchmarks/evaluate.py --rows 64 --texts posts.xlsx:Post:Plan

Rows a second of answering, beside the authors' notebook: one question at a time, sampled at temperature 0.7
with at most 50 new tokens; and beside `generate` of transformers, greedy, in batches of like length, at the
best of several sizes. Ours is `pipeline/evaluation/generation.py`, in batches, greedy and drawn as the
paper's, with at most 50 new tokens too. All run in the environment that wazn's command line sets
(pipeline/environment.py), each after a whole pass over the same rows. The models have the shapes of GPT-2
base and Qwen2.5-0.5B (on a CPU 4 of its 24 layers) and random weights, so that hardly an answer ends before
its 50 tokens; a trained model's answers end at different places, of which a batch gains somewhat less.
`--folder` names a real one, such as models/base/gemma3-270m. The notebook answers `--notebook-rows` of the
rows, spread evenly.

Then BERTScore with stored references beside BERTScorer, which encodes both sides anew, with an encoder of
the shape of multilingual BERT (random weights) up to layer 9.
Aimed at: at least 4 times the notebook on two cores, 30 times on a GPU; 1.5 times `generate` at its best.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from pipeline import environment

# What the command line of wazn sets, the allocator among it, for every contestant: before Python starts.
if __name__ == "__main__" and (more := environment.lacking()):
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | more)

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from finetune import LORA_TARGETS, Task, byte_level_bpe, read_pairs, shape
from transformers import AutoModelForCausalLM, BertConfig, BertModel, PreTrainedTokenizerFast

from pipeline.evaluation.bertscore import Encoder, References, store
from pipeline.evaluation.generation import generate
from pipeline.evaluation.sampling import row_keys
from pipeline.models.budgets import Budget
from pipeline.models.products import use_onednn
from pipeline.models.prompt import encode_prompt
from pipeline.models.runtime import deterministic, device, fuse_activations, load_tokenizer, torch_dtype

NEW_TOKENS, LONGEST = 50, 512
PEER_SIZES = (8, 16, 32, 64)


def main() -> None:
    """Measure both ways for each model and print rows a second and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", help="FILE.xlsx:QUESTION_COLUMN:ANSWER_COLUMN (default: data/sample)")
    parser.add_argument("--rows", type=int, default=64, help="rows answered, spread evenly")
    parser.add_argument("--notebook-rows", type=int, default=8, help="of which the notebook's way")
    parser.add_argument("--model", choices=[*LORA_TARGETS, "both"], default="both")
    parser.add_argument("--folder", type=Path, help="a model of its own instead")
    parser.add_argument("--layers", type=int, help="of qwen2 (default: 4 on a CPU, 24 on a GPU)")
    parser.add_argument("--dtype", default="auto", help="auto (bfloat16 on a GPU), float32 or bfloat16")
    parser.add_argument("--batch-size", type=int, default=32, help="of ours")
    parser.add_argument("--no-bertscore", action="store_true", help="leave BERTScore out")
    options = parser.parse_args()
    pairs = spread(read_pairs(options.texts), options.rows)
    texts = [text for pair in pairs for text in pair]
    tokenizer = load_tokenizer(options.folder) if options.folder else byte_level_bpe(texts)
    layers = options.layers or (24 if device().type == "cuda" else 4)
    dtype = torch_dtype(options.dtype)
    questions = [question for question, _ in pairs]
    print(f"{device().type}, {dtype}, {torch.get_num_threads()} threads, {len(questions)} rows")
    shapes = list(LORA_TARGETS) if options.model == "both" else [options.model]
    for name in [options.folder.name] if options.folder else shapes:
        torch.manual_seed(0)
        if options.folder:
            model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=dtype, local_files_only=True)
        else:
            task = Task(name, layers, "full", dtype, 1, tokenizer, [])
            model = AutoModelForCausalLM.from_config(shape(task), dtype=dtype)
        compare(name, model.to(device()).eval(), tokenizer, questions, options)
    if not options.no_bertscore:
        compare_bertscore(pairs)


def compare(
    name: str, model: Any, tokenizer: PreTrainedTokenizerFast, questions: list[str], options: Any
) -> None:
    """Print rows a second of the notebook's way and of ours."""
    few = spread(questions, options.notebook_rows)
    theirs = len(few) / warm(lambda: notebook(model, tokenizer, few))[0]
    print(f"{name:<6} notebook, 1 at once   {theirs:8.2f} rows/s", flush=True)
    rates, written = {}, {}
    for size in PEER_SIZES:
        seconds, written[size] = warm(lambda size=size: in_batches(model, tokenizer, questions, size))
        rates[size] = len(questions) / seconds
        print(f"{name:<6} generate, {size} at once {rates[size]:8.2f} rows/s", flush=True)
    best = max(rates, key=lambda size: rates[size])
    deterministic(0)
    fuse_activations(model)
    use_onednn(model)
    keys = row_keys([str(row) for row in range(len(questions))], 17)
    for decoding, given in (("greedy", None), ("paper", keys)):
        call = partial(ours, model, tokenizer, questions, given, options.batch_size)
        seconds, answers = warm(call)
        rate = len(questions) / seconds
        line = f"{name:<6} wazn, {decoding}, {options.batch_size} at once {rate:8.2f} rows/s, "
        line += f"{rate / theirs:.1f} times the notebook"
        if given is None:
            same = sum(one == other for one, other in zip(answers, written[best], strict=True))
            line += f", {rate / rates[best]:.2f} times generate at {best}; {same} answers are the same"
        print(line, flush=True)


def in_batches(model: Any, tokenizer: Any, questions: list[str], size: int) -> list[str]:
    """`generate` of transformers, greedy, in batches of like length padded at the left."""
    prompts = [encode_prompt(tokenizer, question)[-LONGEST:] for question in questions]
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    answers = [""] * len(prompts)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        longest = len(prompts[chosen[0]])
        rows = [[tokenizer.eos_token_id] * (longest - len(prompts[i])) + prompts[i] for i in chosen]
        mask = [[0] * (longest - len(prompts[i])) + [1] * len(prompts[i]) for i in chosen]
        with torch.no_grad():
            written = model.generate(
                torch.tensor(rows, device=device()),
                attention_mask=torch.tensor(mask, device=device()),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.eos_token_id,
            )[:, longest:]
        for index, text in zip(
            chosen, tokenizer.batch_decode(written, skip_special_tokens=True), strict=True
        ):
            answers[index] = text.strip()
    return answers


def notebook(model: Any, tokenizer: PreTrainedTokenizerFast, questions: list[str]) -> None:
    """The authors' loop: tokenise, generate, decode, one question after the other."""
    for question in questions:
        tokens = torch.tensor([encode_prompt(tokenizer, question)[-LONGEST:]], device=device())
        with torch.no_grad():
            written = model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=NEW_TOKENS,
                do_sample=True,
                temperature=0.7,
                top_k=50,
                pad_token_id=tokenizer.eos_token_id,
            )
        tokenizer.decode(written[0], skip_special_tokens=True)


def ours(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    questions: list[str],
    keys: np.ndarray | None,
    batch_size: int,
) -> list[str]:
    """The generation of the stage `evaluate`."""
    with redirect_stderr(StringIO()):
        answers = generate(
            model,
            tokenizer,
            questions,
            budget=Budget(batch_size, "questions"),
            max_length=LONGEST,
            max_new_tokens=NEW_TOKENS,
            max_new_words=None,
            name="",
            keys=keys,
        )
    return [answer.text for answer in answers]


def compare_bertscore(pairs: list[tuple[str, str]]) -> None:
    """Print seconds of one run's BERTScore: BERTScorer's, and ours once the references are stored."""
    from bert_score import BERTScorer  # noqa: PLC0415  # it takes seconds to import

    ids = [str(row) for row in range(len(pairs))]
    references = [answer for _, answer in pairs]
    answers = [" ".join(text.split()[::-1]) for text in references]
    with tempfile.TemporaryDirectory() as scratch, redirect_stderr(StringIO()):
        folder = Path(scratch) / "encoder"
        tokenizer = byte_level_bpe(references)
        tokenizer.add_special_tokens({"cls_token": "[CLS]", "sep_token": "[SEP]"})
        tokenizer.model_max_length = LONGEST
        tokenizer.save_pretrained(folder)
        BertModel(BertConfig(vocab_size=119_547)).save_pretrained(folder)
        encoder = Encoder(folder, 9, Budget(64, "texts"))
        once = timed(lambda: store(encoder, ids, references, Path(scratch) / "references"))
        stored = References(Path(scratch) / "references", encoder, ids, references)
        mine = timed(lambda: stored.score(answers, range(len(answers))))
        direct = BERTScorer(model_type=str(folder), num_layers=9, device=str(device()))
        theirs = timed(lambda: direct.score(answers, references))
    print(
        f"BERTScore of {len(pairs)} rows: BERTScorer {theirs:.1f} s a run; wazn {once:.1f} s once and "
        f"{mine:.1f} s a run, {theirs / mine:.2f} times as fast a run"
    )


def spread(items: list[Any], count: int) -> list[Any]:
    """`count` of the items, spread evenly; all if there are fewer."""
    count = min(count, len(items))
    return [items[number * len(items) // count] for number in range(count)]


def warm(call: Any) -> tuple[float, Any]:
    """Seconds of a call after one like it, and what it returned."""
    call()
    returned = []
    return timed(lambda: returned.append(call())), returned[0]


def timed(call: Any) -> float:
    """Seconds that a call takes, the device's work included."""
    start = time.perf_counter()
    call()
    if device().type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
