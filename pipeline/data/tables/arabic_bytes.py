"""How likely bytes are Arabic text in each encoding of one byte a character, by the letters in a row.

The encodings give the same bytes other letters, so text in a wrong one has the right alphabet but not its
words. How often a letter follows another is counted over `_WORDS`, frequent words of the written language,
of dialects and of complaints. That is enough: it tells a line of two words nearly always.
"""

import unicodedata
from functools import cache

import numpy as np

ENCODINGS = {
    "cp1256": "Windows-1256",
    "iso8859_6": "ISO 8859-6",
    "mac_arabic": "Mac Arabic",
    "cp720": "DOS 720",
    "cp864": "DOS 864",
}
"""Python's codec to the usual name; of two that read a file alike, the first counts."""

_WORDS = """
في من على إلى عن مع أن إن لا ما هل لم لن قد كان كانت يكون هو هي هذا هذه ذلك تلك التي الذي الذين كل
بعض غير بعد قبل عند عندي عنده عندها منذ حتى لكن أو و ثم إذا لو كما بين تحت فوق خلال حول دون أي كيف
متى أين لماذا ماذا أنا أنت نحن هم به بها له لها فيه فيها منه منها عليه عليها عليكم السلام ورحمة الله
وبركاته شكرا جزيلا الرجاء دكتور الدكتور طبيب الطبيب المريض مريض مستشفى المستشفى عيادة علاج العلاج
دواء الدواء أدوية حبوب حبة قرص جرعة مرض المرض أعراض الأعراض سبب السبب أسباب حالة الحالة مشكلة
المشكلة ألم الألم آلام وجع صداع الرأس رأسي حرارة الحرارة حمى سعال كحة بلغم دم الدم ضغط الضغط سكر
السكري قلب القلب صدر الصدر صدري بطن البطن بطني معدة المعدة أمعاء قولون القولون كبد الكبد كلى الكلى
ظهر الظهر ظهري رقبة ركبة قدم يد يدي عين العين أذن أنف فم أسنان جلد الجلد حساسية التهاب التهابات عدوى
تورم انتفاخ إسهال إمساك غثيان قيء دوخة دوار ضيق تنفس التنفس نفس تعب إرهاق ضعف حمل الحمل حامل ولادة
طفل الطفل طفلي ابني ابنتي زوجتي زوجي أمي أبي والدي والدتي عمره عمرها عمري سنة سنوات شهر شهرين أشهر
أسبوع أسبوعين أيام يوم يومين اليوم ليل الليل النوم ساعة ساعات مرة مرات أحيانا دائما جدا كثيرا قليل
شديد شديدة خفيف خفيفة حاد مزمن مستمر مفاجئ تحليل تحاليل أشعة فحص الفحص فحوصات نتيجة نتائج عملية
العملية جراحة يجب يمكن ينصح تناول استخدام استعمال راجع مراجعة أخصائي الطوارئ فورا الماء اشرب تجنب
الراحة الأكل الطعام يوميا أعاني يعاني تعاني أشعر يشعر بدأ بدأت ظهر ظهرت زاد يزداد أريد أعرف السؤال
سؤال الجواب الرد الشكوى الإجابة الخطورة مش شو ايش ليش وش كيفك عشان علشان بس كمان برضه دلوقتي
النهارده امبارح بكرة شوي شوية كتير وايد يعني طيب اللي راح رحت اخذت أخذت صار صارت يصير عندنا مافي
مفيش حرج حرجة متوسط طبيعي نسبة ارتفاع انخفاض نقص زيادة فيتامين
"""

_LETTERS = "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي"
# Kinds beside the letters, as indices after theirs.
_KINDS = ("break", "punctuation", "latin", "mark", "tanwin", "other", "accented", "symbol", "unlikely")
_BREAK, _PUNCTUATION, _LATIN, _MARK, _TANWIN, _OTHER, _ACCENTED, _SYMBOL, _UNLIKELY = range(
    len(_LETTERS), len(_LETTERS) + len(_KINDS)
)
# How often a kind follows anything, where nothing else is said.
_SHARES = {
    _PUNCTUATION: 2e-2,
    _LATIN: 1e-3,
    _MARK: 3e-3,
    _TANWIN: 3e-3,
    _OTHER: 1e-3,
    _ACCENTED: 1e-4,
    _SYMBOL: 5e-4,
    _UNLIKELY: 1e-5,
}

_JOINING = ("<initial>", "<medial>")
_JOINING_ENDS = np.float32(-4)


