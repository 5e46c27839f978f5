"""Numbers, ranges, fractions, comparisons, units and negations are the same before and after normalisation.

What they are is said here by themselves: no table of the library is used.
"""

import re
import unicodedata
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config.params import load
from pipeline.text.normalise import PRIVACY, RULES, Normaliser

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / "../shared/data"
PRESETS = {name: tuple(off) for name, off in load(ROOT / "params.yaml").normalise.rules_off}

PLACEHOLDER = re.compile(r"\[(?:رابط|بريد|هاتف|هوي[ةه]|اسم)\]")
NEGATIONS = "لا|ما|مش|مو|مب|ليس|لم|لن|غير|بدون|مافي|مفيش|ماكو".split("|")  # noqa: SIM905
UNITS = [
    *(
        "مل",
        "ملغ",
        "مجم",
        "ملجم",
        "جم",
        "غرام",
        "كغ",
        "كجم",
        "سم",
        "مم",
        "لتر",
        "وحده",
        "حبه",
        "ساعه",
        "ساعات",
    ),
    *("يوم", "ايام", "mg", "ml", "g", "kg", "cm", "mm", "IU", "mmol", "dl"),
]
LETTER = "[\u0621-\u063a\u0641-\u064a\u0671-\u06d3A-Za-z]"
MARKS = "\u064b-\u065f\u0670"
SEPARATING = "\u200b\u200c\u2066-\u2069\u180e\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
TRANSPARENT = "\u00ad\u061c\u200d-\u200f\u202a-\u202e\u2060-\u2065\u206a-\u206f\ufeff"
GONE = SEPARATING + TRANSPARENT
TAGS = ["<br>", "<br/>", "</b>", "<div>", "<span class='x'>", '<a href="x">', "<!-- x -->", "<TD>"]
ENTITIES = {
    **{
        "&lt;": "<",
        "&gt;": ">",
        "&nbsp;": " ",
        "&times;": "×",
        "&frac12;": "½",
        "&divide;": "÷",
        "&le;": "≤",
    },
    **{
        "&#1633;": "١",
        "&shy;": "\u00ad",
        "&zwnj;": "\u200c",
        "&rlm;": "\u200f",
        "&deg;": "°",
        "&#x664;": "٤",
    },
}
TOKEN = re.compile(
    rf"(?P<number>{PLACEHOLDER.pattern}|\d+(?:[.,،]\d+)*)|(?P<sign>[<>≤≥≠±%‰°½¼¾⅓²³٭]|=+)"
    r"|(?P<join>(?<=\d)\s*(?:\.{2,}|…+|(?:[-–—~]\s*)+|(?:[/÷×*:^]\s*)+|،{2,}|,{2,}|\+)\s*(?=[\d\[]))|(?P<minus>-+\s*(?=\d))"
    rf"|(?P<word>{LETTER}+)"
)


def plain(text, html):
    """A text with one spelling of digits, and without what has no meaning."""
    if html:
        for entity, character in ENTITIES.items():
            text = text.replace(entity, character)
        for tag in TAGS:
            text = text.replace(tag, " ")
    text = "".join(
        str(unicodedata.decimal(character)) if character.isdecimal() else character for character in text
    )
    text = text.translate(str.maketrans("٫٬٪أإآىیةک", ".,%اااييهك"))
    gone = f"[{GONE}{MARKS}]*"
    text = re.sub(rf"(?<=[\d½²]){gone}ـ[{GONE}{MARKS}ـ]*(?=[\d½²])", "-", text)
    text = re.sub(rf"(?<=[\dA-Za-z½²]){gone}ـ[{GONE}{MARKS}ـ]*(?={LETTER})", " ", text)
    text = re.sub(
        rf"(?<![-–—~\u0621-\u064a{GONE}{MARKS}ـ]){gone}ـ[{GONE}{MARKS}ـ]*(?![-–—~\u0621-\u064a])", "-", text
    )
    text = re.sub(rf"(?<=[\d½²])[{GONE}{MARKS}]+(?=[\d½²])", " ", text)
    text = re.sub(f"[ـ{MARKS}]", "", text)
    text = re.sub(
        rf"(?<!{LETTER})([وف]?(?:{'|'.join(NEGATIONS)}))[{GONE}]+(?={LETTER}|[\d½²])", r"\1 ", text
    )
    return re.sub(f"[{TRANSPARENT}]", "", re.sub(f"[{SEPARATING}]", " ", text))


