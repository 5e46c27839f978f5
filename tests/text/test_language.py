import pandas as pd
import pytest
from root import ROOT

from pipeline.text.language import is_arabizi, other_language

SHARED = ROOT.parent / "shared" / "data"
TEXTS = {
    "Persian": [
        "سلام دکتر چند روز است که سردرد شدید دارم و نمی‌توانم بخوابم",
        "دخترم سه ساله است و تب دارد چه کار باید بکنم",
        "از دیروز درد قفسه سینه دارم و نفسم می‌گیرد",
        "آیا مصرف این دارو در دوران بارداری خطر دارد؟",
        "من خيلي سرفه ميکنم و گلو درد دارم لطفا کمک کنيد",
        "فشار خون من بالا است و قرص می‌خورم ولی بهتر نشدم",
        "بعد از عمل جراحی زانو هنوز نمیتونم راه برم",
        "پسرم دو هفته است که اسهال دارد و غذا نمی‌خورد",
        "وقتی راه میرم کمرم درد میگیره چرا",
        "شما باید هر چه زودتر به پزشک مراجعه کنید",
    ],
    "Urdu": [
        "مجھے تین دن سے بخار ہے اور سر میں درد ہے",
        "میرے بچے کو کھانسی ہو رہی ہے کیا کریں",
        "ڈاکٹر صاحب میرے سینے میں درد ہوتا ہے",
        "کیا یہ دوا حمل میں محفوظ ہے",
        "آپ کو فوری طور پر ہسپتال جانا چاہیے",
        "مجھے نیند نہیں آتی اور بہت کمزوری محسوس ہوتی ہے",
        "پیٹ میں شدید درد اور الٹی ہو رہی ہے",
        "شوگر کی دوائی کب تک لینی ہے",
    ],
    "Kurdish": [
        "دکتۆر سێ ڕۆژە سەرم زۆر دێشێت و تام هەیە",
        "منداڵەکەم کۆکەی هەیە چی بکەم",
        "ئازاری سینگم هەیە و ناتوانم هەناسە بدەم",
        "ئایا ئەم دەرمانە بۆ دووگیان باشە",
        "پێویستە بچیت بۆ نەخۆشخانە",
        "گەدەم دێشێت و ڕشانەوەم هەیە",
    ],
    "Pashto": [
        "زه درې ورځې کیږي چې تبه لرم او سر مې خوږیږي",
        "زما ماشوم ټوخی کوي څه وکړم",
        "ډاکټر صاحب زما په سینه کې درد دی",
        "ایا دا دوا د امیندوارۍ په وخت کې خوندي ده",
        "تاسو باید ژر روغتون ته لاړ شئ",
        "زما ګېډه درد کوي او کانګې لرم",
    ],
}
ARABIC = [
    "عندي صداع شديد من يومين وحرارة",
    "ابني عمره سنتين سخونته عالية ومش راضي ياكل",
    "وش علاج الكحة الجافة",
    "دي حالة بسيطة",
    "شلون أعرف أني حامل",
    "بنتي چانت عدها سخونة وگلبها يدگ بسرعة",
    "عنـدي ألـم في المعـدة",
    "ھل ھذا طبیعی یا دکتور",
    "عندی صداع شدید و دوخه من یومین",
    "خذ حبة كل 8 ساعات",
    "راسي يوجعني بزاف",
    "درد",
    "",
    "120/80",
    "صداع",
    "مسكن",
]
ARABIZI = [
    "3andi so2al ya doctor",
    "ana 7amel w 3andi waja3 fi batni",
    "salam doctor ibni 3ando 7arara mn embare7",
    "shu 3elaj el ke7a",
    "rasi byewja3ni kteer w mish 3aref a3mel eh",
    "Mesh 2ader atnaffas w sadri by3awarni awi",
    "el walad 3omro sana w mabyakolsh 5ales",
    "marhaba, mumkin su2al?",
]
LATIN = [
    "I have a headache for 3 days, what should I take",
    "paracetamol 500mg 2x daily for 5days",
    "vitamin b12 and omega3",
    "covid19 test was negative, spo2 98",
    "j'ai mal à la tête depuis 2 jours",
    "Tab Augmentin 1gm 1x2 for 7days",
    "Amoxicillin",
    "CT brain, MRI, H2RA",
    "",
]


@pytest.mark.parametrize(
    ("language", "text"), [(language, text) for language, texts in TEXTS.items() for text in texts]
)
def test_another_language_in_arabic_letters_is_told(language, text):
    assert other_language(text) == language
    assert other_language(text.translate(str.maketrans("یک", "يك"))) in TEXTS, "by an Arabic keyboard"


@pytest.mark.parametrize("text", ARABIC)
def test_arabic_of_any_country_and_keyboard_is_arabic(text):
    assert other_language(text) == ""


@pytest.mark.parametrize("text", ARABIZI)
def test_arabic_in_latin_letters_is_told(text):
    assert is_arabizi(text)
    assert is_arabizi(text.upper())


@pytest.mark.parametrize("text", [*LATIN, *ARABIC])
def test_no_other_text_is_arabizi(text):
    assert not is_arabizi(text)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared, which a user's machine does not have")
def test_no_real_post_is_of_another_language():
    posts = pd.read_excel(SHARED / "severity_posts.xlsx")
    pairs = pd.read_csv(SHARED / "maqa_sample.csv")
    texts = [*posts["Post"], *posts["Plan"], *pairs["q_body"], *pairs["a_body"]]
    assert [row for row, text in enumerate(map(str, texts)) if other_language(text)] == []
    assert [row for row, text in enumerate(map(str, texts)) if is_arabizi(text)] == []
