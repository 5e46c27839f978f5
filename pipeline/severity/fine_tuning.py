"""Fine-tuning of the classifier's encoder and head by the Trainer of transformers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import log_loss
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from pipeline.hashes import folder_digest
from pipeline.models.runtime import on_one_device
from pipeline.severities import SEVERITIES
from pipeline.severity.calibration import fit_temperature, softmax

if TYPE_CHECKING:
    from pipeline.config.severity import ClassifierConfig

# Written beside a checkpoint once it is complete: the hash of its folder.
_COMPLETE = ".sha256"


def fine_tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Mapping[str, Sequence[dict[str, Any]]],
    config: "ClassifierConfig",
    checkpoints: Path,
) -> int:
    """Fine-tune `model` on `train`, and leave it with the weights of the epoch that is best on `valid`.

    Args:
        rows: `train` and `valid`: `input_ids`, and `labels`, the index of a severity.
        config: how to train.
        checkpoints: a folder of this training alone, with a checkpoint for each epoch. A training that was
            killed goes on after the last complete one, and ends with the same bytes.

    Returns:
        The epoch whose weights were kept, from 1.
    """
    weight = _class_weights([row["labels"] for row in rows["train"]]) if config.class_weights else None

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        by_class = None if weight is None else weight.to(labels.device)
        return torch.nn.functional.cross_entropy(outputs.logits.float(), labels, weight=by_class)

    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=0.1,
        weight_decay=0.01,
        seed=config.seed,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="calibrated_log_loss",
        greater_is_better=False,
        logging_strategy="no",
        report_to="none",
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    trainer = Trainer(
        model=model,
        args=on_one_device(arguments),
        train_dataset=_Masked(rows["train"], config.word_dropout, tokenizer),
        eval_dataset=rows["valid"],  # type: ignore[arg-type]  # Trainer indexes a list as well
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_loss_func=loss,
        compute_metrics=_calibrated_log_loss,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=config.patience), _Complete()],
    )
    last = _last_complete(checkpoints)
    if last:
        print(f"the classifier's training goes on after step {_step(last)}")
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    best = trainer.state.best_global_step
    epochs = [entry["epoch"] for entry in trainer.state.log_history if entry["step"] == best]
    # Where no epoch has a finite loss there is no best one, and the last one's weights stay.
    return round(epochs[0] if epochs else trainer.state.epoch or 0)


class _Complete(TrainerCallback):  # type: ignore[misc]  # transformers gives it no type
    """Marks a checkpoint as complete once all of it is written."""

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_others: Any) -> None:
        """Write the hash of the checkpoint's folder beside it."""
        folder = Path(str(args.output_dir), f"checkpoint-{state.global_step}")
        folder.with_suffix(_COMPLETE).write_text(folder_digest(folder))


def _last_complete(checkpoints: Path) -> Path | None:
    """The newest checkpoint that is as it was when it was complete."""
    folders = sorted(checkpoints.glob("checkpoint-*/"), key=_step, reverse=True)
    return next((folder for folder in folders if _is_complete(folder)), None)


def _is_complete(folder: Path) -> bool:
    mark = folder.with_suffix(_COMPLETE)
    return mark.is_file() and mark.read_text() == folder_digest(folder)


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _class_weights(labels: Sequence[int]) -> torch.Tensor:
    """n / (3 * rows of the class) of each severity, so that classes count alike in the loss, (3,)."""
    counts = np.bincount(labels, minlength=len(SEVERITIES))
    return torch.tensor(counts.sum() / (len(SEVERITIES) * counts), dtype=torch.float32)


def _calibrated_log_loss(prediction: EvalPrediction) -> dict[str, float]:
    """Log-loss at the temperature that is best for these very rows."""
    logits = np.asarray(prediction.predictions, dtype=np.float64)
    truth = np.asarray(prediction.label_ids)
    temperature = fit_temperature(logits, [SEVERITIES[index] for index in truth])
    return {"calibrated_log_loss": log_loss(truth, softmax(logits, temperature), labels=[0, 1, 2])}


class _Masked(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows with a random share of their tokens masked, anew at every access."""

    def __init__(
        self, rows: Sequence[dict[str, Any]], rate: float, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self._rows, self._rate, self._mask = rows, rate, tokenizer.mask_token_id
        self._special = set(tokenizer.all_special_ids)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._rows[index]
        if not self._rate:
            return row
        masked = (torch.rand(len(row["input_ids"])) < self._rate).tolist()
        ids = [
            self._mask if hit and token not in self._special else token
            for token, hit in zip(row["input_ids"], masked, strict=True)
        ]
        return {**row, "input_ids": ids}