def meaning(text, html=True):
    """The numbers, signs, joints between numbers, units after numbers and negations, in their order."""
    found, number = [], None
    text = plain(text, html)
    for match in TOKEN.finditer(text):
        kind, token = match.lastgroup, re.sub(r"\s", "", match[0])
        if kind == "word":
            # A letter that is stretched in the middle or at the end is one.
            word = re.sub(r"(?<=.)(.)\1\1+", r"\1", token)
            short = re.sub(r"(.)\1\1+", r"\1", token)
            word = short if short in ("لا", "لم", "لن", "ما", "مش", "مو", "مب") else word
            after_number = number is not None and re.fullmatch(r"[\s-]*", text[number : match.start()])
            if word in NEGATIONS or (after_number and word in UNITS):
                found.append(word)
        elif kind == "minus" and re.search(r"[\w\]]\s*\Z", text[: match.start()]):
            continue  # a dash after a word
        elif kind == "number":
            found.append("#" if PLACEHOLDER.fullmatch(token) else token)
            number = match.end()
        else:
            token = "-" if re.fullmatch(r"[-–—~\s]+", token) else re.sub(r"([=…])\1+", r"\1", token)
            found.append(re.sub(r"^\.{2,}$", "..", re.sub(r"([/*:^،,])\1+", r"\1\1", token)))
            number = match.end() if kind == "sign" else number
    return [token for index, token in enumerate(found) if token != "=" or found[index - 1 : index] != ["="]]


def kept(before, after):
    """Whether two meanings are the same, a placeholder standing for anything."""
    pattern = r"".join(r"(?:\S+ )*" if token == "#" else re.escape(f"{token} ") for token in after)
    return re.fullmatch(pattern, "".join(f"{token} " for token in before)) is not None


@cache
def normaliser(off):
    return Normaliser(off)


NUMBERS = st.one_of(
    st.sampled_from(
        ["1", "٢", "۳", "５", "40", "١٢", "500", "٣٨٫٥", "1.5", "1,000", "١٬٠٠٠", "½", "120/80", "١/٢"]
    ),
    st.integers(0, 99_999).map(str),
)
BETWEEN = st.sampled_from(
    [
        *(
            "ـ",
            "ــ",
            "..",
            "...",
            ".",
            ",",
            "،",
            "-",
            "--",
            "–",
            "—",
            "~",
            "/",
            "×",
            "÷",
            ":",
            "<",
            ">",
            "≤",
            "≥",
            "=",
        ),
        *(
            " - ",
            " ـ ",
            " .. ",
            "…",
            " ",
            "\n",
            "  ",
            "%",
            "٪",
            "‰",
            "°",
            "+",
            "'",
            "''",
            "<low>",
            "<5>",
            " < ",
        ),
        *(
            "\u200b",
            "\u200c",
            "\u200d",
            "\u200e",
            "\u200f",
            "\u00ad",
            "\u061c",
            "\u2066",
            "\ufeff",
            "\x00",
            "\u202b",
        ),
        *("\u064e", "\u0651", "\u0640\u064b", "\u064bـ", "\u200fـ", "ـ\u200c"),
    ]
)
WORDS = st.sampled_from(
    [
        *NEGATIONS,
        *UNITS,
        "حبة",
        "ساعة",
        "كل",
        "خذ",
        "قادر",
        "ألم",
        "ولا",
        "كتيييير",
        "لاااا",
        "Panadol",
        "تتتابع",
    ]
)
MARKUP = st.sampled_from([*TAGS, *ENTITIES])
TEXTS = st.lists(st.one_of(NUMBERS, BETWEEN, NUMBERS, WORDS, MARKUP, st.just(" ")), max_size=12).map(
    "".join
)
OFF = st.one_of(st.sampled_from([(), *PRESETS.values()]), st.sets(st.sampled_from(RULES)).map(tuple))


