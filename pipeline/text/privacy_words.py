"""What the words around a number say of it: a phone or identity number, or a quantity with its unit."""

import re
from typing import NamedTuple

# What stands for a phone number once it is replaced.
PHONE = "[هاتف]"
# Letters that are written in several ways, brought to one; marks and invisible signs go.
FOLD = {
    **dict.fromkeys([*range(0x64B, 0x660), 0x640, 0x670, 0xAD, 0x61C, 0xFEFF]),
    **dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)]),
    **dict.fromkeys(map(ord, "أإآٱ"), "ا"),
    **dict.fromkeys(map(ord, "ىیې"), "ي"),
    ord("ة"): "ه",
    ord("ک"): "ك",
}
_CLITICS = r"[وفبكل]?(?:ال|لل)?"
_OWNERS = r"(?:ي|ك|ه|ها|نا|كم|هم|ات)?"
_TOKEN = re.compile(r"\[هاتف\]|\w+|[^\w\s]")
_SKIPPED = re.compile(r"[:：=\-–—.،,#(/\\*+_>~\"'|]")
_FILLER = re.compile(
    r"[وف]?(?:هو|هي|هذا|ده|دا|دي|علي|ع|عا|او|ال)|اب|app|is|at|on|or|me|us|my"
    r"|[وب]?(?:ال)?(?:رقم|ارقام|كود)|نمره|code|no|nr|num|number"
)
_NUMBER_WORD = re.compile(rf"{_CLITICS}(?:رقم|ارقام|نمره|كود){_OWNERS}|no|nr|num|number|code|#")
_PHONE_WORD = re.compile(
    rf"{_CLITICS}(?:هاتف|هواتف|فون|تلفون|تليفون|تلفن|جوال|موبايل|موبيل|محمول|خلوي|نقال|واتس|واتساب|واتسب|وتساب|فاكس"
    rf"|اتصال|تواصل){_OWNERS}"
    r"|[وف]?(?:اتصل|تواصل|كلم|راسل)(?:وا|ي|ني|يني|وني|نا)?|[وف]?(?:رقمي|رقمنا|ارقامي|ارقامنا)"
    r"|tel|telephone|phone|cellphone|mobile|mob|whatsapp|whats|fax|call|contact|sms|hotline"
)
# "ت:" and "ج/" are usual for تلفون and جوال; without the sign they are units and list letters.
_PHONE_LETTER = frozenset("تج")
# "Quantitative", not "my number": تحليل رقمي.
_TEST_WORD = re.compile(r"\w*(?:تحليل|تحاليل|اختبار|فحص|حمل|دم|بيتا|براز|hcg)")
_ID_WORD = re.compile(
    rf"{_CLITICS}(?:هويه|هويت|اقامه|اقامت){_OWNERS}|id|passport|iqama|mrn|ssn|{_CLITICS}بطاقه شخصيه"
    rf"|{_CLITICS}جواز{_OWNERS} {_CLITICS}سفر{_OWNERS}|جوازي"
)
# These mark an identity number only together with "number": رقم الملف, ملف رقم.
_RECORD_WORD = re.compile(
    rf"{_CLITICS}(?:قومي|وطني|مدني|ملف|مريض|مريضه|طبي|سجل|حاله|عينه|جواز|بطاقه|ضمان|تامين|تأمين){_OWNERS}"
    r"|file|patient|record|case|national|medical"
)
# What these name is a thing: a batch, a pack, an article, a paper.
_PRODUCT_WORD = re.compile(
    rf"{_CLITICS}(?:باركود|تشغيله|تشغيلات|لوت|باتش|سيريال|تسلسلي){_OWNERS}"
    r"|lots?|batch|barcodes?|ean(?:13|8)?|gtin|upc|isbn|issn|ndc|sfda|sku|ref|cat|serial|sn|bn|pmid|pmcid|doi|nct"
)
# And these together with "number": رقم الصنف.
_THING_WORD = re.compile(
    rf"{_CLITICS}(?:دفعه|صنف|منتج|دواء|عبوه|موديل|كتالوج|تشغيل){_OWNERS}|model|item|product|drug|rx|article"
)
_PRODUCT_WORDS = re.compile(r"بار كود|رمز شريطي|الرمز الشريطي|[bsp] n")
_CODE_WORD = re.compile(rf"{_CLITICS}كود|code")
_UNIT = re.compile(
    r"[ \u00a0]?(?:%|٪|/ ?(?:[mµu]?l|dl|mm3?|مل|لتر|مم)\b|[x×*^] ?\d"
    r"|(?:[mµnp]?g|mcg|kg|[mµd]?l|[mk]?iu|i\.u|u|units?|cop(?:y|ies)|cfu|cells?"
    r"|(?:ال)?(?:وحده|وحدات|ملغ|ملغم|مغ|مجم|ملجم|ملي|ملل|مل|جم|غم|جرام|غرام|ميكرو|ميكروغرام|نسخه|نسخ|خليه|خلايا|كريه"
    r"|حيوان|بكتيريا|دوليه|الف|مليون|مليار|ريال|دينار|درهم|جنيه|ليره|دولار))\b)"
)
WINDOW = 80  # characters before a number in which its word is looked for


