"""The severity classifier: an encoder of transformers with a classification head and a temperature."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from pipeline.files import write_json
from pipeline.inputs import read_json
from pipeline.models.budgets import Budget
from pipeline.models.microbatches import max_padding, microbatches, padded_tokens
from pipeline.models.products import use_onednn
from pipeline.models.runtime import device, load_pretrained, torch_dtype
from pipeline.severities import SEVERITIES
from pipeline.severity.calibration import fit_blend, fit_temperature, softmax
from pipeline.severity.fine_tuning import fine_tune
from pipeline.severity.ngrams import NgramModel
from pipeline.severity.pooling import needs_mean, pool_by_mean
from pipeline.shapes import ClassifierSettings

if TYPE_CHECKING:
    from pipeline.config.severity import ClassifierConfig

# Share of the computed tokens that may be padding at most, on a CPU.
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
        self.model, loading_info = load_pretrained(
            AutoModelForSequenceClassification,
            folder,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch_dtype(dtype),
            id2label=dict(enumerate(SEVERITIES)),
            label2id={severity: index for index, severity in enumerate(SEVERITIES)},
        )
        if needs_mean(folder, loading_info["missing_keys"]):
            pool_by_mean(self.model)
        use_onednn(self.model.eval())
        trained = (folder / _SETTINGS).is_file()
        settings = read_json(folder / _SETTINGS, ClassifierSettings) if trained else {}
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
        checkpoints: Path,
    ) -> int:
        """Fine-tune on `train`; keep the epoch that is best on `valid`, and calibrate there.

        The best epoch has the least validation log-loss after temperature scaling: on a small data set a
        classifier becomes overconfident long before it stops getting better.

        Args:
            texts, labels: normalised complaints and their severities, by split.
            config: how to train.
            checkpoints: a folder of this training alone, from which a killed one goes on.

        Returns:
            The epoch that was kept, from 1.
        """
        self.max_length = config.max_length
        rows = {
            split: [
                {"input_ids": ids, "labels": SEVERITIES.index(label)}
                for ids, label in zip(self.encode(texts[split]), labels[split], strict=True)
            ]
            for split in ("train", "valid")
        }
        epoch = fine_tune(self.model, self.tokenizer, rows, config, checkpoints)
        self.model.eval()
        logits = self.logits(texts["valid"], Budget(config.batch_size * config.max_length))
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

    @torch.inference_mode()
    def logits(self, texts: Sequence[str], budget: Budget) -> np.ndarray:
        """The encoder's own logits of the severities, in the order of `SEVERITIES`.

        Texts are batched by length, so that little is padding; the result is in their order.

        Args:
            texts: n normalised complaints.
            budget: padded tokens computed at once.

        Returns:
            (n, 3), float64.

        Raises:
            WaznError: the memory does not hold one text; see `Budget.fits`.
        """
        target = device()
        model = self.model.to(target).eval()
        encoded = self.encode(texts)
        result = np.empty((len(encoded), len(SEVERITIES)))
        lengths = [len(ids) for ids in encoded]

        def cut(indices: Sequence[int], size: int) -> list[list[int]]:
            return microbatches(indices, lengths, size, max_padding(_MAX_PADDING))

        with tqdm(total=len(encoded), desc="severity", unit="text", disable=None, leave=False) as bar:

            def compute(group: list[int]) -> None:
                batch = self.tokenizer.pad(
                    {"input_ids": [encoded[index] for index in group]}, return_tensors="pt"
                ).to(target)
                result[group] = model(**batch).logits.double().cpu().numpy()
                bar.update(len(group))

            budget.run(range(len(encoded)), cut, lambda group: padded_tokens(group, lengths), compute)
        return result

    def calibrated(self, texts: Sequence[str], logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of the severities from the `logits` of n texts, (n, 3), float32."""
        logits = logits / self.temperature
        if self.ngrams:
            logits += self.ngram_weight * self.ngrams.log_probabilities(texts)
        return softmax(logits, 1.0).astype(np.float32)

    def probabilities(self, texts: Sequence[str], budget: Budget) -> np.ndarray:
        """Calibrated probabilities of the severities, (n, 3), float32; see `logits`."""
        return self.calibrated(texts, self.logits(texts, budget))

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