@settings(max_examples=600, deadline=None, derandomize=True)
@given(TEXTS, OFF)
@example("خذ 1ـ2 حبة كل 6ـ8 ساعات", ())
@example("2..3 مل و ٤..٥ ساعات", ())
@example("1\u200c2 و 1\u200f2 و 1&shy;2", ("phones",))
@example("مش\u200cقادر لا\u200fيستطيع", ())
@example("ـ5", ("invisible",))
def test_numbers_ranges_signs_units_and_negations_are_kept(text, off):
    after = normaliser(off)([text])[0]
    if PLACEHOLDER.search(after):  # what it covers is no matter of numbers
        after = normaliser((*off, *PRIVACY))([text])[0]
    assert kept(meaning(text, "html" not in off), meaning(after, html=False)), after


RIGHT = [
    ("خذ 1ـ2 حبة كل 6ـ8 ساعات", "خذ 1-2 حبة كل 6-8 ساعات"),
    ("٤..٥ ساعات و 2..3 مل", "4..5 ساعات و 2..3 مل"),
    ("عمره 2 .. 3 سنوات", "عمره 2 .. 3 سنوات"),
    ("نصف حبة..5 مرات", "نصف حبة..5 مرات"),
    ("السكر <low> والضغط <5", "السكر <low> والضغط <5"),
    ("&lt;5 و &gt; ١٢٠ و 5&times;3 و &frac12; حبة", "<5 و > 120 و 5×3 و ½ حبة"),
    ("Na<low but K>5 و WBC 4<x<11", "Na<low but K>5 و WBC 4<x<11"),
    ("١٠ـ٢٠ ملغ، ٠٫٥ـ١ مل، ٥٪ـ١٠٪", "10-20 ملغ، 0.5-1 مل، 5%-10%"),
    ("38\u200f.5 و 120\u200f/\u200f80 و 6\u200f-\u200f8", "38.5 و 120/80 و 6-8"),
    ("12\u00ad5 و 5\u200b0 و 1\x002", "12 5 و 5 0 و 1 2"),
    ("10<sup>9</sup>/L و 2<br>3", "10^9 /L و 2 3"),
    ("مش\u200cقادر، ما\u200bعندي، لا\u00adيوجد، بدون\u200fحرارة", "مش قادر، ما عندي، لا يوجد، بدون حرارة"),
    ("درجة -5 و --3 و 7-", "درجة -5 و --3 و 7-"),
    ("½ حبة و ¼ كوب و 10² و ⅓", "½ حبة و ¼ كوب و 10² و ⅓"),
    ("5''×3' و 2–3 و 2—3 و 2~3 و 6÷2", "5''×3' و 2–3 و 2—3 و 2~3 و 6÷2"),
]


@pytest.mark.parametrize(("text", "wanted"), RIGHT)
@pytest.mark.parametrize("preset", PRESETS)
def test_numbers_come_out_right_under_both_presets(preset, text, wanted):
    found = normaliser(PRESETS[preset])([text])[0]
    folded = wanted if preset == "language_model" else wanted.translate(str.maketrans("ىةأ", "يها"))
    assert found == folded


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.skipif(not SHARED.exists(), reason="the released posts are not here")
def test_numbers_and_negations_of_every_released_text_are_kept(preset):
    posts, pairs = pd.read_excel(SHARED / "severity_posts.xlsx"), pd.read_csv(SHARED / "maqa_sample.csv")
    columns = [posts["Post"], posts["Plan"], pairs["q_body"], pairs["a_body"]]
    texts = pd.concat(columns).dropna().astype(str).tolist()
    found = normaliser(PRESETS[preset])(texts)
    # Not the texts themselves, which an assertion would print.
    wrong = [
        row
        for row, (before, after) in enumerate(zip(texts, found, strict=True))
        if not kept(meaning(before), meaning(after, html=False))
    ]
    assert len(texts) > 5000
    assert wrong == []
