import unicodedata
from functools import cache
from typing import get_args

import pytest
from text_reference import ALL, NONE, PRESETS

from pipeline.config.data import Rule
from pipeline.text.normalise import RULES, Normaliser
from pipeline.text.privacy import PLACEHOLDERS


@cache
def ready(off):
    return Normaliser(off)


def normalised(rules, *texts):
    """Texts under a switch for every rule."""
    return ready(tuple(rule for rule in RULES if not rules[rule]))(texts)


VECTORS = {
    "html": [
        ("ألم &amp; حمى", "ألم & حمى"),
        ("سكر &amp;amp;lt; 120", "سكر < 120"),
        ("&#1589;داع &#x62D;اد &#x062f", "صداع حاد د"),
        ("حمى&nbsp;شديدة &quot;جدا&quot; &lt5", 'حمى\u00a0شديدة "جدا" <5'),
        ("Na <low> K <5> و a<b>c", "Na <low> K <5> و a<b>c"),
        ("P <p = 0.05 and K> 3", "P <p = 0.05 and K> 3"),
        ("10<sup>9</sup>/L B<sub>12</sub> 5<sub>2</sub>", "10^9 /L B12  5 2 "),
        ("1&#1;2 &copyright &frac12; 5&times3", "1&#1;2 &copyright ½ 5×3"),
        ("صداع<br/>وحمى<p>و<b class='x'>ألم</b>", "صداع وحمى و ألم "),
        ("قبل<!-- ملاحظة -->بعد", "قبل بعد"),
        ("ضغط < 120 و <5 mg و > 3 و a<b", "ضغط < 120 و <5 mg و > 3 و a<b"),
        ("الحديد <low والسكر> 200", "الحديد <low والسكر> 200"),
        ("R&D و A & B و &مجهول;", "R&D و A & B و &مجهول;"),
    ],
    "presentation": [
        ("\ufee3\ufeae\ufea3\ufe92\ufe8e", "مرحبا"),
        ("\ufefb بأس \ufef7ن", "لا بأس لأن"),
        ("\ufdfa", "صلى الله عليه وسلم"),
        ("\ufdf2 \ufdf3", "الله اكبر"),
        ("ا\ufe71لم\ufe70\ufe7f", "ا\u0640\u064bلم\u064b\u0640\u0652"),
        ("مر\ufc60ة", "مر\u064e\u0651ة"),
        ("\ufb56\ufb7a\ufb92", "پچگ"),
        ("ﬁ ① Ａ ²", "ﬁ ① Ａ ²"),
    ],
    "invisible": [
        ("صداع\u200b\u200f شديد\ufeff", "صداع شديد"),
        ("\u202eحمى\u202c", "حمى"),
        ("ال\u202aم\u2069 \u00adفي\x00 \u061cبطني\x7f", "الم في بطني"),
        ("سطر\nاخر\tهنا\r\n\x0b\x0c\x85", "سطر\nاخر\tهنا\r\n\x0b\x0c\x85"),
        ("م\u00adن\u200dه\u2060ا\u180e\ufff9", "منها"),
        ("مش\u200cقادر ولا\u00adاقدر كت\u200fاب", "مش قادر ولا اقدر كتاب"),
        ("1\u200c2 1\u200f2 1\x002 5\u200c% 38.\u200e5 38\u200c.5", "1 2 1 2 1 2 5% 38.5 38 .5"),
        ("\x1b[1mألم\x9f", "[1mألم"),
    ],
    "diacritics": [
        ("مُحَمَّدٌ", "محمد"),
        ("أَلَمٌ حادٌّ", "ألم حاد"),
        ("هٰذا قُرْءَانࣰ ۖ", "هذا قرءان "),
        ("شىءٍ جِدًّا", "شىء جدا"),
        ("آ أ إ ؤ ئ", "آ أ إ ؤ ئ"),
        ("e\u0301 ـً", "é ـ"),
    ],
    "tatweel": [
        ("صــــداع", "صداع"),
        ("هـ", "ه"),
        ("مـُـحمد", "مُحمد"),
        ("خذ 1ـ2 حبة كل ٦ــ٨ ساعات", "خذ 1-2 حبة كل ٦-٨ ساعات"),
        ("1 ـ 2 و 5 حباتـ6 و 1-ـ2", "1 - 2 و 5 حبات-6 و 1-2"),
        ("الـ5 هـ1442 5ـحبات 3mgـحبة", "ال5 ه1442 5 حبات 3mg حبة"),
        ("الله ـ سبحانه ـ و ـــ", "الله - سبحانه - و -"),
        ("سن_ة - –", "سن_ة - –"),
    ],
    "lookalikes": [
        ("کتف ڪبير", "كتف كبير"),
        ("یدی ۍ ې ێ", "يدي ي ي ي"),
        ("ہاتف ھو ەذا", "هاتف هو هذا"),
        ("مدرسۃ ۀ ۂ", "مدرسة ه ه"),
        ("ۇ ۆ ۈ ۋ ۏ", "و و و و و"),
        ("پ چ ژ گ ڤ ى ي ة", "پ چ ژ گ ڤ ى ي ة"),
    ],
    "alef": [
        ("أنا إلى آخر ٱسم", "انا الى اخر اسم"),
        ("سؤال مئة ماء", "سؤال مئة ماء"),
        ("ا\u0654نا ا\u0655لى ا\u0653خر", "انا الى اخر"),
        ("ٲ ٳ ٵ", "ا ا ا"),
        ("لأنه آلام", "لانه الام"),
    ],
    "ya": [
        ("على مستشفى", "علي مستشفي"),
        ("ي ئ", "ي ئ"),
        ("إلى متى", "إلي متي"),
        ("ىٰ", "يٰ"),
        ("ى\u0654", "ئ"),
    ],
    "ta_marbuta": [
        ("حرارة عالية", "حراره عاليه"),
        ("ةً", "هً"),
        ("ت ه", "ت ه"),
        ("مرة،مرة", "مره،مره"),
        ("[هوية]", "[هويه]"),
    ],
    "digits": [
        ("٣٨٫٥ و ١٬٠٠٠ و ٥٠٪", "38.5 و 1,000 و 50%"),
        ("۱۲۳۴۵۶۷۸۹۰", "1234567890"),
        ("٠١٢٣٤٥٦٧٨٩", "0123456789"),
        ("١٢/٨ ضغط", "12/8 ضغط"),
        ("10² ५ ①", "10² ५ ①"),
    ],
    "punctuation": [
        ("لماذا؟؟؟؟", "لماذا؟"),
        ("ألم!!! ... نعم،، لا؛؛", "ألم! . نعم، لا؛"),
        ("قال \"\"نعم'' ---- ___ ===", "قال \"نعم' - _ ="),
        ("؟!؟! ?!", "؟!؟! ?!"),
        ("2..3 و ٤...٥ ساعات و 20.. سنة و ..5", "2..3 و ٤..٥ ساعات و 20. سنة و ..5"),
        ("1,,000 و 1::30 و 5'' و 6''7 و 2 .. 3", "1,,000 و 1::30 و 5'' و 6''7 و 2 .. 3"),
        ("بروتين ++ و +++ و (()) و // و 1000 و III", "بروتين ++ و +++ و (()) و // و 1000 و III"),
        ("صداااع", "صداااع"),
    ],
    "elongation": [
        ("كتيييير وجع", "كتير وجع"),
        ("الله ممكن", "الله ممكن"),
        ("1000 III ٥٥٥ !!!", "1000 III ٥٥٥ !!!"),
        ("هههههه آآآآه", "هه آه"),
        ("تتتابع وستتتابع تتتتحسن", "تتتابع وستتتابع تتحسن"),
        ("ممممكن الممممتاز الللله واللللي للللعلاج", "ممكن الممتاز الله واللي للعلاج"),
        ("ضررررر والسببب متعددددة تسمممم جددددا كتتتير", "ضرر والسبب متعددة تسمم جدا كتير"),
        ("لللا لاااا ممما مششش مووو", "لا لا ما مش مو"),
        ("ااالرأاا", "الرأاا"),
        ("پپپا ـــ", "پا ـــ"),
    ],
    "links": [
        ("انظر https://example.com/a?b=1 هنا", "انظر [رابط] هنا"),
        ("www.example.org", "[رابط]"),
        ("راسلني t.me/someone.", "راسلني [رابط]."),
        ("http://x.com/a، ثم http://y.com/b", "[رابط]، ثم [رابط]"),
        ("و/أو 12/8 mg/dl", "و/أو 12/8 mg/dl"),
    ],
    "emails": [
        ("بريدي a.b@example.com", "بريدي [بريد]"),
        ("mailto:x1@mail.example.org؟", "[بريد]؟"),
        ("اكتب إلىname@gmail.comشكرا", "اكتب إلى[بريد]شكرا"),
        ("name @ hotmail . com", "[بريد]"),
        ("@handle و a@ b و 5 @ 3", "@handle و a@ b و 5 @ 3"),
    ],
    "phones": [
        ("جوالي 0501234567", "جوالي [هاتف]"),
        ("+966 50 123 4567", "[هاتف]"),
        ("٠١٠١٢٣٤٥٦٧٨", "[هاتف]"),
        ("00201012345678", "[هاتف]"),
        ("هاتف: 2345678", "هاتف: [هاتف]"),
        ("صفائح 250000 و 1000000 و 5/6/2020", "صفائح 250000 و 1000000 و 5/6/2020"),
    ],
    "ids": [
        ("رقم الهوية 1098765432", "رقم الهوية [هوية]"),
        ("الرقم القومي ٢٩٠٠١٠١١٢٣٤٥٦٧", "الرقم القومي [هوية]"),
        ("رقم الملف 123456", "رقم الملف [هوية]"),
        ("passport 123456789", "passport [هوية]"),
        ("ضغط 120/80 وسكر 250", "ضغط 120/80 وسكر 250"),
    ],
    "names": [
        ("أنا فلانة بنت فلان وعندي صداع", "أنا [اسم] وعندي صداع"),
        ("اسمي خلود، عمري ٢٠", "اسمي [اسم]، عمري ٢٠"),
        ("كشف عليه د. محمود العتيبي أمس", "كشف عليه د. [اسم] أمس"),
        ("ابني سامر عنده حرارة", "ابني [اسم] عنده حرارة"),
        ("أنا مريضة والدكتور قال", "أنا مريضة والدكتور قال"),
    ],
    "whitespace": [
        ("  عندي \t\n صداع\u00a0\u3000شديد \r\n", "عندي صداع شديد"),
        ("\u2003\u2028\u2029", ""),
        ("سطر\x0bاخر\x0cهنا\x85\x1cانتهى", "سطر اخر هنا انتهى"),
        ("ألم", "ألم"),
        ("أ\u200bب", "أ\u200bب"),
    ],
}
FLAT = [(rule, *vector) for rule, vectors in VECTORS.items() for vector in vectors]


