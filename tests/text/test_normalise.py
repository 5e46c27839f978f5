import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.params import load
from pipeline.text.normalise import RULES, Normaliser, arabic_share

ROOT = Path(__file__).resolve().parents[2]

ALL = dict.fromkeys(RULES, True)
NONE = dict.fromkeys(RULES, False)

VECTORS = [
    ("invisible", "صداع\u200b\u200f شديد\ufeff", "صداع شديد"),
    ("invisible", "\u202eحمى\u202c", "حمى"),
    ("invisible", "ال\u2066م\u2069 \u00adفي\x00 \u061cبطني\x7f", "الم في بطني"),
    ("invisible", "سطر\nاخر\tهنا\r\n", "سطر\nاخر\tهنا\r\n"),
    ("diacritics", "مُحَمَّدٌ", "محمد"),
    ("diacritics", "أَلَمٌ حادٌّ", "ألم حاد"),
    ("diacritics", "هٰذا قُرْءَانࣰ ۖ", "هذا قرءان "),
    ("tatweel", "صــــداع", "صداع"),
    ("alef", "أنا إلى آخر ٱسم", "انا الى اخر اسم"),
    ("alef", "سؤال مئة ماء", "سؤال مئة ماء"),
    ("ya", "على مستشفى", "علي مستشفي"),
    ("ta_marbuta", "حرارة عالية", "حراره عاليه"),
    ("digits", "٣٨٫٥ و ١٬٠٠٠ و ٥٠٪", "38.5 و 1,000 و 50%"),
    ("digits", "۱۲۳۴۵۶۷۸۹۰", "1234567890"),
    ("digits", "٠١٢٣٤٥٦٧٨٩", "0123456789"),
    ("elongation", "كتيييير وجع", "كتير وجع"),
    ("elongation", "الله ممكن", "الله ممكن"),
    ("elongation", "1000 III ٥٥٥ !!!", "1000 III ٥٥٥ !!!"),
    ("whitespace", "  عندي \t\n صداع\u00a0\u3000شديد \r\n", "عندي صداع شديد"),
]


@pytest.mark.parametrize(("rule", "given_text", "wanted"), VECTORS)
def test_a_rule_alone_does_its_own_work(rule, given_text, wanted):
    assert Normaliser({**NONE, rule: True})(given_text) == wanted


@pytest.mark.parametrize("given_text", [vector[1] for vector in VECTORS])
def test_without_rules_a_text_is_only_composed(given_text):
    assert Normaliser(NONE)(given_text) == unicodedata.normalize("NFC", given_text)


def test_every_rule_has_a_vector():
    assert {rule for rule, _, _ in VECTORS} == set(RULES)


def test_decomposed_letters_are_composed_before_the_rules():
    assert Normaliser(NONE)("ا\u0653") == "آ"
    assert Normaliser({**NONE, "alef": True})("ا\u0654نا") == "انا"


def test_a_mark_that_meets_a_letter_only_after_a_removal_is_folded_too():
    rules = {**NONE, "invisible": True, "alef": True}
    assert Normaliser(rules)("ا\u200b\u0653") == "ا"


@pytest.mark.parametrize(
    ("given_text", "wanted"),
    [
        ("أعــاني مِن صُداعٍ شديييد\u200f  منذ ٣ أيّام", "اعاني من صداع شديد منذ 3 ايام"),
        ("أاا", "ا"),
        ("الحرارةُ ٣٨٫٥ في المستشفى", "الحراره 38.5 في المستشفي"),
        ("ـــ", ""),
        ("", ""),
    ],
)
def test_all_rules_together(given_text, wanted):
    assert Normaliser(ALL)(given_text) == wanted


@pytest.mark.parametrize("kind", ["question", "answer"])
def test_language_models_read_and_write_correct_spelling(kind):
    rules = load(ROOT / "params.yaml").normalise.rules
    text = "أحمد وإلهام وآمنة في مستشفى القاهرة"
    assert Normaliser(getattr(rules, kind).model_dump())(text) == text


def test_a_lone_surrogate_becomes_the_replacement_character():
    assert Normaliser(NONE)("ألم\ud83d") == "ألم\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_needs_a_switch(rule):
    with pytest.raises(KeyError, match=rule):
        Normaliser({name: True for name in RULES if name != rule})


# Any code point, lone surrogates included, and often the ones that rules and NFC act upon.
TROUBLE = (
    "اأإآٱىيئةهۀۃلـ٣۳٫aI0 \n"
    "\u0653\u0654\u0655\u064b\u0651\u0670"
    "\u200b\u200f\ufeff\u00a0\x1c\x85\ud83d\ude00\ufb2c"
)
TEXTS = st.text(st.one_of(st.sampled_from(TROUBLE), st.characters()), max_size=40)
SWITCHES = st.fixed_dictionaries({rule: st.booleans() for rule in RULES})


@settings(max_examples=400, deadline=None)
@given(TEXTS, SWITCHES)
@example("ى\u0654", {**NONE, "ya": True})
@example("ا\u200b\u0653\u0653", {**NONE, "invisible": True, "alef": True})
@example("\ufb2c" * 5, NONE)
def test_whatever_the_text_and_the_switches(text, rules):
    normalise = Normaliser(rules)
    once = normalise(text)
    assert normalise(once) == once, "idempotent"
    assert unicodedata.is_normalized("NFC", once)
    assert len(once) <= 3 * len(text)
    assert once.encode("utf-8").decode("utf-8") == once


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_with_all_rules_nothing_that_they_remove_is_left(text):
    result = Normaliser(ALL)(text)
    assert not set(result) & set("أإآٱىةـ\u064b\u0651\u200b\u200f\ufeff\n٣۳")
    assert result == result.strip()
    assert "  " not in result


@settings(max_examples=200, deadline=None)
@given(st.text("0123456789IVXabc .,", max_size=30), SWITCHES)
def test_latin_letters_and_digits_are_never_changed(text, rules):
    assert Normaliser({**rules, "whitespace": False})(text) == text


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
    ],
)
def test_arabic_share_counts_letters_only(text, share):
    assert arabic_share(text) == share
