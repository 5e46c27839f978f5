"""How much a generated answer agrees with the physician's: chrF, ROUGE-L and BERTScore."""

import re
from collections.abc import Sequence
from pathlib import Path

from bert_score import BERTScorer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.chrf import CHRF

from pipeline.errors import WaznError
from pipeline.training.runtime import device


class WordTokenizer:
    """Words of any script; rouge-score's own tokenizer drops all that is not ASCII."""

    def tokenize(self, text: str) -> list[str]:
        """Runs of letters, marks and digits, in order."""
        return re.findall(r"\w+", text)


def chrf(answers: Sequence[str], references: Sequence[str]) -> list[float]:
    """Sentence chrF (character 1- to 6-grams, beta 2; sacreBLEU) of each answer, 0 to 100."""
    metric = CHRF()
    return [
        metric.sentence_score(answer, [reference]).score
        for answer, reference in zip(answers, references, strict=True)
    ]


def rouge_l(answers: Sequence[str], references: Sequence[str]) -> list[float]:
    """ROUGE-L F1 (longest common subsequence of words) of each answer, 0 to 1."""
    scorer = RougeScorer(["rougeL"], tokenizer=WordTokenizer())
    return [
        scorer.score(reference, answer)["rougeL"].fmeasure
        for answer, reference in zip(answers, references, strict=True)
    ]


def bertscore_f1(
    answers: Sequence[str], references: Sequence[str], encoder: Path, layer: int, batch_size: int
) -> list[float]:
    """BERTScore F1 (arXiv:1904.09675, package bert-score) of each answer, not rescaled; 0 if empty.

    Args:
        encoder: folder of the encoder whose states are compared.
        layer: after which of its layers, from 1.
        batch_size: texts encoded at once.

    Raises:
        WaznError: the encoder has fewer layers.
    """
    spoken = [index for index, answer in enumerate(answers) if answer]
    scores = [0.0] * len(answers)
    if spoken:
        try:
            scorer = BERTScorer(
                model_type=str(encoder), num_layers=layer, batch_size=batch_size, device=str(device())
            )
        except AssertionError as error:
            raise WaznError(f"evaluate.bertscore.layer: {encoder} has fewer than {layer} layers") from error
        # bert-score cuts texts where the tokenizer says, and not every tokenizer does.
        limit = scorer._model.config.max_position_embeddings
        scorer._tokenizer.model_max_length = min(scorer._tokenizer.model_max_length, limit)
        _, _, found = scorer.score([answers[i] for i in spoken], [references[i] for i in spoken])
        for index, value in zip(spoken, found.tolist(), strict=True):
            scores[index] = value
    return scores
