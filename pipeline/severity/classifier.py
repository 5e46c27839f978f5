"""The severity classifier: an encoder of transformers with a classification head and a temperature."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import log_loss
from tqdm import tqdm
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)

from pipeline.files import read_json, write_json
from pipeline.models.microbatches import microbatches
from pipeline.models.runtime import device, load_pretrained, torch_dtype
from pipeline.severities import SEVERITIES
from pipeline.severity.calibration import fit_blend, fit_temperature, softmax
from pipeline.severity.ngrams import NgramModel

if TYPE_CHECKING:
    from pipeline.config.severity import ClassifierConfig

# Share of the computed tokens that may be padding at most.
_MAX_PADDING = 0.05
_SETTINGS, _NGRAMS = "severity.json", "ngrams.safetensors"


class Classifier:
    """A complaint's normalised text in, probabilities of the three severities out.

    Attributes:
        temperature: the encoder's logits are divided by it; 1 until it has been fitted.
        ngrams: the n-gram model that is blended in, or None; ngram_weight: its log-probabilities are
            multiplied by it.
        max_length: tokens of a text; the rest is cut off.
        labels: the labels that it learnt from: `human`, or weak ones of the `lexicon`.
    """

    def __init__(self, folder: Path, dtype: str = "float32") -> None:
        """Load the classifier in `folder`, or an encoder, to which a new head is added.

        Args:
            folder: as `save` leaves it, or a model of transformers.
            dtype: see `torch_dtype`.

        Raises:
            WaznError: there is no model, or it cannot be loaded.
        """
        self.tokenizer: PreTrainedTokenizerBase = load_pretrained(AutoTokenizer, folder)
        self.model = load_pretrained(
            AutoModelForSequenceClassification,
            folder,
            use_safetensors=True,
            dtype=torch_dtype(dtype),
            id2label=dict(enumerate(SEVERITIES)),
            label2id={severity: index for index, severity in enumerate(SEVERITIES)},
        ).eval()
        trained = (folder / _SETTINGS).is_file()
        settings = read_json(folder / _SETTINGS) if trained else {}
        self.temperature: float = settings.get("temperature", 1.0)
        self.ngram_weight: float = settings.get("ngram_weight", 0.0)
        self.ngrams = NgramModel.load(folder / _NGRAMS) if self.ngram_weight else None
        self.max_length: int = settings.get("max_length", self.tokenizer.model_max_length)
        self.labels: str = settings.get("labels", "human")

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with the encoder's own marks at either end."""
        if not texts:
            return []
        limit = min(self.max_length, self.tokenizer.model_max_length)
        encoded = self.tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
        return [list(ids) for ids in encoded]

    def train(
        self,
        texts: Mapping[str, Sequence[str]],
        labels: Mapping[str, Sequence[str]],
        config: "ClassifierConfig",
    ) -> int:
        """Fine-tune on `train`; keep the epoch that is best on `valid`, and calibrate there.

        The best epoch has the least validation log-loss after temperature scaling: on a small data set a
        classifier becomes overconfident long before it stops getting better.

        Args:
            texts, labels: normalised complaints and their severities, by split.
            config: how to train.

        Returns:
            The epoch that was kept, from 1.
        """
        self.max_length = config.max_length
        epoch = self._fine_tune(texts, labels, config)
        self.model.eval()
        logits = self.logits(texts["valid"], config.batch_size * config.max_length)
        if config.ngrams:
            ngrams = NgramModel.fit(texts["train"], labels["train"])
            others = ngrams.log_probabilities(texts["valid"])
            self.temperature, self.ngram_weight = fit_blend(logits, others, labels["valid"])
            # Once its weight is known, it may learn from the validation rows as well.
            both = ("train", "valid")
            self.ngrams = NgramModel.fit(
                [text for split in both for text in texts[split]],
                [label for split in both for label in labels[split]],
            )
        else:
            self.temperature = fit_temperature(logits, labels["valid"])
        return epoch

    def _fine_tune(
        self,
        texts: Mapping[str, Sequence[str]],
        labels: Mapping[str, Sequence[str]],
        config: "ClassifierConfig",
    ) -> int:
        """Fine-tune encoder and head by the Trainer of transformers; see `train`."""
        rows = {
            split: [
                {"input_ids": ids, "labels": SEVERITIES.index(label)}
                for ids, label in zip(self.encode(texts[split]), labels[split], strict=True)
            ]
            for split in ("train", "valid")
        }
        class_weights = _class_weights(labels["train"]) if config.class_weights else None

        def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
            weight = None if class_weights is None else class_weights.to(labels.device)
            return torch.nn.functional.cross_entropy(outputs.logits.float(), labels, weight=weight)

        with tempfile.TemporaryDirectory() as scratch:
            trainer = Trainer(
                model=self.model,
                args=TrainingArguments(
                    output_dir=scratch,
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
                    save_total_limit=1,
                    load_best_model_at_end=True,
                    metric_for_best_model="calibrated_log_loss",
                    greater_is_better=False,
                    logging_strategy="no",
                    report_to="none",
                    dataloader_pin_memory=torch.cuda.is_available(),
                ),
                train_dataset=_Masked(rows["train"], config.word_dropout, self.tokenizer),
                eval_dataset=rows["valid"],  # type: ignore[arg-type]  # Trainer indexes a list as well
                data_collator=DataCollatorWithPadding(self.tokenizer),
                compute_loss_func=loss,
                compute_metrics=_calibrated_log_loss,
                callbacks=[EarlyStoppingCallback(early_stopping_patience=config.patience)],
            )
            trainer.train()
            steps = -(-len(rows["train"]) // config.batch_size)
            return (trainer.state.best_global_step or steps) // steps

    @torch.inference_mode()
    def logits(self, texts: Sequence[str], tokens_per_batch: int) -> np.ndarray:
        """The encoder's own logits of the severities, in the order of `SEVERITIES`.

        Texts are batched by length, so that little is padding; the result is in their order.

        Args:
            texts: n normalised complaints.
            tokens_per_batch: padded tokens computed at once.

        Returns:
            (n, 3), float64.
        """
        target = device()
        model = self.model.to(target).eval()
        encoded = self.encode(texts)
        result = np.empty((len(encoded), len(SEVERITIES)))
        lengths = [len(ids) for ids in encoded]
        groups = microbatches(range(len(encoded)), lengths, tokens_per_batch, _MAX_PADDING)
        for group in tqdm(groups, desc="severity", unit="batch", disable=None, leave=False):
            batch = self.tokenizer.pad(
                {"input_ids": [encoded[index] for index in group]}, return_tensors="pt"
            ).to(target)
            result[group] = model(**batch).logits.double().cpu().numpy()
        return result

    def calibrated(self, texts: Sequence[str], logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of the severities from the `logits` of n texts, (n, 3), float32."""
        logits = logits / self.temperature
        if self.ngrams:
            logits += self.ngram_weight * self.ngrams.log_probabilities(texts)
        return softmax(logits, 1.0).astype(np.float32)

    def probabilities(self, texts: Sequence[str], tokens_per_batch: int) -> np.ndarray:
        """Calibrated probabilities of the severities, (n, 3), float32; see `logits`."""
        return self.calibrated(texts, self.logits(texts, tokens_per_batch))

    def save(self, folder: Path) -> None:
        """Save model and n-gram model (safetensors), tokenizer and calibration."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.ngrams and self.ngram_weight:
            self.ngrams.save(folder / _NGRAMS)
        settings = {
            "temperature": self.temperature,
            "ngram_weight": self.ngram_weight,
            "max_length": self.max_length,
            "labels": self.labels,
        }
        write_json(folder / _SETTINGS, settings)


def _class_weights(labels: Sequence[str]) -> torch.Tensor:
    """n / (3 * rows of the class) of each severity, so that classes count alike in the loss, (3,)."""
    counts = np.bincount([SEVERITIES.index(label) for label in labels], minlength=len(SEVERITIES))
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
