import html
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config.data import Rule
from pipeline.config.params import load
from pipeline.text.normalise import PRIVACY, RULES, Normaliser, arabic_shares
from pipeline.text.privacy import PLACEHOLDERS, Scrubber

ROOT = Path(__file__).resolve().parents[2]
POSTS = ROOT / "../shared/data/severity_posts.xlsx"

ALL = dict.fromkeys(RULES, True)
NONE = dict.fromkeys(RULES, False)
PRESETS = {
    reader: {rule: rule not in off for rule in RULES}
    for reader, off in load(ROOT / "params.yaml").normalise.rules_off.model_dump().items()
}


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
        ("ال\u2066م\u2069 \u00adفي\x00 \u061cبطني\x7f", "الم في بطني"),
        ("سطر\nاخر\tهنا\r\n\x0b\x0c\x85", "سطر\nاخر\tهنا\r\n\x0b\x0c\x85"),
        ("م\u200cن\u200dه\u2060ا\u180e\ufff9", "منها"),
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
        ("ـــ", ""),
        ("هـ", "ه"),
        ("مـُـحمد", "مُحمد"),
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
        ("بروتين ++ و +++ و (()) و // و 1000 و III", "بروتين ++ و +++ و (()) و // و 1000 و III"),
        ("صداااع", "صداااع"),
    ],
    "elongation": [
        ("كتيييير وجع", "كتير وجع"),
        ("الله ممكن", "الله ممكن"),
        ("1000 III ٥٥٥ !!!", "1000 III ٥٥٥ !!!"),
        ("ههههه آآآآه", "ه آه"),
        ("ااالرأاا", "الرأاا"),
        ("پپپ ـــ", "پ ـــ"),
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
        (["invisible", "html"], "&\u200bamp;lt; <\u200bb>", "<  "),
        (["digits", "html"], "&#\u0661\u0665\u0668\u0669;", "ص"),
        (["punctuation", "html"], "&##1589;;", "ص"),
        (["tatweel", "elongation"], "اـاـا", "ا"),
        (["invisible", "phones"], "050\u200b1234567", "[هاتف]"),
        (["digits", "whitespace", "phones"], "٠٥٠    ١٢٣   ٤٥٦٧", "[هاتف]"),
        (["html", "presentation", "tatweel"], "&#xfe71;", "\u064b"),
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


def test_a_lone_surrogate_becomes_the_replacement_character():
    assert normalised(NONE, "ألم\ud83d", "\ude00", "\ud83d\ude00😀") == [
        "ألم\ufffd",
        "\ufffd",
        "\ufffd\ufffd😀",
    ]


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


# ---- an independent, slow reference, from what the rules say they do ----------------------------

CLASSES = {
    "invisible": r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\ufeff\ufff9-\ufffb]",
    "diacritics": r"[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    r"\u08d3-\u08e1\u08e3-\u08ff]",
    "tatweel": "ـ",
}
ATTRIBUTES = r"\s[^<>=]{0,100}=[^<>]{0,1000}"
TAG = re.compile(rf"<!--[^<>]{{0,1000}}-->|</?[a-zA-Z][a-zA-Z0-9:-]{{0,30}}({ATTRIBUTES})?\s{{0,9}}/?>")
FOLDS = {
    "lookalikes": ["کڪ ك", "یۍێېے ي", "ہھەۀۂ ه", "ۃ ة", "ۇۆۈۋۏ و"],
    "alef": ["أإآٱٲٳٵ ا"],
    "ya": ["ى ي"],
    "ta_marbuta": ["ة ه"],
}


def reference(text, rules):
    text = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    while (after := reference_once(text, rules)) != text:
        text = after
    return text


def reference_once(text, rules):
    if rules["html"]:
        text = html.unescape(re.sub("&(amp;)+", "&", text))
        text = TAG.sub(" ", text)
    if rules["presentation"]:
        for character in set(text):
            if "\ufb50" <= character <= "\ufdff" or "\ufe70" <= character < "\ufeff":
                text = text.replace(character, unicodedata.normalize("NFKC", character).lstrip(" "))
    text = unicodedata.normalize("NFC", text)
    for rule, pattern in CLASSES.items():
        if rules[rule]:
            text = re.sub(pattern, "", text)
    for rule, folds in FOLDS.items():
        if rules[rule]:
            for fold in folds:
                *letters, _, letter = fold
                for old in letters:
                    text = text.replace(old, letter)
    if rules["digits"]:
        text = re.sub("[٠-٩۰-۹]", lambda match: str(int(match[0])), text)
        text = text.replace("٪", "%").replace("٫", ".").replace("٬", ",")
    if rules["punctuation"]:
        text = re.sub(r"""([!?؟.,،;؛:…*~_\-=#'"|])\1+""", r"\1", text)
    if rules["elongation"]:
        text = re.sub(r"([\u0621-\u063a\u0641-\u064a\u0671-\u06d3])\1\1+", r"\1", text)
    if rules["whitespace"]:
        text = " ".join(text.split())
    kinds = [kind for rule, kind in PRIVACY.items() if rules[rule]]
    if "id" in kinds and rules["ta_marbuta"]:
        text = text.replace("[هويه]", "[هوية]")
    return Scrubber(kinds)(text)


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
        "</b>",
        "<!-- ",
        "-->",
    ),
    *("050", "1234567", "٠٥٠", "966", "www.", "https://", "t.me/", "a@b.com", "رقم الهوية "),
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
