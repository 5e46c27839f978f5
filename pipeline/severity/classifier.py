"""The severity classifier: an encoder of transformers with a classification head and a temperature."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

# Share of the tokens computed that may be padding.
_MOST_PADDING = 0.05
_SETTINGS, _NGRAMS = "severity.json", "ngrams.safetensors"


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Attributes:
        epochs: passes over the training texts at most.
        patience: epochs without a better validation loss after which it stops.
        batch_size: texts a step.
        learning_rate: peak (AdamW, warm-up over a tenth of the steps, linear decay).
        class_weights: weight a text's loss by n / (3 * texts of its class), so that classes count alike.
        word_dropout: share of a training text's tokens that are masked, anew at every pass.
        ngrams: whether a linear model of character n-grams is blended in: a small encoder needs it.
        max_length: tokens of a text; what goes beyond is cut off.
    """

    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    class_weights: bool
    word_dropout: float
    ngrams: bool
    max_length: int


class Classifier:
    """A complaint's normalised text in, probabilities of the three severities out.

    Attributes:
        temperature: what the encoder's logits are divided by; 1 until it has been fitted.
        ngrams: the n-gram model that is blended in, or None; ngram_weight: the factor of its
            log-probabilities.
        max_length: tokens of a text; what goes beyond is cut off.
        labels: what it learnt from: `human` labels, or weak ones of the `lexicon`.
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
        recipe: Recipe,
        seed: int,
    ) -> int:
        """Fine-tune on `train`; keep the epoch that is best on `valid`, and calibrate there.

        The best epoch is the one with the least validation log-loss after temperature scaling:
        a small data set makes a classifier overconfident long before it stops getting better.

        Args:
            texts, labels: normalised complaints and their severities, by split.
            recipe: see `Recipe`.
            seed: of head, order and dropout.

        Returns:
            The epoch kept, from 1.
        """
        self.max_length = recipe.max_length
        classes = {split: [SEVERITIES.index(label) for label in labels[split]] for split in labels}
        rows = {
            split: [
                {"input_ids": ids, "labels": label}
                for ids, label in zip(self.encode(texts[split]), classes[split], strict=True)
            ]
            for split in ("train", "valid")
        }
        counts = np.bincount(classes["train"], minlength=len(SEVERITIES))
        weights = torch.ones(len(SEVERITIES))
        if recipe.class_weights:
            weights = torch.tensor(counts.sum() / (len(SEVERITIES) * counts), dtype=torch.float32)

        def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(
                outputs.logits.float(), labels, weight=weights.to(labels.device)
            )

        def calibrated(prediction: EvalPrediction) -> dict[str, float]:
            logits = np.asarray(prediction.predictions, dtype=np.float64)
            truth = np.asarray(prediction.label_ids)
            temperature = fit_temperature(logits, [SEVERITIES[index] for index in truth])
            return {"calibrated_log_loss": log_loss(truth, softmax(logits, temperature), labels=[0, 1, 2])}

        with tempfile.TemporaryDirectory() as scratch:
            trainer = Trainer(
                model=self.model,
                args=TrainingArguments(
                    output_dir=scratch,
                    num_train_epochs=recipe.epochs,
                    per_device_train_batch_size=recipe.batch_size,
                    per_device_eval_batch_size=recipe.batch_size,
                    learning_rate=recipe.learning_rate,
                    warmup_steps=0.1,
                    weight_decay=0.01,
                    seed=seed,
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
                train_dataset=_Masked(rows["train"], recipe.word_dropout, self.tokenizer),
                eval_dataset=rows["valid"],  # type: ignore[arg-type]  # Trainer indexes a list as well
                data_collator=DataCollatorWithPadding(self.tokenizer),
                compute_loss_func=loss,
                compute_metrics=calibrated,
                callbacks=[EarlyStoppingCallback(early_stopping_patience=recipe.patience)],
            )
            trainer.train()
            steps = -(-len(rows["train"]) // recipe.batch_size)
            epoch = (trainer.state.best_global_step or steps) // steps
        self.model.eval()
        logits = self.logits(texts["valid"], recipe.batch_size * recipe.max_length)
        if recipe.ngrams:
            ngrams = NgramModel.fit(texts["train"], labels["train"])
            said = ngrams.log_probabilities(texts["valid"])
            self.temperature, self.ngram_weight = fit_blend(logits, said, labels["valid"])
            # Once its weight is known, it may learn from the validation rows as well.
            both = ("train", "valid")
            self.ngrams = NgramModel.fit(
                [text for split in both for text in texts[split]],
                [label for split in both for label in labels[split]],
            )
        else:
            self.temperature = fit_temperature(logits, labels["valid"])
        return epoch

    @torch.inference_mode()
    def logits(self, texts: Sequence[str], tokens_per_batch: int) -> np.ndarray:
        """The encoder's logits of the severities, in the order of `SEVERITIES`, as it gives them.

        Texts are batched by length, so that little is padding; the result is in their order.

        Args:
            texts: n normalised complaints.
            tokens_per_batch: padded tokens computed at once.

        Returns:
            (n, 3), float64.
        """
        place = device()
        model = self.model.to(place).eval()
        encoded = self.encode(texts)
        result = np.empty((len(encoded), len(SEVERITIES)))
        lengths = [len(ids) for ids in encoded]
        groups = microbatches(range(len(encoded)), lengths, tokens_per_batch, _MOST_PADDING)
        for chosen in tqdm(groups, desc="severity", unit="batch", disable=None, leave=False):
            batch = self.tokenizer.pad(
                {"input_ids": [encoded[index] for index in chosen]}, return_tensors="pt"
            ).to(place)
            result[chosen] = model(**batch).logits.double().cpu().numpy()
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
