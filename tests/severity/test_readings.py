"""Readings with numbers, through the lexicon; every text is invented."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES
from pipeline.severity.lexicon import embedded, label


def listed(texts):
    """The texts between the bars."""
    return [text.strip() for text in texts.split("|")]


CRITICAL = """
سكر 480 | السكر ٤٨٠ | سكر:480 | سكر480 | سكري صايم 45 | السكر 2.5 | عندي سكر 25 مليمول |
سكر امي وصل الى 500 اليوم | السكر وصل إلى ٤٨٠ ملغ/دل | السكر لا ينزل عن 350 | السكر ما بين 400 و 500 |
السكر 300-400 | السكر مو 120 بل 480 | السكر خمسمية وثمانين | 480 سكر | sugar 480 |
السكر التراكمي 9 والسكر الصائم 320 | السكر بعد 2 ساعه 420 | ضغط 185 على 110 | الضغط 190/120 |
الضغط ١٩٠ / ١٢٠ | ضغط الدم 185\\110 | ضغط دمي مرتفع 200/110 | ضغطي 19/12 | ضغطه 70/40 |
الضغط انخفض الى 70 على 40 | حامل وضغطي 165/112 | ضغط العين 45 | حرارته 43 | حرارة ٤٠٫٥ | حرارته 40,2 |
درجته 40.5 | 40.5 درجة حرارة | حرارتها 40 ونص | حرارته أربعين | temp 105 | الحراره اكتر من 40 |
بنتي عمرها 20 يوم وحرارتها 38.5 | عمره 3 اسابيع وسخن | الاكسجين 85 | نسبة الأكسجين ٨٥٪ | spo2 88 |
الاكسجين اقل من 90 | نبضه 150 | ضربات القلب 38 | نبض الجنين 80 | هيموجلوبين 6 | Hb 65 | الصفائح 15 الف |
صفائح ١٥٬٠٠٠ | كرات بيضاء 90000 | INR 7 | الكرياتينين عنده وصل 6,5 | كرياتينين 600 | بوتاسيوم 7.1 |
صوديوم 112 | البيليروبين 22 | كفاءة القلب 25% | بلع 30 حبة | ابني بلع ٢٠ قرص بنادول | 30 حبة بلعها ابني |
بلع عشرين حبة | شرب 15 حباية مرة واحدة | ابتلعت شريطين | سكر٤٨٠ | السكر (480) | ضغط: 185/110 mmHg |
BP 185/110 | الضغط 185 / 110 والنبض 120 | سكرها ٥٠٠ فاطر | السكر صار 40 | نزل السكر الى 40 |
درجة الحرارة ٤٠° | حرارته 40c | حرارته فوق 40 | ضغطي مية وتمانين على مية وعشرة | الاكسجين ٨٥ بالمية |
اكسجينه نزل ل 85 | نسبة الاوكسجين في الدم 84 | كرياتينين ٨ | الهيموجلوبين 5 جم | نسبة الهيموجلوبين 5.5 |
دمي 6 | نسبة الدم 6 | بلع حوالي 30 حبة | بلع ٣٠ حبه من دواء الضغط | تناولت أكثر من 20 حبة |
خدت 25 برشامة | شربت شريطين بنادول | تناول ٤٠ قرصا | ابتلع ابني 10 اقراص حديد |
ولدي عمره 3 سنوات بلع 5 حبات ضغط | طفل عمره شهرين حرارته 38 | مولود عمره 5 ايام حرارته 38 |
عمرها اسبوعين وحرارتها 38.3 | الحرارة 104 فهرنهايت | ضغط الدم الانقباضي 190 والانبساطي 120 |
الضغط العالي 190 | BP=200/120 | قياس الضغط 18/12 | السكر 600 مجم | سكر عشوائي ٦٠٠ ملجم/ديسيلتر |
سكر 30 mmol/L | ضغط 185–110 | ضغط 185 − 110 |
السكر عالي فوق ال 400 | سكره وصل ل400 | الضغط وصل ال190 | الضغط ب190 |
فوق الـ400 السكر عندي | سكر الدم اليوم الصبح وأنا صايم طلع 390 | السكر قبل الاكل 310 وبعد الاكل 420 |
السكر عند والدتي مرتفع جدا وصل الى 540 | الضغط مش بينزل عن 190 | الضغط ما عم ينزل تحت 190 |
الاكسجين لا يتجاوز 85 | سكر والدي 500 ومش راضي ينزل | والدي ضغطه 210/110 | حرارة طفلي 41 درجة |
سخونه ٤٠ درجه | درجة حرارة ابني وصلت 40.3 | عنده حراره 40 من امبارح | سكر تراكمي 11 وسكر صايم 330 |
hb = 5.9 | Hemoglobin: 6.2 g/dl | platelets 9,000 | الصفائح الدموية 8000 | كريات الدم البيضاء ١٢٠ الف |
بوتاسيوم ٢٫١ | نسبة البوتاسيوم في الدم 6.9 | السيولة INR وصلت 8 | نسبة الصفرا عند المولود 21 |
الصفراء ٢٠ | نبضات قلبي 160 في الدقيقة | دقات قلبه 35 | ضربات القلب وصلت ل 170 | النبض ١٤٥ | الضغط ٦٠/٤٠ |
ضغطها 8/5 | ضغطي 7 | ضغط 220 | معدل التنفس 35 | عضلة القلب 25% | كفاءة عضلة القلب ٢٠٪ |
حامل بالشهر الثامن والضغط 160/110 | سكر ابني 28 | السكر منخفض 38
"""

NEUTRAL = """
سكر 210 | السكر 12 مليمول | السكر التراكمي 9 | ضغط 150/95 | ضغطي 15/9 | حرارة 39.5 | حرارته ٣٨٫٥ |
عمره 11 شهر وحرارته 38.5 | الاكسجين 93 | نبضي 110 | هيموجلوبين 9.5 | كرياتينين 2 | صفائح 80
"""

# Numbers that are no readings, or readings in which there is nothing to find: at most the words count.
NOT_CRITICAL = """
سكر 95 | ضغط 120/80 | الضغط 120 على 80 | ضغطي 12/8 | حرارته 37 | الاكسجين 98 | نبضه 75 | هيموجلوبين 13 |
بوتاسيوم 4.2 | حبوب السكر 500 | علاج الضغط 10 ملغ | كونكور للضغط 20 | دواء السكر جلوكوفاج 1000 |
ابرة السكر 30 وحدة | عندي سكر وعمري 45 سنة | عندي سكر عمري 400 | سكر من 10 سنين | سكري نوع 2 |
سكر منذ 2005 | تحليل سكر بتاريخ 12/5/2020 | تحليل سكر بتاريخ 12-5-2020 | رقمي 0501234567 عندي سكر |
عندي سكر رقمي 0501234567 | الساعه 10:30 قست السكر 110 | الضغط مو 180 | السكر ليس 400 | حرارته ما وصلت 40 |
لم تتجاوز الحرارة 40 | حرارة 3 ايام | حرارة 40 يوم | حرارة الماء 40 | حرارة الجو 45 | درجة الامتحان 40 |
كلفني جهاز الضغط 400 | الضغط 180 جنيه | ضغط العصب 180 | طفل عمره سنه نبضه 140 | اخذ حبتين كل 8 ساعات |
اخذت 20 حبة خلال شهر | اخذ 10 حبات يوميا | في وجهي 30 حبة | كالسيوم 600 ملغ | كرياتين 5 جرام |
جرعه 500 سكر | السكر. 480 | عمر 40 سكر | اعاني من السكر من 2010 وعمري 50 |
الدكتور كتب جلوكوفاج 1000 للسكر | امبول 100 وحده للسكر | تليفوني 01012345678 سكر | سعر جهاز السكر 350 |
شريط السكر 50 شريحه | ضغط المياه 200 | رقم الملف 480 سكر | السكر 480 سعره | ملعقة سكر 300 جرام |
200 جرام سكر | كوب سكر 250 مل | سكر 100 | سكر صايم ٩٥ وفاطر ١٢٠ | السكر 5.5 | السكر ٦٫٢ |
السكر التراكمي 12 | ضغط 110/70 | الضغط 13/8 | الضغط 11/7 | حرارة 36.6 | حراره 37.5 | الحرارة 98 |
الصفائح 250 | صفائح 250000 | صفائح ٢٥٠٬٠٠٠ | كريات بيضاء 7500 | كرياتينين 80 | هيموجلوبين 130 | نبض 72 |
عمري 35 ونبضي 88 | اخذ 2 حبة | اخذت حبتين | اخذ 20 مجم | تناولت 3 حبات | دواء 500 حبه | اشتريت 30 حبه |
علبة فيها 30 حبه | خذ 1-2 حبه كل 6-8 ساعات | بوتاسيوم 4 | عمر الطفل 40 يوم | حرارته ٣٧ من ٤٠ يوم |
اكسجين 97 | نسبة الشفاء 85% | نسبة الاكسجين 99% | وزني 180 وعندي سكر | طولي 180 ضغط | سكر ١٠ سنوات |
ضغط وسكر من 20 سنه | الضغط طبيعي 120 على 80 والسكر 90 | شربت 10 كوب ماء | اكل 20 تمره | بلع 2 حبه بالغلط |
بنتي من 3 ايام وهي سخنه | طفلي منذ 5 ايام حرارته 38 | السكر لم يصل 400 | السكر اقل من 300
"""


@pytest.mark.parametrize("text", listed(CRITICAL))
def test_a_reading_beyond_the_bound_of_an_emergency_is_critical(text):
    assert label([text]) == ["critical"]


@pytest.mark.parametrize("text", listed(NEUTRAL))
def test_a_reading_that_a_doctor_should_see_is_neutral(text):
    assert label([text]) == ["neutral"]


@pytest.mark.parametrize("text", listed(NOT_CRITICAL))
def test_a_number_that_is_normal_or_no_reading_makes_nothing_critical(text):
    assert label([text]) != ["critical"]


BOUNDS = {  # name: values just within, and on or just beyond, the bound of an emergency
    "سكر": [(299, 300), (55, 54)],
    "ضغط": [(179, 180), (90, 89)],
    "حراره": [(39.9, 40), (35, 34.9)],
    "اكسجين": [(92, 91.9)],
    "هيموجلوبين": [(8, 7.9)],
    "بوتاسيوم": [(6.4, 6.5), (2.5, 2.4)],
}


@pytest.mark.parametrize(
    ("name", "within", "beyond"), [(n, *b) for n, bounds in BOUNDS.items() for b in bounds]
)
def test_bounds_are_comparisons_on_their_very_number(name, within, beyond):
    assert label([f"{name} {within}", f"{name} {beyond}"])[1] == "critical"
    assert label([f"{name} {within}"]) != ["critical"]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(300, 1499),
    st.sampled_from(["سكر {}", "السكر عندي {}", "قست سكر ابني طلع {} الصبح", "{} سكر"]),
)
def test_every_sugar_beyond_the_bound_is_critical_in_any_digits(value, frame):
    arabic = str(value).translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    assert label([frame.format(value), frame.format(arabic)]) == ["critical"] * 2


@settings(max_examples=150, deadline=None)
@given(
    st.integers(100, 250),
    st.integers(40, 140),
    st.sampled_from(["{}/{}", "{} على {}", "{} / {}", "{}\\{}"]),
)
def test_pressures_are_judged_by_either_number(high, low, frame):
    expected = "critical" if high >= 180 or min(high, low) >= 120 else None
    found = label(["الضغط " + frame.format(high, low)])
    assert (found == ["critical"]) == (expected == "critical")


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("سكر ضغط على/-.,٫<:0123456789٥\n حبه بلع ونص مو")))
def test_any_text_of_names_numbers_and_marks_gets_a_severity(text):
    assert label([text])[0] in SEVERITIES


def test_a_long_text_of_numbers_takes_no_more_than_linear_time():
    start = time.perf_counter()
    parts = ("سكر ", "1 ", "1 / ", "1 علي ", "نبض 90 ", "سكر و ", "خمسه وست ", "9")
    label([part * 20_000 for part in parts])
    assert time.perf_counter() - start < 10


def test_matches_say_what_a_reading_is_about():
    [(severity, about)] = [
        match for match in embedded().matches("الصفائح 12 الف") if "platelets" in match.term
    ]
    assert severity == "critical"
    assert "20" in about


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("readings: 3", "readings"),
        ("readings: {fillers: []}", "readings: negations"),
    ],
)
def test_a_malformed_section_is_one_sentence(tmp_path, change, named):
    path = tmp_path / "lexicon.yaml"
    parts = [
        change,
        "negations: [لا]",
        "exceptions: [غير]",
        "critical: []",
        "neutral: []",
        "non_critical: []",
    ]
    path.write_text("\n".join(parts), encoding="utf-8")
    from pipeline.severity.lexicon import Lexicon

    with pytest.raises(WaznError, match=rf"lexicon\.yaml: {re.escape(named)}"):
        Lexicon(path)
