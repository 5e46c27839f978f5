import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from pipeline.config.params import load
from pipeline.data.duplicates import LEAST, LONGER, MOST, SIMILAR, Sketches
from pipeline.text.normalise import Normaliser

ROOT = Path(__file__).resolve().parents[2]
POSTS = ROOT / "../shared/data/severity_posts.xlsx"
LETTERS = np.array(list("بتثجحخدذرزسشصضطظعغفق"))


def sketched(folder, texts, batch=1000):
    """Keys and groups of texts that are added a batch at a time."""
    folder.mkdir()
    sketches = Sketches(folder)
    keys = [sketches.add(texts[start : start + batch]) for start in range(0, len(texts), batch)]
    return np.concatenate([np.zeros(0, dtype=np.uint64), *keys]), sketches.groups()


def made_up(count, words, seed):
    """Texts of random words of four letters."""
    random = np.random.default_rng(seed)
    return [" ".join(map("".join, random.choice(LETTERS, (words, 4)))) for _ in range(count)]


def edited(text, share, seed):
    """A text with a share of its words written anew."""
    random = np.random.default_rng(seed)
    return " ".join(
        "".join(random.choice(LETTERS, 4)) if random.random() < share else word for word in text.split(" ")
    )


def shingles(text):
    text = text.ljust(5, "\0")
    return {text[start : start + 5] for start in range(len(text) - 4)}


def exact(texts, least):
    """Every pair of texts of exact Jaccard similarity >= least: first, second, similarity."""
    sets = CountVectorizer(analyzer=shingles, binary=True).fit_transform(texts).astype("int32")
    common = (sets @ sets.T).tocoo()
    sizes = np.asarray(sets.sum(axis=1)).ravel()
    similarity = common.data / (sizes[common.row] + sizes[common.col] - common.data)
    chosen = (common.row < common.col) & (similarity >= least)
    return common.row[chosen], common.col[chosen], similarity[chosen]


@pytest.fixture(scope="module")
def corpus():
    """Texts with copies of theirs, edited a little, a good deal, and beyond likeness."""
    originals = made_up(300, 60, seed=1)
    shares = [0.0, 0.01, 0.03, 0.1, 0.3]
    return originals + [
        edited(text, share, seed) for seed, text in enumerate(originals) for share in shares[seed % 2 :]
    ]


def test_near_duplicates_are_in_one_group_and_unlike_texts_are_not(corpus, tmp_path):
    _, groups = sketched(tmp_path / "s", corpus)
    first, second, similarity = exact(corpus, 0.05)
    together = groups[first] == groups[second]
    assert ((similarity >= 0.9) & (similarity < 1)).sum() > 300, "the corpus has what is asked about"
    assert ((similarity > 0.3) & (similarity < 0.6)).sum() > 300
    assert together[similarity >= 0.9].all()
    # Two unlike texts may both be like a third, but never be connected by unlike ones.
    apart = np.arange(len(corpus))
    for one, other in zip(first[similarity >= 0.6], second[similarity >= 0.6], strict=True):
        apart[apart == apart[other]] = apart[one]
    assert (apart[first] != apart[second]).sum() > 300
    assert not together[apart[first] != apart[second]].any()


def test_pairs_of_less_than_the_threshold_are_not_grouped(tmp_path):
    texts = made_up(500, 30, seed=2)
    texts += [edited(text, 0.25, seed) for seed, text in enumerate(texts)]
    _, groups = sketched(tmp_path / "s", texts)
    first, second, similarity = exact(texts, 0.3)
    assert (similarity < 0.6).sum() > 200
    assert not (groups[first] == groups[second])[similarity < 0.6].any()


@pytest.mark.slow
def test_keys_are_shared_as_often_as_their_docstring_says(tmp_path):
    texts = made_up(2000, 30, seed=3)
    texts += [edited(text, 0.04, seed) for seed, text in enumerate(texts)]
    keys, _ = sketched(tmp_path / "s", texts)
    sets = [shingles(text) for text in texts]
    similarity = np.array([len(a & b) / len(a | b) for a, b in zip(sets[:2000], sets[2000:], strict=True)])
    assert 0.5 < similarity.mean() < 0.9
    shared = keys[:2000] == keys[2000:]
    # Of 2,000 draws; the standard error is at most 0.011.
    assert shared.mean() == pytest.approx((similarity**2).mean(), abs=0.035)
    # Unlike texts have a shingle in common now and then.
    assert len(np.unique(keys[:2000])) >= 1990


