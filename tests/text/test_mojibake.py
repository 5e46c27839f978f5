from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.mojibake import is_mojibake

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"

TEXTS = [
    "عندي صداع شديد منذ يومين مع حرارة وقيء، هل هذا خطير؟",
    "راجع الطبيب في المستشفى إذا استمر الألم أكثر من يومين",
    "ابني عمره سنتان ويسعل في الليل كثيرا",
]
# What the text was, and what it was read as.
WRONG = [
    *(("utf-8", codec) for codec in ("cp1252", "latin-1", "cp1256", "mac_roman", "mac_arabic", "cp437")),
    *(("utf-8", codec) for codec in ("cp720", "cp850", "cp864", "cp1251", "iso8859_6")),
    *(
        ("cp1256", codec)
        for codec in ("utf-8", "cp1252", "latin-1", "iso8859_6", "mac_arabic", "cp437", "cp720")
    ),
    *(("iso8859_6", codec) for codec in ("utf-8", "cp1252", "latin-1", "cp1256", "cp437", "cp720")),
    *(("cp720", codec) for codec in ("utf-8", "cp1256", "iso8859_6")),
]


@pytest.mark.parametrize(("was", "read_as"), WRONG)
@pytest.mark.parametrize("text", TEXTS)
def test_text_read_in_a_wrong_encoding_is_found(text, was, read_as):
    assert is_mojibake(text.encode(was, "ignore").decode(read_as, "replace"))


@pytest.mark.parametrize(
    "text",
    [
        *("Ø§Ù„", "Ø§Ù„Ø³Ù„Ø§Ù… Ø¹Ù„ÙŠÙƒÙ…", "ط§ظ„", "ط§ظ„ط³ظ„ط§ظ… ط¹ظ„ظٹظƒظ…", "ظودê انه", "ÇáÓáÇã Úáíßã"),
        *(
            "Ã˜Â§Ã™â€žÃ˜Â³Ã™â€žÃ˜Â§Ã™â€¦",
            "صدا\ufffd شد\ufffdد م\ufffdذ",
            "\ufffd" * 10,
            "السلام Ø¹Ù„ÙŠÙƒÙ…",
        ),
    ],
)
def test_gibberish_as_people_see_it_is_found(text):
    assert is_mojibake(text)


@pytest.mark.parametrize(
    "text",
    [
        *TEXTS,
        *(
            "",
            "   ",
            "I have had a headache for two days",
            "J'ai très mal à la tête, côté gauche, où aller ?",
        ),
        "كتابٌ جديدٌ وطبيبٌ ماهرٌ في مستشفىً كبيرٍ، شكرًا جزيلًا",
        "دواء dépakine و médecin généraliste عند côté",
        "وصف لي الدépakine أمس",
        *("سردرد شدید دارم؛ گفتم چه کار کنم", "کیا یہ دوا ٹھیک ہے؟ ڈاکٹر عطا سے پوچھیں", "чистая вода"),
        *("خذ ½ حبة × ٣ يوميا ± 5°", "حرارة 38.5°م ونبض ١٢٠", "Panadol® ©2020 €5 £3 §2 µg 5×3"),
        *("صداع 😊 – شديد… “نعم” «لا» ‘ربما’", "ع، ط، ظ، غ: حروف", "تعععععبت والله", "ظ. ع. غ. د. م."),
        "نص طويل فيه حرف واحد ضاع \ufffd والباقي كله سليم ومفهوم",
        "النتيجة:\n├── سكر\n└── ضغط\n│ 120 │ 80 │",
        "ﻋﻧﺩﻱ ﺻﺩﺍﻉ ﺷﺩﻳﺩ",
    ],
)
def test_what_can_be_read_is_no_mojibake(text):
    assert not is_mojibake(text)


@settings(deadline=None)
@given(
    st.text(
        st.sampled_from("ابتثجحخدذرزسشصضطظعغفقكلمنهوي ىةءأإآؤئ،؛؟.0123456789٠١٢٣٤٥٦٧٨٩abcXYZ/()-+%\"'!\nًَُِّْ")
    )
)
def test_no_sequence_of_common_characters_is_mojibake(text):
    assert not is_mojibake(text)


def test_the_start_of_a_long_text_decides():
    assert is_mojibake("ط§ظ„" + TEXTS[0] * 100_000)
    assert not is_mojibake("é " + TEXTS[0] * 100_000)


@pytest.mark.skipif(not REAL.is_dir(), reason="real data is not beside this checkout")
def test_there_is_no_false_alarm_on_real_posts_and_answers():
    posts = pd.read_excel(REAL / "severity_posts.xlsx")
    pairs = pd.read_csv(REAL / "maqa_sample.csv")
    texts = [*posts["Post"], *posts["Plan"], *pairs["q_body"], *pairs["a_body"]]
    assert len(texts) > 5000
    assert not sum(is_mojibake(str(text)) for text in texts)