@pytest.mark.parametrize(("rule", "text", "wanted"), FLAT)
def test_a_rule_alone_does_its_own_work(rule, text, wanted):
    assert normalised({**NONE, rule: True}, text) == [wanted]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_vectors_of_its_own_and_without_it_they_are_only_composed(rule):
    vectors = VECTORS[rule]
    assert len(vectors) >= 5
    assert any(text != wanted for text, wanted in vectors)
    assert any(text == wanted for text, wanted in vectors) or rule == "tatweel"
    for text, _ in vectors:
        assert normalised(NONE, text) == [unicodedata.normalize("NFC", text)]


def test_decomposed_letters_are_composed_before_the_rules():
    assert normalised(NONE, "ا\u0653", "\u1112\u1161\u11ab") == ["آ", "한"]
    assert normalised({**NONE, "alef": True}, "ا\u0654نا") == ["انا"]


@pytest.mark.parametrize(
    ("rules", "text", "wanted"),
    [
        (["invisible", "alef"], "ا\u200b\u0653", "ا"),
        (["invisible", "html"], "&\u200bamp;lt; <\u200bbr>", "<  "),
        (["digits", "html"], "&#\u0661\u0665\u0668\u0669;", "ص"),
        (["punctuation", "html"], "&##1589;;", "ص"),
        (["invisible", "punctuation"], "2.\u200f.3", "2..3"),
        (["html", "tatweel"], "1&#1600;2", "1-2"),
        (["tatweel", "elongation"], "باـاـا", "با"),
        (["invisible", "phones"], "050\u200b1234567", "[هاتف]"),
        (["digits", "whitespace", "phones"], "٠٥٠    ١٢٣   ٤٥٦٧", "[هاتف]"),
        (["html", "presentation", "tatweel"], "ا&#xfe71;", "ا\u064b"),
        (["presentation", "lookalikes"], "\ufdfc", "ريال"),
        (["lookalikes", "ta_marbuta"], "ۃ", "ه"),
        (["digits", "punctuation"], "٬٬,", ","),
    ],
)
def test_what_one_rule_makes_another_takes_up(rules, text, wanted):
    assert normalised({**NONE, **dict.fromkeys(rules, True)}, text) == [wanted]