@pytest.mark.slow
def test_the_threshold_lies_where_it_is_said_to_lie(tmp_path):
    """The estimate is unbiased, so about half of the pairs just at the threshold are grouped."""
    texts = made_up(3000, 40, seed=4)
    texts += [edited(text, 0.045, seed) for seed, text in enumerate(texts)]
    _, groups = sketched(tmp_path / "s", texts)
    sets = [shingles(text) for text in texts]
    similarity = np.array([len(a & b) / len(a | b) for a, b in zip(sets[:3000], sets[3000:], strict=True)])
    together = groups[:3000] == groups[3000:]
    at, above, below = (
        (similarity > SIMILAR + low) & (similarity < SIMILAR + high)
        for low, high in ((-0.015, 0.015), (0.06, 0.1), (-0.12, -0.08))
    )
    assert min(at.sum(), above.sum(), below.sum()) > 80
    assert 0.3 < together[at].mean() < 0.7
    assert together[above].mean() > 0.95
    assert together[below].mean() < 0.05


def test_a_group_is_named_by_its_first_text(tmp_path):
    a, b, c = made_up(3, 30, seed=5)
    _, groups = sketched(tmp_path / "s", [a, b, b, a, c, b, a])
    assert groups.tolist() == [0, 1, 1, 0, 4, 1, 0]


def test_likeness_passes_on_from_text_to_text(tmp_path):
    [text] = made_up(1, 60, seed=6)
    chain = [text]
    for word in range(0, 60, 3):
        words = chain[-1].split(" ")
        words[word] = "كلمة"
        chain.append(" ".join(words))
    _, groups = sketched(tmp_path / "s", chain)
    ends = shingles(chain[0]), shingles(chain[-1])
    assert len(ends[0] & ends[1]) / len(ends[0] | ends[1]) < 0.5
    assert set(groups) == {0}


def test_how_texts_are_cut_into_batches_makes_no_difference(corpus, tmp_path):
    texts = ["", "ا", *corpus[:250], "😀" * 20]
    keys, groups = sketched(tmp_path / "once", texts, batch=5000)
    for batch in (1, 7, 256):
        again, found = sketched(tmp_path / str(batch), texts, batch)
        np.testing.assert_array_equal(again, keys)
        np.testing.assert_array_equal(found, groups)


def test_no_text_gives_no_group(tmp_path):
    keys, groups = sketched(tmp_path / "s", [])
    assert (len(keys), len(groups)) == (0, 0)
    assert Sketches(tmp_path / "s").add([]).tolist() == []


def test_texts_shorter_than_a_shingle_are_alike_only_if_they_are_the_same(tmp_path):
    texts = ["", "ا", "اا", "ب", "صداع", "ا", "", "صدا", "ااااا", "اااااا"]
    _, groups = sketched(tmp_path / "s", texts)
    # Of one letter over and over there is one shingle, however long it is.
    assert groups.tolist() == [0, 1, 2, 3, 4, 1, 0, 7, 8, 8]


def test_ten_thousand_copies_are_one_group_in_little_time(tmp_path):
    [text, other] = made_up(2, 20, seed=7)
    start = time.perf_counter()
    _, groups = sketched(tmp_path / "s", [other, *[text] * 10_000])
    assert groups.tolist() == [0, *[1] * 10_000]
    assert time.perf_counter() - start < 10


def test_variants_of_many_templates_are_found_among_thousands_alike(tmp_path):
    """Texts that agree but for a word fill the same buckets; each has to find its own copies there."""
    random = np.random.default_rng(8)
    words = made_up(1, 400, seed=9)[0].split(" ")
    frames = made_up(20, 8, seed=10)
    texts = [f"{frames[n % 20]} {' '.join(random.choice(words, 5))}" for n in range(3000)]
    texts += [texts[n] + "ا" for n in range(0, 3000, 3)]
    _, groups = sketched(tmp_path / "s", texts)
    first, second, _ = exact(texts, 0.9)
    assert len(first) > 900
    assert (groups[first] == groups[second]).mean() > 0.99


COMPLAINT = "اعاني من الم في المعدة بعد كل وجبة منذ شهر واخذت دواء للحموضة بلا فائدة"
# Invented, with words of politeness that no list has.
AROUND = ("كتبت قبل ايام ولم يصلني شيء فاعيد ما كتبت هنا", "وساعود في المساء لاقرا ما تكتبون لي")


def test_a_complaint_in_politeness_is_in_the_group_of_the_complaint_and_has_its_key(tmp_path):
    texts = made_up(50, 8, seed=11)
    wrapped = [f"السلام عليكم ورحمة الله دكتور لو سمحت {text} ارجو الرد وجزاكم الله خيرا" for text in texts]
    keys, groups = sketched(tmp_path / "s", texts + wrapped)
    assert groups.tolist() == [*range(50)] * 2
    np.testing.assert_array_equal(keys[:50], keys[50:])


def test_a_complaint_within_a_longer_text_is_in_its_group_whichever_comes_first(tmp_path):
    longer = f"{AROUND[0]} {COMPLAINT} {AROUND[1]}"
    assert sketched(tmp_path / "a", [COMPLAINT, longer])[1].tolist() == [0, 0]
    assert sketched(tmp_path / "b", [longer, COMPLAINT])[1].tolist() == [0, 0]


