"""python benchmarks/normalise.py [--texts FILE.xlsx:COLUMN]

Rows/s of Arabic normalisation beside camel-tools and pyarabic, on the same texts in the same run. The peers
are no dependency of wazn: pip install pyarabic emoji six docopt && pip install --no-deps camel-tools

Rows differ where pyarabic writes ى as ا, and where neither peer writes ٫ and ٪ as signs among digits.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from camel_tools.utils.charmap import CharMapper
from camel_tools.utils.dediac import dediac_ar
from camel_tools.utils.normalize import (
    normalize_alef_ar,
    normalize_alef_maksura_ar,
    normalize_teh_marbuta_ar,
    normalize_unicode,
)
from pyarabic import araby, trans

from pipeline.text.normalise import RULES, Normaliser

SAMPLE = Path(__file__).resolve().parent.parent / "data/sample/complaints.jsonl"
LETTERS = {"diacritics", "alef", "ya", "ta_marbuta"}
CLEANING = LETTERS | {"presentation", "tatweel", "digits"}
# camel-tools deletes and maps single characters by a mapper that the user makes.
TATWEEL_AND_DIGITS = CharMapper({"ـ": "", **{chr(0x660 + value): str(value) for value in range(10)}})


def camel_letters(text: str) -> str:
    """Diacritics, alef, ya and ta marbuta by camel-tools."""
    return normalize_teh_marbuta_ar(normalize_alef_maksura_ar(normalize_alef_ar(dediac_ar(text))))


def camel_cleaning(text: str) -> str:
    """The letters, presentation forms, tatweel and digits by camel-tools."""
    return camel_letters(TATWEEL_AND_DIGITS(normalize_unicode(text)))


def pyarabic_letters(text: str) -> str:
    """Diacritics, alef and ya, ta marbuta by pyarabic."""
    return araby.normalize_teh(araby.normalize_alef(araby.strip_diacritics(text)))


def pyarabic_cleaning(text: str) -> str:
    """The letters, ligatures, tatweel and digits by pyarabic."""
    text = trans.normalize_digits(araby.strip_tatweel(araby.normalize_ligature(text)))
    return pyarabic_letters(text)


def ours(rules: set[str]) -> Callable[[Sequence[str]], list[str]]:
    """Our normaliser with these rules alone."""
    return Normaliser([rule for rule in RULES if rule not in rules])


def each(function: Callable[[str], str]) -> Callable[[Sequence[str]], list[str]]:
    """A peer's function over many texts."""
    return lambda texts: [function(text) for text in texts]


def read(where: str | None) -> list[str]:
    """The texts to work on."""
    if where is None:
        lines = SAMPLE.read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["question"] for line in lines]
    path, _, column = where.rpartition(":")
    return [str(text) for text in pd.read_excel(path)[column]]


def main() -> None:
    """Time every contestant in turn, several rounds, and print the best of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts")
    texts = read(parser.parse_args().texts)
    texts = texts * (20_000 // len(texts) + 1)
    print(f"{len(texts)} texts of {sum(map(len, texts)) / len(texts):.0f} characters on average")
    contests = {
        "presentation forms, tatweel, digits, diacritics, alef, ya, ta marbuta": {
            "wazn": ours(CLEANING),
            "camel-tools": each(camel_cleaning),
            "pyarabic": each(pyarabic_cleaning),
        },
        "diacritics, alef, ya, ta marbuta alone": {
            "wazn": ours(LETTERS),
            "camel-tools": each(camel_letters),
            "pyarabic": each(pyarabic_letters),
        },
        "every rule of wazn, privacy included": {"wazn": ours(set(RULES))},
    }
    for title, contestants in contests.items():
        print(f"\n{title}")
        best, results = dict.fromkeys(contestants, float("inf")), {}
        for _ in range(7):
            for name, function in contestants.items():
                start = time.perf_counter()
                results[name] = function(texts)
                best[name] = min(best[name], time.perf_counter() - start)
        for name, seconds in best.items():
            same = sum(a == b for a, b in zip(results["wazn"], results[name], strict=True)) / len(texts)
            line = f"  {name:<12}{len(texts) / seconds:12,.0f} rows/s"
            if name != "wazn":
                line += (
                    f"   wazn is {seconds / best['wazn']:.1f} times as fast; {same:.1%} of the rows agree"
                )
            print(line)


if __name__ == "__main__":
    main()
