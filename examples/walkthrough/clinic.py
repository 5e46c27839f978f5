"""python examples/walkthrough/clinic.py data/own/clinic.xlsx

Write the sample pairs as a workbook, as a clinic's system may export them; docs/walkthrough.md goes on.
"""

import json
import sys
from pathlib import Path

import pandas as pd

SAMPLE = Path(__file__).resolve().parents[2] / "data/sample/complaints.jsonl"
COLUMNS = {
    "question": "شكوى المريض",
    "answer": "رد الطبيب",
    "severity": "درجة الخطورة",
    "specialty": "العيادة",
}
SEVERITIES = {"critical": "طارئ", "neutral": "مراجعة قريبة", "non_critical": "غير عاجل"}


def main() -> None:
    """Write the workbook that the command names."""
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    rows = pd.DataFrame(map(json.loads, lines))[list(COLUMNS)].replace({"severity": SEVERITIES})
    rows.rename(columns=COLUMNS).to_excel(sys.argv[1], index=False)
    print(f"{sys.argv[1]}: {len(rows)} rows")


if __name__ == "__main__":
    main()
