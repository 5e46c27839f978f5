"""The severity classifier: an encoder of transformers with a classification head."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)

from pipeline.severity.labels import SEVERITIES
from pipeline.training.runtime import device, load_pretrained


class Classifier:
    """A complaint's normalised text in, probabilities of the three severities out."""

    def __init__(self, folder: Path) -> None:
        """Load the encoder in `folder`; a head is added where it has none.

        Raises:
            WaznError: there is no model, or it cannot be loaded.
        """
        self.tokenizer: PreTrainedTokenizerBase = load_pretrained(AutoTokenizer, folder)
        self.model = load_pretrained(
            AutoModelForSequenceClassification,
            folder,
            use_safetensors=True,
            dtype=torch.float32,
            id2label=dict(enumerate(SEVERITIES)),
            label2id={severity: index for index, severity in enumerate(SEVERITIES)},
        )

    def _encode(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        limit = min(max_length, self.tokenizer.model_max_length)
        encoded = self.tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
        return [list(ids) for ids in encoded]

    def train(
        self,
        texts: Mapping[str, Sequence[str]],
        labels: Mapping[str, Sequence[str]],
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        max_length: int,
        seed: int,
    ) -> None:
        """Fine-tune on the `train` split and keep the epoch with the least loss on `valid`.

        Args:
            texts, labels: normalised complaints and their severities, by split.
            epochs, batch_size, learning_rate, seed: of transformers' Trainer (AdamW, linear decay).
            max_length: tokens; what goes beyond is cut off.
        """
        rows = {
            split: [
                {"input_ids": ids, "labels": SEVERITIES.index(label)}
                for ids, label in zip(self._encode(texts[split], max_length), labels[split], strict=True)
            ]
            for split in ("train", "valid")
        }
        with tempfile.TemporaryDirectory() as scratch:
            Trainer(
                model=self.model,
                args=TrainingArguments(
                    output_dir=scratch,
                    num_train_epochs=epochs,
                    per_device_train_batch_size=batch_size,
                    per_device_eval_batch_size=batch_size,
                    learning_rate=learning_rate,
                    warmup_steps=0.1,
                    weight_decay=0.01,
                    seed=seed,
                    eval_strategy="epoch",
                    save_strategy="epoch",
                    save_total_limit=1,
                    load_best_model_at_end=True,
                    metric_for_best_model="loss",
                    logging_strategy="no",
                    report_to="none",
                    dataloader_pin_memory=torch.cuda.is_available(),
                ),
                train_dataset=rows["train"],  # type: ignore[arg-type]  # Trainer indexes a list as well
                eval_dataset=rows["valid"],  # type: ignore[arg-type]
                data_collator=DataCollatorWithPadding(self.tokenizer),
            ).train()
        self.model.eval()

    @torch.inference_mode()
    def probabilities(self, texts: Sequence[str], batch_size: int, max_length: int) -> np.ndarray:
        """Probabilities of the severities, in the order of `SEVERITIES`.

        Texts are batched by length, so that little is padding; the result is in their order.

        Args:
            texts: n normalised complaints.
            batch_size: texts computed at once.
            max_length: tokens; what goes beyond is cut off.

        Returns:
            (n, 3), float32; each row sums to 1.
        """
        place = device()
        model = self.model.to(place).eval()
        encoded = self._encode(texts, max_length) if texts else []
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
        result = np.empty((len(encoded), len(SEVERITIES)), dtype=np.float32)
        for start in tqdm(range(0, len(order), batch_size), desc="severity", unit="batch"):
            chosen = order[start : start + batch_size]
            batch = self.tokenizer.pad(
                {"input_ids": [encoded[index] for index in chosen]}, return_tensors="pt"
            ).to(place)
            result[chosen] = model(**batch).logits.double().softmax(dim=-1).float().cpu().numpy()
        return result

    def save(self, folder: Path) -> None:
        """Save model (safetensors) and tokenizer."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
