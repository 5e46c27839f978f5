"""python examples/loop.py tiny_qwen2 weighting

The method of arXiv:2604.06346 in plain PyTorch, to be run after `make run`: read the scored pairs, weight
them, fine-tune a LoRA adapter one pair at a time. A test holds it to the adapter that `wazn finetune` gives
without dropout. The pipeline computes many pairs at once, in several processes, and goes on after a kill.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, get_scheduler

model_name, arm_name, *folders = sys.argv[1:]  # a third argument is a folder for the adapter
params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
config, arm, seed = params["finetune"], params[arm_name], params["seeds"][0]

# The scored pairs: what the severity classifier says of each complaint. All are used (train_rows: null).
pairs = pd.read_parquet("data/scored/pairs.parquet")
pairs = pairs[pairs["split"] == "train"]

# The base model with a low-rank adapter on some of its layers; only the adapter is trained.
torch.manual_seed(seed)
folder = Path("models/base") / model_name
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
lora = {"r": config["lora"]["r"], "lora_alpha": config["lora"]["alpha"], "lora_dropout": 0.0}
targets = params["registry"][model_name]["lora_targets"]
model = get_peft_model(model, LoraConfig(target_modules=targets, task_type="CAUSAL_LM", **lora)).eval()

# Token ids of question, answer cue, answer and end-of-text; the loss is on what follows the cue.
examples, rows = [], []
for row, (question, answer) in enumerate(zip(pairs["question"], pairs["answer"], strict=True)):
    prompt = tokenizer(f"\n{question}\n\nالاجابة:\n")["input_ids"]
    completion = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    if len(prompt) < config["max_length"]:
        examples.append(((prompt + completion)[: config["max_length"]], len(prompt)))
        rows.append(row)

# One weight for each of these: w = alpha p_non_critical + beta p_neutral + gamma p_critical.
p = pairs[["p_non_critical", "p_neutral", "p_critical"]].to_numpy(dtype="float64")[rows]
weights = p @ [arm["alpha"], arm["beta"], arm["gamma"]] / p.sum(axis=1)
if arm["renormalise"]:
    weights /= weights.mean()
if arm.get("permute") is not None:  # a placebo
    weights = weights[np.random.default_rng(arm["permute"]).permutation(len(weights))]

# Optimiser steps: shuffle, sort by length within windows of some steps, cut, and shuffle the steps.
steps, size = [], config["batch_size"]
for epoch in range(config["epochs"]):
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(len(examples), generator=generator).tolist()
    for start in range(0, len(order), size * config["length_window"]):
        near = order[start : start + size * config["length_window"]]
        near.sort(key=lambda index: (-len(examples[index][0]), index))
        cut = [near[first : first + size] for first in range(0, len(near), size)]
        steps += [cut[number] for number in torch.randperm(len(cut), generator=generator).tolist()]

trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimiser = torch.optim.AdamW(trained, lr=config["learning_rate"], weight_decay=config["weight_decay"])
warmup = round(config["warmup_ratio"] * len(steps))
scheduler = get_scheduler(
    config["lr_scheduler"], optimiser, num_warmup_steps=warmup, num_training_steps=len(steps)
)

for number, step in enumerate(steps, start=1):
    optimiser.zero_grad()
    total = 0.0
    for index in step:
        (tokens, start), weight = examples[index], weights[index]
        ids = torch.tensor([tokens])
        logits = model(input_ids=ids).logits[0]
        # The logits at a position predict the token after it.
        nll = torch.nn.functional.cross_entropy(logits[start - 1 : -1], ids[0, start:], reduction="sum")
        # The mean over the answer's tokens, times the weight; then the mean over the step's pairs.
        loss = weight * nll / (len(tokens) - start) / len(step)
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(trained, config["max_grad_norm"])
    optimiser.step()
    scheduler.step()
    if number % 20 == 0 or number == len(steps):
        print(f"step {number} of {len(steps)}: loss {total:.4f}")

for folder in folders:
    model.save_pretrained(folder)