def log_likelihoods(data: np.ndarray) -> dict[str, np.ndarray]:
    """How likely each byte is, given the byte before it, in every encoding of `ENCODINGS`.

    Args:
        data: (n,), uint8.

    Returns:
        (n,) float32 for each codec, natural logarithms; 0 where both bytes are ASCII.
    """
    before = np.concatenate([np.full(1, 0x0A, dtype=np.uint8), data[:-1]])
    pairs = (before.astype(np.uint16) << 8) | data
    return {codec: np.take(_pairs(codec), pairs) for codec in ENCODINGS}


def arabic_letters(codec: str) -> np.ndarray:
    """Which bytes beyond ASCII are letters of Arabic, (256,), bool."""
    return (_kinds(codec) < len(_LETTERS)) & (np.arange(256) >= 0x80)


@cache
def characters(codec: str) -> list[str]:
    """What each of the 256 bytes stands for, compatibility forms as letters; "" for none."""
    found = []
    for byte in range(256):
        character = bytes([byte]).decode(codec, "ignore")
        found.append(unicodedata.normalize("NFKC", character))
    return found


@cache
def _pairs(codec: str) -> np.ndarray:
    """The logarithm for each pair of bytes, (65536,), float32."""
    kinds, ascii_bytes = _kinds(codec), np.arange(256) < 0x80
    scores = _table()[kinds[:, None], kinds[None, :]]
    # DOS 864 has several forms of a letter; those that join the next do not end a word.
    forms = (bytes([byte]).decode(codec, "ignore") for byte in range(256))
    joins = [bool(form) and unicodedata.decomposition(form).startswith(_JOINING) for form in forms]
    scores[np.ix_(joins, kinds == _BREAK)] += _JOINING_ENDS
    scores[np.ix_(ascii_bytes, ascii_bytes)] = 0
    pairs: np.ndarray = scores.reshape(-1)
    return pairs


@cache
def _kinds(codec: str) -> np.ndarray:
    return np.array([_kind(character) for character in characters(codec)], dtype=np.int64)


def _kind(character: str) -> int:
    if not character:
        return _UNLIKELY
    # A ligature counts as its last letter, the form of a mark alone as the mark.
    last = character[-1]
    category = unicodedata.category(last)
    if last in _LETTERS:
        return _LETTERS.index(last)
    punctuation = last in "،؛؟٪«»…“”\u200c\u200d\u200e\u200f" or (category[0] == "P" and last.isascii())
    letter = category[0] == "L"
    kinds = (
        (last in "\u064b\u064c\u064d", _TANWIN),
        (category == "Mn" or last == "ـ", _MARK),
        (last in " \t\n\r" or category == "Nd", _BREAK),
        (punctuation, _PUNCTUATION),
        (letter and last.isascii(), _LATIN),
        (letter and "\u0600" <= last <= "\u06ff", _OTHER),
        (letter, _ACCENTED),
        (category[0] == "C" or "\u2320" <= last <= "\u25ff", _UNLIKELY),
    )
    return next((kind for holds, kind in kinds if holds), _SYMBOL)


@cache
def _table() -> np.ndarray:
    """Logarithms of how often a kind follows another, (kinds, kinds), float32."""
    size, letters = len(_LETTERS) + len(_KINDS), slice(len(_LETTERS))
    counts = np.zeros((size, size))
    for word in _WORDS.split():
        kinds = [_BREAK, *(_LETTERS.index(letter) for letter in word), _BREAK]
        np.add.at(counts, (kinds[:-1], kinds[1:]), 1)
    # As if five more of each had been seen, spread as letters are at all.
    overall = counts.sum(axis=0) / counts.sum()
    shares = (counts + 5 * overall) / (counts.sum(axis=1, keepdims=True) + 5)
    for kind, share in _SHARES.items():
        shares[kind] = overall * share
        shares[:, kind] = share
    shares[_MARK, letters] = overall[letters]
    shares[_MARK, _BREAK] = shares[_TANWIN, _BREAK] = shares[_PUNCTUATION, _BREAK] = 0.5
    shares[_PUNCTUATION, letters] = 0.3 * overall[letters]
    # An alef follows one of them; and a mark stands after a letter.
    shares[_TANWIN, _LETTERS.index("ا")] = 0.3
    shares[_BREAK, (_MARK, _TANWIN)] = shares[_PUNCTUATION, (_MARK, _TANWIN)] = 1e-4
    # English and French words and units among Arabic ones.
    shares[(_BREAK, _PUNCTUATION), _LATIN] = 5e-2
    shares[_LATIN, _ACCENTED] = shares[_ACCENTED, _ACCENTED] = 3e-2
    shares[(_ACCENTED, _LATIN, _ACCENTED), (_LATIN, _BREAK, _BREAK)] = 0.3
    shares[_SYMBOL, _BREAK] = 0.3
    shares[_BREAK, _BREAK] = 0.1
    logarithms: np.ndarray = np.log(np.maximum(shares, 1e-6)).astype(np.float32)
    return logarithms