class Context(NamedTuple):
    """What the words just before a number make of it.

    Attributes:
        phone, identity: a number of that kind.
        numbered: and a word says that it is a number: رقم الملف, file no.
        after_phone: a phone number stands before it.
        product: the number of a thing.
        code: a code of some kind.
    """

    phone: bool = False
    identity: bool = False
    numbered: bool = False
    after_phone: bool = False
    product: bool = False
    code: bool = False


NO_CONTEXT = Context()


def read_context(before: str) -> Context:
    """Read the words at the end of `before`, past punctuation and words such as "رقم" and "هو"."""
    tokens = _TOKEN.findall(before.lower().translate(FOLD))
    numbered = signed = code = False
    fillers = 0
    while tokens and fillers <= 4:
        last = tokens[-1]
        if _FILLER.fullmatch(last):
            fillers += 1
        elif not _SKIPPED.fullmatch(last):
            break
        signed = last in (":", "/")
        numbered = numbered or _NUMBER_WORD.fullmatch(last) is not None
        code = code or _CODE_WORD.fullmatch(last) is not None
        tokens.pop()
    if not tokens:
        return Context(code=code)
    last = tokens[-1]
    previous = tokens[-2] if len(tokens) > 1 else ""
    if last == PHONE:
        return Context(after_phone=True)
    phone = _PHONE_WORD.fullmatch(last) is not None and not (
        "رقم" in last and _TEST_WORD.fullmatch(previous) is not None
    )
    phone = phone or (signed and last in _PHONE_LETTER)
    numbered = numbered or any(_NUMBER_WORD.fullmatch(token) for token in tokens[-3:-1])
    words = [token for token in tokens[-3:] if not _SKIPPED.fullmatch(token)]
    if (
        _PRODUCT_WORD.fullmatch(last)
        or _PRODUCT_WORDS.fullmatch(" ".join(words[-2:]))
        or (numbered and _THING_WORD.fullmatch(last))
    ):
        return Context(product=True)
    identity = (
        _ID_WORD.fullmatch(last) is not None
        or _ID_WORD.fullmatch(f"{previous} {last}") is not None
        or (numbered and _RECORD_WORD.fullmatch(last) is not None)
    )
    return Context(
        phone=phone and not identity,
        identity=identity,
        numbered=numbered or last == "mrn",
        code=code and not phone and not identity,
    )


def has_unit(following: str) -> bool:
    """Whether the text just after a number starts with a unit of measure or money."""
    return _UNIT.match(following[:24].lower().translate(FOLD)) is not None
