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
        "سلام، مادرم ۶۵ سال دارد و دیابت دارد، قند خونش بالای ۳۰۰ است",
        "کمر درد شدید بعد از بلند کردن جسم سنگین",
        "آزمایش خون دادم هموگلوبین پایین بود",
        "پوست صورتم جوش زده چه کرمی استفاده کنم",
        "نوزادم شیر نمی\u200cخورد و زرد شده",
        "معده\u200cام می\u200cسوزد و ترش می\u200cکنم",
        "سه ماهه باردارم و لکه بینی دارم",
        "دندانم خیلی درد میکنه تا صبح نخوابیدم",
        "قلبم تند میزنه و عرق سرد میکنم",
        "ریزش موی شدید پیدا کرده\u200cام",
        "واکسن زدم جاش ورم کرده",
        "شوهرم خرخر می\u200cکند و خسته بیدار می\u200cشود",
        "پریودم عقب افتاده تست منفی است",
        "چشمم قرمز شده و آب میاد",
        "افسردگی دارم و به خودکشی فکر می\u200cکنم",
        "قرص استامینوفن روزی چندتا بخورم",
        "دستم بی\u200cحس می\u200cشود",
        "زخم پایم خوب نمی\u200cشود",
        "گوشم سوت می\u200cکشد",
        "آسم دارم و اسپری تمام شده",
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
        "میری والدہ کو شوگر ہے اور شوگر لیول 300 ہے",
        "کمر میں بہت درد ہے اٹھ نہیں سکتا",
        "بچہ دودھ نہیں پیتا اور پیلا ہو گیا ہے",
        "میری آنکھ سرخ ہو گئی ہے",
        "دانت کا درد رات بھر سونے نہیں دیتا",
        "مجھے حمل کا تیسرا مہینہ ہے اور خون آ رہا ہے",
        "دل تیز دھڑکتا ہے اور ٹھنڈا پسینہ آتا ہے",
        "بال بہت گر رہے ہیں",
        "سانس لینے میں دشواری",
        "نزلہ زکام کا علاج بتائیں",
        "معدے میں جلن رہتی ہے",
        "ہاتھ سن ہو جاتے ہیں",
        "زخم ٹھیک نہیں ہو رہا",
        "کان میں سیٹی بجتی ہے",
        "پیشاب میں جلن ہے",
        "بلڈ پریشر ہائی رہتا ہے",
        "ماہواری بند ہے ٹیسٹ منفی ہے",
        "گھٹنوں میں سوجن ہے",
        "الرجی کی وجہ سے خارش ہے",
        "وزن کم کیسے کروں",
    ],
    "Kurdish": [
        "دکتۆر سێ ڕۆژە سەرم زۆر دێشێت و تام هەیە",
        "منداڵەکەم کۆکەی هەیە چی بکەم",
        "ئازاری سینگم هەیە و ناتوانم هەناسە بدەم",
        "ئایا ئەم دەرمانە بۆ دووگیان باشە",
        "پێویستە بچیت بۆ نەخۆشخانە",
        "گەدەم دێشێت و ڕشانەوەم هەیە",
        "دایکم شەکرەی هەیە و بەرزە",
        "پشتم زۆر دێشێت",
        "منداڵەکەم شیر ناخوات",
        "چاوم سوور بووە",
        "ددانم دێشێت",
        "دڵم خێرا لێدەدات",
        "قژم دەڕووتێتەوە",
        "برینەکەم چاک نابێتەوە",
        "گوێم دەزرنگێتەوە",
        "سووتانەوەی میز",
        "سەرئێشەم هەیە",
        "دەستم سڕ دەبێت",
        "خەوم نایەت",
        "زگم دێشێت",
        "ئازاری ئەژنۆ",
    ],
    "Pashto": [
        "زه درې ورځې کیږي چې تبه لرم او سر مې خوږیږي",
        "زما ماشوم ټوخی کوي څه وکړم",
        "ډاکټر صاحب زما په سینه کې درد دی",
        "ایا دا دوا د امیندوارۍ په وخت کې خوندي ده",
        "تاسو باید ژر روغتون ته لاړ شئ",
        "زما ګېډه درد کوي او کانګې لرم",
        "زما مور شکر لري او لوړ دي",
        "ملا مې ډېره خوږیږي",
        "ماشوم شيدې نه خوري",
        "سترګې مې سرې شوې دي",
        "غاښ مې خوږ دی",
        "زړه مې ګړندی وهي",
        "ویښتان مې تویږي",
        "ټپ مې نه جوړیږي",
        "غوږ مې شنګیږي",
        "په متیازو کې سوځښت",
        "سر درد لرم",
        "لاس مې بې حسه کیږي",
        "خوب نه راځي",
        "نس مې درد کوي",
        "د زنګون پړسوب",
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
    "الطفل عمره شهرين وعنده استفراغ",
    "پنادول ولا بروفين احسن",
    "چاي أخضر مفيد؟",
    "گلبي يوجعني هواي",
    "ما هي أعراض السكري",
    "ابي علاج للحساسية",
    "هل أستخدم ڤيتامين سي",
    "فيني دوخه وزغلله",
    "راسي بيوجعني مرة",
    "وجع بطن",
    "حبوب",
    "كحة وبلغم أخضر",
    "نزيف",
    "درجة حرارته 39 ونص",
    "تحليل CBC طبيعي",
    "ضغط دمي مرتفع وآخذ كونكور",
    "ألم",
    "دي اعراض ايه",
    "ده عادي",
    "هذا شنو",
    "واش نقدر ناخذ دوا",
    "عندو السخانة",
    "بغيت نعرف",
    "شو بدي اعمل",
    "ليه كده",
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
    "ana ta3ban awy w 3andy so5oniya",
    "ya doctor el bent bet2ol batnaha btewga3ha",
    "btn beywga3ny",
    "3ndi 7arara",
    "kifak doctor badde es2alak",
    "law sama7t 3ayza a3raf el ta7lil da ma3nah eh",
    "dawkha w rase byefter",
    "wesh rayak fe hal 7aboob",
    "sa3ab 3alay nafas",
    "hal momken astakhdem augmentin",
    "wallah ta3bt mn el waja3",
    "3omri 25 w 3andi sokkar",
    "chno ndir l had lwja3",
    "kan7ess b dikka f sadri",
    "salam 3alikom bghit nswel 3la dwa",
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
    "My son has fever 39 and vomiting",
    "Take ibuprofen 400mg every 8h with food",
    "CBC, ESR, CRP, T3 T4 TSH",
    "Follow up after 2weeks",
    "Urgent CT chest w/ contrast",
    "Amoxicillin/clavulanate 625 mg tid for 7d",
    "stage 3a ca colon",
    "Vit d3 50000 iu weekly",
    "C5-C6 disc",
    "L4 L5 S1 radiculopathy",
    "H. pylori Ag in stool",
    "HbA1c 7.2",
    "Omega 3 1000mg",
    "B12 injection im",
    "Start Metformin 500 bid",
    "5HT3 antagonist",
    "Fe 2+ tablets",
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