REALISTIC = [
    (
        "السَّلامُ عليكم،، أعــاني مِن صُداعٍ شديييد\u200f  منذ ٣ أيّام!!!",
        "السلام عليكم، أعاني من صداع شديد منذ 3 أيام!",
    ),
    (
        "ابنتي عمرها ٥ سنوات وحرارتها ٣٨٫٥ في المستشفى&nbsp;؟؟",
        "ابنتي عمرها 5 سنوات وحرارتها 38.5 في المستشفى ؟",
    ),
    (
        "باراسيتامول 500 mg كل 8 ساعات، لا تتجاوز 4000 mg/day",
        "باراسيتامول 500 mg كل 8 ساعات، لا تتجاوز 4000 mg/day",
    ),
    (
        "ضغط < 120/80 و WBC 11,500 و TSH <0.01 uIU/ml بتاريخ 12/03/2021",
        "ضغط < 120/80 و WBC 11,500 و TSH <0.01 uIU/ml بتاريخ 12/03/2021",
    ),
    (
        "صفائح 150000/mm3، هيموغلوبين ١٠٫٢، بروتين ++، الأسبوع 32، Stage III",
        "صفائح 150000/mm3، هيموغلوبين 10.2، بروتين ++، الأسبوع 32، Stage III",
    ),
    (
        "للتواصل ٠٥٠١٢٣٤٥٦٧ أو a@b.com<br>هویتی: رقم الهوية 1098765432",
        "للتواصل [هاتف] أو [بريد] هويتي: رقم الهوية [هوية]",
    ),
    ("\ufee3\ufeae\ufea3\ufe92\ufe8e بكم", "مرحبا بكم"),
]
LETTERS = str.maketrans("أإآىة", "ااايه")


