import re
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from text_reference import ALL, NONE, POSTS, PRESETS, reference

from pipeline.text.normalise import RULES, Normaliser, arabic_shares
from pipeline.text.privacy import PLACEHOLDERS


def normalised(rules, *texts):
    return Normaliser([rule for rule in RULES if not rules[rule]])(texts)


# Single characters and scraps on which rules and NFC act, and any code point.
TROUBLE = [
    *"اأإآٱىيئةهۀۃکیلللـ٣۳٫٬aI0 \n<>&;#!؟.+[]/@",
    *"\u0653\u0654\u0655\u064b\u0651\u0670\u0610\u06d6\u0301\u0323",
    *"\u200b\u200f\ufeff\u00a0\x1c\x85\x00\ud83d\ude00\ufb2c😀\u1100\u1161\u11a8\u0958\U0002f800",
    *"\ufefb\ufdfa\ufdf2\ufe71\ufc60\ufee3\ufdd0",
    *(
        " href='x'",
        "<a ",
        "&amp;",
        "&lt",
        "&gt;",
        "&#x633;",
        "&#1587",
        "&nbsp;",
        "&quot",
        "<br>",
        "<b>",
        "</b>",
        "<sup>",
        "<sub>",
        "<low>",
        "&#1;",
        "&frac12;",
        "<!-- ",
        "-->",
    ),
    *("050", "1234567", "٠٥٠", "966", "www.", "https://", "t.me/", "a@b.com", "رقم الهوية "),
    *(
        "لا",
        "مش",
        "ومو",
        "غير",
        "اا",
        "لل",
        "ممم",
        "تتت",
        "هههه",
        "الل",
        "..",
        "--",
        "''",
        "1",
        "٢",
        "½",
        "ال",
        "ـ",
    ),
    *("\u200c", "\u200b", "\u2066", "\u00ad", "\u200d", "،", ". ", "  "),
    *PLACEHOLDERS.values(),
    "[هويه]",
]
TEXTS = st.lists(st.one_of(st.sampled_from(TROUBLE), st.characters()), max_size=16).map("".join)
SWITCHES = st.one_of(
    st.sampled_from([ALL, *PRESETS.values()]),
    st.fixed_dictionaries({rule: st.booleans() for rule in RULES}),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, max_size=6), SWITCHES)
@example(["ى\u0654", "\u0654", "", "ى"], {**NONE, "ya": True})
@example(["ا", "اا", "ا", "", "اا"], {**NONE, "elongation": True})
@example(["a ", " ", " a", "!", "!!"], {**NONE, "whitespace": True, "punctuation": True})
@example(["\u0653", "ا\u200b\u0653\u0653", "ا"], {**NONE, "invisible": True, "alef": True})
@example(["\ufb2c" * 5, "\ud83d", "\ude00", "😀"], NONE)
@example(["\ufdfa" * 9], {**NONE, "presentation": True})
@example(["&\u200bamp;", "&#٦٥;", "&##65;", "<\u200bb>"], ALL)
def test_whatever_the_texts_and_the_switches(texts, rules):
    normalise = Normaliser([rule for rule in RULES if not rules[rule]])
    once = normalise(texts)
    assert normalise(once) == once, "idempotent"
    assert once == [normalise([text])[0] for text in texts], "neighbours make no difference"
    assert once == [reference(text, rules) for text in texts]
    for text, result in zip(texts, once, strict=True):
        assert unicodedata.is_normalized("NFC", result)
        assert len(result) <= 18 * len(text)
        assert result.encode("utf-8").decode("utf-8") == result


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXTS, max_size=6))
def test_with_no_rule_nothing_but_the_composition_changes(texts):
    fit = [re.sub("[\ud800-\udfff]", "\ufffd", text) for text in texts]
    assert normalised(NONE, *texts) == [unicodedata.normalize("NFC", text) for text in fit]


@settings(max_examples=100, deadline=None)
@given(st.text("0123456789IVXabc ", max_size=12), SWITCHES)
def test_latin_letters_and_short_numbers_are_never_changed(text, rules):
    wanted = " ".join(text.split()) if rules["whitespace"] else text
    if sum(map(str.isdigit, text)) < 6:
        assert normalised(rules, text) == [wanted]


def test_a_lone_surrogate_becomes_the_replacement_character():
    assert normalised(NONE, "ألم\ud83d", "\ude00", "\ud83d\ude00😀") == [
        "ألم\ufffd",
        "\ufffd",
        "\ufffd\ufffd😀",
    ]


def test_many_texts_are_cut_into_pieces_without_a_trace():
    texts = [f"أَلَم{'ـ' * (n % 50)} {'ا' * (n % 7)} {n % 10}" for n in range(5000)]
    assert sum(map(len, texts)) > 2 * 60_000
    assert normalised(ALL, *texts) == [reference(text, ALL) for text in texts]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.skipif(not POSTS.exists(), reason="the real posts are not part of the repository")
def test_real_posts_come_out_as_the_reference_says(preset):
    posts = pd.read_excel(POSTS)["Post"].astype(str).tolist()
    assert len(posts) > 2000
    found = normalised(PRESETS[preset], *posts)
    # Not the texts themselves, which an assertion would print.
    wrong = [row for row, post in enumerate(posts) if reference(post, PRESETS[preset]) != found[row]]
    assert wrong == []
    assert normalised(PRESETS[preset], *found) == found


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=8))
def test_arabic_shares_are_those_of_a_count_by_character(texts):
    wanted = []
    for text in texts:
        letters = [character for character in text if character.isalpha()]
        arabic = [
            letter for letter in letters if re.match("[\u0600-\u06ff\u0750-\u077f\ufb50-\ufefc]", letter)
        ]
        wanted.append(len(arabic) / len(letters) if letters else 0.0)
    np.testing.assert_array_equal(arabic_shares(texts), wanted)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("صداع", 1.0),
        ("fever", 0.0),
        ("حمى abc", 0.5),
        ("38.5!؟", 0.0),
        ("", 0.0),
        ("درجة 40 ", 1.0),
        ("\ufefb", 1.0),
        ("ع\U00030000", 0.5),
    ],
)
def test_the_arabic_share_counts_letters_only(text, share):
    assert arabic_shares([text]).tolist() == [share]