def test_complaints_within_longer_texts_are_found_among_thousands(tmp_path):
    texts = made_up(2000, 14, seed=12)
    around = made_up(2000, 14, seed=13)
    longer = [f"{start[:34]} {text} {start[35:]}" for text, start in zip(texts, around, strict=True)]
    _, groups = sketched(tmp_path / "s", texts + longer)
    assert (groups[:2000] == groups[2000:]).mean() > 0.98
    assert len(np.unique(groups)) >= 1999


@pytest.mark.parametrize(
    "around", [AROUND, ("السلام عليكم ورحمة الله وبركاته", "جزاكم الله كل خير وشكرا لكم")]
)
def test_different_complaints_in_the_same_words_around_are_not_grouped(around, tmp_path):
    texts = made_up(500, 10, seed=14)
    _, groups = sketched(tmp_path / "s", [f"{around[0]} {text} {around[1]}" for text in texts])
    assert len(np.unique(groups)) == 500


def test_formulas_alone_are_not_all_one_group(tmp_path):
    texts = ["السلام عليكم ورحمة الله وبركاته", "شكرا جزيلا لكم", "ارجو الرد ضروري", "صباح الخير يا دكتور"]
    assert sketched(tmp_path / "s", texts)[1].tolist() == [0, 1, 2, 3]


def test_a_short_text_that_stands_in_others_does_not_bring_them_together(tmp_path):
    """`LEAST` is the fewest characters that count as a complaint of somebody's own."""
    [short] = made_up(1, LEAST // 5 - 1, seed=15)
    texts = [short, *(f"{short} {text}" for text in made_up(30, 12, seed=16))]
    assert sketched(tmp_path / "s", texts)[1].tolist() == [*range(31)]


def test_a_text_in_very_many_others_brings_only_a_few_of_them_together(tmp_path):
    [common] = made_up(1, 12, seed=17)
    texts = [common, *(f"{common} {text}" for text in made_up(200, 20, seed=18))]
    _, groups = sketched(tmp_path / "s", texts)
    assert np.bincount(groups).max() <= MOST + 1


def test_texts_that_grow_from_one_to_the_next_stay_within_a_length(tmp_path):
    words = made_up(1, 400, seed=19)[0].split(" ")
    texts = [" ".join(words[: 12 * 2**step]) for step in range(6)]
    _, groups = sketched(tmp_path / "s", texts)
    lengths = np.array([len(text) for text in texts])
    assert len(np.unique(groups)) > 1
    for group in np.unique(groups):
        assert lengths[groups == group].max() <= LONGER * lengths[groups == group].min()


def test_keys_depend_on_the_text_alone_whatever_stands_beside_it(tmp_path):
    texts = [f"مرحبا {COMPLAINT}", *made_up(30, 12, seed=20), "شكرا"]
    keys, _ = sketched(tmp_path / "all", texts)
    for number in (0, 7, 31):
        alone, _ = sketched(tmp_path / str(number), [texts[number]])
        assert alone[0] == keys[number]


@pytest.mark.skipif(not POSTS.exists(), reason="the real posts are not part of the repository")
def test_near_duplicates_of_the_real_posts_are_found(tmp_path):
    off = load(ROOT / "params.yaml").normalise.rules_off.classifier
    texts = Normaliser(off)(pd.read_excel(POSTS)["Post"].astype(str).tolist())
    _, groups = sketched(tmp_path / "s", texts)
    first, second, similarity = exact(texts, 0.8)
    assert len(first) > 50
    together = groups[first] == groups[second]
    assert together.mean() >= 0.95
    assert together[similarity >= 0.9].all()


@pytest.mark.skipif(not POSTS.exists(), reason="the real posts are not part of the repository")
def test_reposts_of_the_real_posts_in_politeness_are_found(tmp_path):
    posts = [text for text in Normaliser()(pd.read_excel(POSTS)["Post"].astype(str).tolist()) if text]
    chosen = np.random.default_rng(1).choice(len(posts), 600, replace=False)
    formulas = [
        ("السلام عليكم ورحمه الله وبركاته", "جزاكم الله خيرا"),
        ("دكتور لو سمحت", "ارجو الرد"),
        ("صباح الخير يا دكتور", "بارك الله فيكم وشكرا"),
    ]
    wrapped = [f"{formulas[n % 3][0]} {posts[n]} {formulas[n % 3][1]}" for n in chosen]
    _, groups = sketched(tmp_path / "s", posts + wrapped)
    assert (groups[chosen] == groups[len(posts) :]).mean() > 0.97
    # In the same formulas, posts that are not alike are not either.
    _, before = sketched(tmp_path / "before", posts)
    _, after = sketched(tmp_path / "after", [f"{formulas[0][0]} {post} {formulas[0][1]}" for post in posts])
    assert len(np.unique(after)) >= 0.998 * len(np.unique(before))
