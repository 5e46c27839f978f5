"""python benchmarks/emergency.py

How many critical complaints get the emergency notice of `wazn ask`, and how many others? On the test pairs
of the present project whose severity people gave, before any answer is written: by p_critical, by the
words of the complaint, or by either. Prints a table in Markdown, with 95 % intervals (Wilson's, near
duplicates as one).
"""

import argparse

import numpy as np

from pipeline import paths, schemas
from pipeline.commands.asking.emergency import signs
from pipeline.evaluation.group_intervals import group_codes, share_interval
from pipeline.parquet_inputs import read_parquet
from pipeline.severities import PROBABILITIES, SEVERITIES


def main() -> None:
    """Look for signs in the test complaints, and print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    scored = read_parquet(paths.SCORED, schemas.SCORED)
    rows = scored[(scored["split"] == "test") & scored["severity_human"].notna()]
    critical = (rows["severity_human"] == SEVERITIES[-1]).to_numpy()
    codes = group_codes(list(rows["group"]))
    probabilities = rows[list(PROBABILITIES)].to_numpy()
    reasons = [signs(*pair) for pair in zip(rows["question"], probabilities, strict=True)]
    print(f"| sign | of {critical.sum()} critical complaints | of {(~critical).sum()} others |")
    print("|---|---|---|")
    for name, of in (
        ("p_critical", {"p_critical"}),
        ("words", {"words"}),
        ("either", {"p_critical", "words"}),
    ):
        noticed = np.array([not of.isdisjoint(each) for each in reasons])
        print(f"| {name} | {share(noticed, critical, codes)} | {share(noticed, ~critical, codes)} |")


def share(noticed: np.ndarray, among: np.ndarray, codes: np.ndarray) -> str:
    """The share of `noticed` rows among some, with its interval."""
    figure = share_interval(noticed[among], group_codes(list(codes[among])))
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


if __name__ == "__main__":
    main()