@pytest.mark.parametrize(("text", "wanted"), REALISTIC)
def test_the_language_model_reads_and_writes_correct_spelling(text, wanted):
    assert normalised(PRESETS["language_model"], text) == [wanted]


@pytest.mark.parametrize(("text", "wanted"), REALISTIC)
def test_the_classifier_reads_folded_letters_and_the_same_placeholders(text, wanted):
    folded = wanted.translate(LETTERS).replace("[هويه]", "[هوية]")
    assert normalised(PRESETS["classifier"], text) == [folded]


@pytest.mark.parametrize("placeholder", PLACEHOLDERS.values())
def test_a_placeholder_survives_every_preset_any_number_of_times(placeholder):
    for rules in PRESETS.values():
        assert normalised(rules, f"رقم {placeholder}،{placeholder}") == [f"رقم {placeholder}،{placeholder}"]


def test_no_texts_give_none():
    assert normalised(ALL) == []


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="no rule of normalisation: alif"):
        Normaliser(["alef", "alif"])


def test_all_rules_apply_but_those_that_are_off():
    assert Normaliser()(["أُمّــي"]) == ["امي"]
    assert Normaliser(["alef", "diacritics", "tatweel"])(["أُمّــي"]) == ["أُمّــي"]


def test_params_yaml_may_name_exactly_these_rules():
    assert sorted(get_args(Rule)) == sorted(RULES)
