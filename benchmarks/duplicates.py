"""python benchmarks/duplicates.py --posts ../shared/data/severity_posts.xlsx

Are reposts found, and only reposts? On real posts:

- recall: 600 posts are each reposted in politeness; how many are in one group with their post. Half of the
  wrappings are of formulas that people use every day, half say things that no list of formulas has.
- precision: of pairs of different posts in one and the same wrapping, how many are put together by it; and
  the groups of the posts as they are, which `--pairs` prints to be read, by row numbers only.

Prints a table in Markdown. Under a minute on 2 cores.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.duplicates import Sketches
from pipeline.text.normalise import Normaliser

REPOSTS = 600
EVERYDAY = [
    ("السلام عليكم ورحمة الله وبركاته", "جزاكم الله خيرا"),
    ("دكتور لو سمحت", "أرجو الرد"),
    ("صباح الخير يا دكتور، الله يعطيك العافية", "شكرا جزيلا لك مقدما"),
    ("مساء النور، لو سمحتم عندي استفسار", "أرجو الإفادة وبارك الله فيكم"),
    ("بسم الله الرحمن الرحيم السلام عليكم دكتورنا الفاضل", "في انتظار ردكم وجعله الله في ميزان حسناتكم"),
    ("مرحبا دكتور كيف حالك إن شاء الله بخير", "الله يحفظك ويوفقك، تسلم"),
]
UNLISTED = [
    ("أنا من متابعي صفحتكم منذ مدة وأول مرة أكتب", "أتمنى أن يقرأ أحد رسالتي هذه"),
    ("كتبت قبل هذا ولم يصلني شيء فأعيد ما كتبت", "سأعود مساء لأقرأ ما كتبتم"),
    ("أكتب لكم من جوال أخي لأن جوالي تعطل", "وأعانكم على هذا العمل الطيب"),
]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--posts", type=Path, required=True, help="XLSX with Post")
    parser.add_argument("--pairs", type=Path, help="write the pairs of rows in one group to this CSV file")
    options = parser.parse_args()
    normalise = Normaliser()
    posts = [
        text
        for text in normalise(pd.read_excel(options.posts)["Post"].dropna().astype(str).tolist())
        if text
    ]
    groups = grouped(posts)
    if options.pairs:
        pairs = pd.DataFrame({"row": range(len(posts)), "first": groups}).query("row != first")
        pairs.to_csv(options.pairs, index=False)
    print("| what | of | found |\n|---|---|---|")
    sizes = np.unique(groups, return_counts=True)[1]
    sizes = sizes[sizes > 1]
    print(f"| posts in groups, as they are | {len(posts)} | {sizes.sum()} in {len(sizes)} groups |")
    chosen = np.random.default_rng(0).choice(len(posts), REPOSTS, replace=False).tolist()
    for name, wrappings in (("everyday formulas", EVERYDAY), ("unlisted sentences", UNLISTED)):
        reposts = normalise(
            [wrapped(posts[row], wrappings[number % len(wrappings)]) for number, row in enumerate(chosen)]
        )
        together = grouped(posts + reposts)
        found = (together[chosen] == together[len(posts) :]).sum()
        print(f"| reposts in {name} | {REPOSTS} | {found} ({found / REPOSTS:.1%}) |")
    for name, wrapping in (("everyday formulas", EVERYDAY[4]), ("unlisted sentences", UNLISTED[0])):
        alike = grouped(normalise([wrapped(post, wrapping) for post in posts]))
        joined = len(np.unique(groups)) - len(np.unique(alike))
        print(
            f"| groups that the same {name} around every post join | {len(np.unique(groups))} | {joined} |"
        )


def wrapped(post: str, wrapping: tuple[str, str]) -> str:
    """A post between two sentences."""
    return f"{wrapping[0]} {post} {wrapping[1]}"


def grouped(texts: list[str]) -> np.ndarray:
    """The first text of the group of each of n texts, (n,)."""
    with tempfile.TemporaryDirectory() as folder:
        sketches = Sketches(Path(folder))
        sketches.add(texts)
        return sketches.groups()


if __name__ == "__main__":
    main()
