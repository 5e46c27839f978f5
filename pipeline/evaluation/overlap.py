"""What can be counted of an answer's characters and words: chrF++, ROUGE-L, length, repetition."""

import re
from collections.abc import Sequence

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.chrf import CHRF

# Python's \w lacks the marks that stand on Arabic letters, and a word does not end at one.
_WORD = re.compile(r"[\w\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]+")


class WordTokenizer:
    """Words of any script; rouge-score's own tokenizer drops all that is not ASCII."""

    def tokenize(self, text: str) -> list[str]:
        """Runs of letters, Arabic marks and digits, in order."""
        return _WORD.findall(text)


def chrf(answers: Sequence[str], references: Sequence[str]) -> list[float]:
    """Sentence chrF++ (character 1- to 6-grams and word 1- and 2-grams, beta 2; sacreBLEU), 0 to 100."""
    metric = CHRF(word_order=2)
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


def word_counts(answers: Sequence[str]) -> list[int]:
    """Words of each answer."""
    return [len(_WORD.findall(answer)) for answer in answers]


def repetition(answers: Sequence[str]) -> list[float]:
    """The share of an answer's word 3-grams that stand in it before, 0 to 1; 0 under 3 words.

    1 - distinct / all: seq-rep-3 of Welleck et al. 2020 (arXiv:1908.04319).
    """
    shares = []
    for answer in answers:
        words = _WORD.findall(answer)
        grams = list(zip(words, words[1:], words[2:], strict=False))
        shares.append(1 - len(set(grams)) / len(grams) if grams else 0.0)
    return shares
