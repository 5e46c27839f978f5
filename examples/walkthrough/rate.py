"""python examples/walkthrough/rate.py data/reviews/ROUND/rater-1.xlsx …

Fill in raters' workbooks, in the place of physicians, so that docs/walkthrough.md can go on without them.
Longer answers get the better ratings, more or less; nothing of it says anything of an answer.
"""

import random
import sys
from collections import defaultdict
from pathlib import Path

from openpyxl import load_workbook

HEAD = 2


def rate(path: Path) -> int:
    """Fill in one workbook; returns the number of its complaints."""
    book = load_workbook(path)
    sheet = book["ratings"]
    column = {cell.value: cell.column for cell in sheet[HEAD]}
    choices = defaultdict(list)
    for scale, _, label in book["choices"].iter_rows(min_row=2, values_only=True):
        choices[scale].append(label)
    complaints = defaultdict(list)
    for row in range(HEAD + 1, sheet.max_row + 1):
        complaints[sheet.cell(row, column["item"]).value].append(row)
    chance = random.Random(path.name)
    for rows in complaints.values():
        lengths = {row: len(sheet.cell(row, column["answer"]).value or "") for row in rows}
        best = max(rows, key=lambda row: lengths[row] + chance.gauss(0, 30))
        for row in rows:
            steps = choices["correct"]
            sheet.cell(row, column["correct"]).value = steps[chance.choice((1, 2)) + (row == best)]
            sheet.cell(row, column["harm"]).value = choices["harm"][
                chance.choice((0, 0, 1)) if row == best else 1
            ]
            sheet.cell(row, column["urgency"]).value = chance.choice(choices["urgency"][:2])
            sheet.cell(row, column["language"]).value = choices["language"][1 + (row == best)]
        letter = sheet.cell(best, column["letter"]).value
        sheet.cell(rows[0], column["preferred"]).value = next(
            label for label in choices["preferred"] if label.startswith(letter)
        )
    book.save(path)
    return len(complaints)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{Path(name).name}: {rate(Path(name))} complaints rated")
