"""BERTScore (arXiv:1904.09675) by the functions of the package bert-score, with stored references.

The references are the same for every arm, so their states are computed once: `store`, then `References`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bert_score
import numpy as np
import pandas as pd
import torch
from bert_score.utils import (
    collate_idf,
    get_bert_embedding,
    get_model,
    get_tokenizer,
    greedy_cos_idf,
    sent_encode,
)
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.files import replacing, write_json
from pipeline.hashes import folder_digest
from pipeline.inputs import damaged, missing, read_json
from pipeline.models.budgets import Budget, refuse_too_large, slices
from pipeline.models.products import use_onednn
from pipeline.models.runtime import device, require_model
from pipeline.shapes import ReferencesNote

if TYPE_CHECKING:
    from pipeline.config.evaluation import EmbedReferencesConfig
    from pipeline.config.resources import EvaluateResources

STATES, NOTE = "states.npy", "references.json"
Embedded = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Of B texts: states (B, T, hidden), mask (B, T) and the weight of each token (B, T)."""


class Encoder:
    """An encoder up to one of its layers.

    Attributes:
        note: describes it: `encoder` (name of its folder), `layer`, `sha256` of its folder, `bert_score`
            (version of the package).
    """

    def __init__(self, folder: Path, layer: int, budget: Budget) -> None:
        """Load the encoder in `folder`.

        Args:
            layer: its states after this layer, from 1, are compared.
            budget: texts encoded at once.

        Raises:
            WaznError: there is no encoder, it cannot be loaded, has fewer layers, or needs more memory.
        """
        require_model(folder)
        try:
            self._tokenizer = get_tokenizer(str(folder))
            self._model = get_model(str(folder), layer).float().to(device())
        except AssertionError as error:
            raise WaznError(
                f"embed_references.layer: {folder} has fewer than {layer} layers; name one that it has"
            ) from error
        except Exception as error:
            refuse_too_large(folder, error)
            # A damaged file meets several libraries, each with errors of its own kinds.
            raise damaged(folder, f"bert-score cannot load it ({type(error).__name__})") from error
        use_onednn(self._model)
        # bert-score cuts texts where the tokenizer says so, and not every tokenizer does.
        limit = self._model.config.max_position_embeddings
        self._tokenizer.model_max_length = min(self._tokenizer.model_max_length, limit)
        self._budget = budget
        # No idf: the tokens that open and close every text have weight 0, every other token 1.
        closing = (self._tokenizer.sep_token_id, self._tokenizer.cls_token_id)
        self._weights = defaultdict(lambda: 1.0, dict.fromkeys(closing, 0.0))
        self.note = {
            "encoder": folder.name,
            "layer": layer,
            "sha256": folder_digest(folder),
            "bert_score": bert_score.__version__,
        }

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Encode B texts."""
        states, mask, weights = get_bert_embedding(
            texts, self._model, self._tokenizer, self._weights, device=device()
        )
        return states, mask, weights

    def embed_stored(self, texts: Sequence[str], states: Sequence[np.ndarray]) -> Embedded:
        """As `embed`, for B texts whose states, (tokens, hidden) each, were computed before."""
        _, weights, _, mask = collate_idf(texts, self._tokenizer, self._weights, device=device())
        # bert-score's own padding: zeros could not be divided by their norm.
        padded = pad_sequence([torch.from_numpy(array) for array in states], True, padding_value=2.0)
        return padded.to(device()), mask, weights

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each of n texts, after cutting."""
        return [len(sent_encode(self._tokenizer, text)) for text in texts]

    def batches(
        self, texts: Sequence[str], chosen: Sequence[int], task: str, compute: Callable[[list[int]], None]
    ) -> None:
        """Run `compute` on the indices `chosen` of `texts`, in batches of texts of similar length.

        Raises:
            WaznError: the memory does not hold one text; see `Budget.fits`.
        """
        order = sorted(chosen, key=lambda index: -len(texts[index]))
        with tqdm(total=len(order), desc=task, unit="text") as bar:

            def counted(batch: list[int]) -> None:
                compute(batch)
                bar.update(len(batch))

            self._budget.run(order, slices, len, counted)


