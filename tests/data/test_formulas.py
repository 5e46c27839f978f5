"""Which words are set aside before complaints are compared; every text is invented."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import formulas
from pipeline.data.formulas import without_formulas
from pipeline.errors import WaznError

COMPLAINT = "اعاني من ألم في المعدة منذ شهر"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("السلام عليكم ورحمة الله وبركاته", "جزاكم الله خيرا"),
        ("السلام عليكم ورحمه الله تعالي وبركاته", "والسلام عليكم ورحمة الله"),
        ("السَّلامُ عَلَيْكُم", "جَزاكُمُ اللهُ خَيْراً"),
        ("الســلام عليكم", "شكـــرا"),
        ("السلام عليكم 🌹🌹", "🙏🙏 شكراً"),
        ("دكتور لو سمحت", "أرجو الرد"),
        ("يا دكتور، لو سمحتم عندي سؤال:", "ارجو منكم الرد في اسرع وقت وشكرا."),
        ("صباح الخير دكتورة الله يسعدك", "الله يعطيك العافية"),
        ("الى الاطباء الكرام تحية طيبة وبعد", "وتفضلوا بقبول فائق الاحترام والتقدير"),
        ("هلا دكتور شلونك", "مشكورين وما قصرتوا"),
        ("عايز استشير حضرتك في حاجه", "متشكر اوي لحضرتك"),
        ("بعد اذن حضراتكم", "يا ريت حد يرد عليا"),
        ("يا جماعة الخير", "ساعدوني الله يخليكم"),
        ("مرحبا كيف حالك ان شاء الله بخير", "وفي انتظار ردكم الكريم"),
        ("بسم الله الرحمن الرحيم", "وجعله الله في ميزان حسناتكم"),
        ("السلام عليكم دكتور السلام عليكم", "ربنا يبارك في حضرتك، شكرا شكرا"),
        ("Hello dear doctor", "thank you"),
    ],
)
def test_formulas_before_and_after_a_complaint_are_set_aside(before, after):
    assert without_formulas(f"{before} {COMPLAINT} {after}") == COMPLAINT


@pytest.mark.parametrize(
    "text",
    [
        COMPLAINT,
        "قال الدكتور ان عندي قرحة",
        "ذهبت للدكتورة امس",
        "اخي عنده سكر",
        "سلامة العين من المياه الزرقاء",
        "شكراوي",  # a word that starts as a formula
        "حرارته 39.5، ونبضه 110؟",
        "",
        "؟؟ !",
        "😀",
    ],
)
def test_a_text_without_formulas_is_left_as_it_is(text):
    assert without_formulas(text) == text


@pytest.mark.parametrize(
    "text", ["شكرا", "السلام عليكم", "السلام عليكم ورحمة الله وبركاته. ارجو الرد", "دكتور 🌹"]
)
def test_a_text_of_formulas_alone_keeps_its_words(text):
    assert without_formulas(text) == text


def test_what_stands_between_formulas_stays_with_its_marks():
    text = "السلام عليكم، حرارته 39.5؟ لو سمحت (من امس) شكرا"
    assert without_formulas(text) == "حرارته 39.5؟ (من امس)"


@given(st.text(st.sampled_from("السلام عليكم شكرا دكتور الم 12،.؟\n🌹"), max_size=80))
def test_what_is_left_is_never_empty_and_has_no_word_that_was_not_there(text):
    left = without_formulas(text)
    assert bool(left) == bool(text)
    assert set(left.split()) <= set(text.split()) or len(left) <= len(text)


@given(st.text(st.characters(exclude_categories=())))
def test_any_unicode_passes(text):
    assert len(without_formulas(text)) <= len(text)


@pytest.mark.parametrize(
    "content", ["- شكرا", "thanks: شكرا", "thanks: [1]", "thanks: [", "thanks: ['شكرا? جدا?']"]
)
def test_a_malformed_list_is_refused_by_name(tmp_path, content):
    path = tmp_path / "formulas.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(WaznError, match=r"formulas\.yaml"):
        formulas.read_formulas(Path(path))