def store(encoder: Encoder, ids: Sequence[str], texts: Sequence[str], folder: Path) -> None:
    """Write the states of n >= 1 references to `folder`, a batch at a time, in flat memory.

    `states.npy` has (tokens of all, hidden) float32, reference after reference; `references.json` has the
    tokens of each, and says of which encoder and rows the states are.
    """
    lengths = encoder.lengths(texts)
    starts = np.cumsum([0, *lengths]).tolist()
    with replacing(folder / STATES) as temporary, temporary.open("wb") as file:
        origin = 0

        def embed(batch: list[int]) -> None:
            nonlocal origin
            embedded, _, _ = encoder.embed([texts[index] for index in batch])
            hidden = embedded.shape[-1]
            if not origin:
                header = {"descr": "<f4", "fortran_order": False, "shape": (starts[-1], hidden)}
                np.lib.format.write_array_header_1_0(file, header)
                origin = file.tell()
            # A memory map would end the process on a full disk.
            for index, states in zip(batch, embedded.cpu().numpy(), strict=True):
                file.seek(origin + 4 * hidden * starts[index])
                file.write(states[: lengths[index]].astype("<f4").tobytes())

        encoder.batches(texts, range(len(texts)), "embed references", embed)
    of_rows = {"rows": len(ids), "rows_sha256": _digest(ids, texts), "tokens": lengths}
    write_json(folder / NOTE, {**encoder.note, **of_rows})


class References:
    """Stored states of n references, read from disk as they are needed."""

    def __init__(self, folder: Path, encoder: Encoder, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Open what `store` wrote.

        Raises:
            WaznError: it is missing, or is of another encoder, layer or version of bert-score, or of other
                rows.
        """
        note = read_json(folder / NOTE, ReferencesNote)
        for name, value in {**encoder.note, "rows_sha256": _digest(ids, texts)}.items():
            if note.get(name) != value:
                raise WaznError(
                    f"{folder / NOTE}: these states have another {name} than is asked for; run "
                    "`dvc repro --force --single-item embed_references`, which makes them again"
                )
        self._path = folder / STATES
        self._starts = np.cumsum([0, *note["tokens"]])
        states = self._open()
        if states.shape[:1] != (self._starts[-1],) or states.ndim != 2 or len(texts) != len(note["tokens"]):
            raise damaged(self._path, f"its shape {states.shape} is not that of the references")
        self._texts, self._encoder = texts, encoder

    @classmethod
    def of(
        cls, pairs: pd.DataFrame, config: "EmbedReferencesConfig", resources: "EvaluateResources"
    ) -> "References":
        """Load the encoder, and open the states of the references of `pairs`.

        Raises:
            WaznError: as `Encoder`; and see above.
        """
        budget = Budget.of(resources.bertscore_batch_size, "bertscore_texts")
        encoder = Encoder(paths.base_model(config.encoder), config.layer, budget)
        return cls(paths.REFERENCES, encoder, list(pairs["id"]), list(pairs["answer"]))

    def score(self, answers: Sequence[str], rows: Sequence[int]) -> np.ndarray:
        """BERTScore of m answers, not rescaled: precision, recall and F1, (m, 3); 0 if empty.

        Args:
            answers: m answers.
            rows: the reference of each, an index, m.
        """
        scores = np.zeros((len(answers), 3))
        not_empty = [index for index, answer in enumerate(answers) if answer.strip()]

        def compare(batch: list[int]) -> None:
            chosen = [rows[index] for index in batch]
            # Opened for each batch: what is read through a memory map stays in memory as long as the map.
            states = self._open()
            reference = self._encoder.embed_stored(
                [self._texts[row] for row in chosen],
                [np.array(states[self._starts[row] : self._starts[row + 1]]) for row in chosen],
            )
            answer = self._encoder.embed([answers[index] for index in batch])
            scores[batch] = torch.stack(greedy_cos_idf(*reference, *answer), dim=1).cpu().numpy()

        self._encoder.batches(answers, not_empty, "compare", compare)
        return scores

    def _open(self) -> np.ndarray:
        try:
            states: np.ndarray = np.load(self._path, mmap_mode="r")
        except FileNotFoundError:
            raise missing(self._path) from None
        except (OSError, ValueError, EOFError) as error:
            raise damaged(self._path, "not readable") from error
        return states


def _digest(ids: Sequence[str], texts: Sequence[str]) -> str:
    """SHA-256 over ids and texts, in their order."""
    state = hashlib.sha256()
    for row_id, text in zip(ids, texts, strict=True):
        state.update(f"{row_id}\x1f{text}\x1e".encode())
    return state.hexdigest()
