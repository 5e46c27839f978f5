"""Normalisation as the rules say it, one text and one character at a time: slow, apart from the library."""

import html
import re
import unicodedata

from root import ROOT

from pipeline.config.params import load
from pipeline.text.normalise import PRIVACY, RULES
from pipeline.text.privacy import PLACEHOLDERS, Scrubber

POSTS = ROOT / "../shared/data/severity_posts.xlsx"

# Switches for every rule: all on, all off, and as the embedded default has them for each reader.
ALL = dict.fromkeys(RULES, True)
NONE = dict.fromkeys(RULES, False)
PRESETS = {
    reader: {rule: rule not in off for rule in RULES}
    for reader, off in load(ROOT / "params.yaml").normalise.rules_off.model_dump().items()
}

CLASSES = {
    "invisible": r"\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\ufeff\ufff9-\ufffb",
    "diacritics": r"\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    r"\u08d3-\u08e1\u08e3-\u08ff",
    "tatweel": "ـ",
}
MARK, INVISIBLE = re.compile(f"[{CLASSES['diacritics']}]"), re.compile(f"[{CLASSES['invisible']}]")
SEPARATING = re.compile(r"[\x00-\x1f\x7f-\x9f\u180e\u200b\u200c\u2066-\u2069]")
ARABIC = re.compile("[\u0600-\u06ff\u0750-\u077f\ufb50-\ufefc]")
NEGATIONS = "لا|ما|مش|مو|مب|موب|ليس|ليست|لست|لم|لن|غير|بدون|بلا|دون|مافي|مافيه|مافيش|مفيش|ماكو"
AFTER_NEGATION = re.compile(rf"(?<![^\W\d_])[وف]?({NEGATIONS})$")
ENTITY = re.compile("&(?:#[xX][0-9a-fA-F]{1,8};?|#[0-9]{1,10};?|[A-Za-z]{2,31}[0-9]{0,3};?)")
VALUE = r"""("[^"<>]{0,1000}"|'[^'<>]{0,1000}'|[^\s"'=<>`]{1,1000})"""
ATTRIBUTES = rf"((\s{{1,9}}[A-Za-z_:@-][A-Za-z0-9_:.-]{{0,50}}\s?=\s?{VALUE}){{0,20}})"
TAG = re.compile(rf"<!--[^<>]{{0,1000}}-->|<(/?)([a-zA-Z][a-zA-Z0-9]{{0,15}}){ATTRIBUTES}\s{{0,9}}/?>")
# Those of the scraps below; and some, to be no such.
ELEMENTS = "a|b|br|p|i|sup|sub|div|span|font|li|td|strong|em|u|h1|h2".split("|")  # noqa: SIM905
DOUBLED = re.compile(
    "[وفبلك]?(ال|لل)?(ضرر|متضرر|تضرر|[ميت]?سبب|تسبب|خلل|ملل|شلل|بلل|علل|[مت]?عدد|متعدد|قصص|حصص|تسمم|تحسس|[مت]?تخصص"
    "|[مت]?تردد|[ميت]?تكرر|تشقق|[مت]?تمدد|محدد|مشدد|[مت]?تجدد|تحلل|مخفف|مهدد|مبرر|مقرر|مخطط|[مت]?تفتت|[مت]?تشتت)"
    "(ا|ه|ة|ها|ي|ين|ات)?"
)
FOLDS = {
    "lookalikes": ["کڪ ك", "یۍێېے ي", "ہھەۀۂ ه", "ۃ ة", "ۇۆۈۋۏ و"],
    "alef": ["أإآٱٲٳٵ ا"],
    "ya": ["ى ي"],
    "ta_marbuta": ["ة ه"],
}


def reference(text, rules):
    text = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    while (after := once(text, rules)) != text:
        text = after
    return text


def once(text, rules):
    if rules["html"]:
        text = TAG.sub(tag, ENTITY.sub(entity, re.sub("&(amp;)+", "&", text)))
    if rules["presentation"]:
        for character in set(text):
            if "\ufb50" <= character <= "\ufdff" or "\ufe70" <= character < "\ufeff":
                text = text.replace(character, unicodedata.normalize("NFKC", character).lstrip(" "))
    text = unicodedata.normalize("NFC", text)
    for rule, folds in FOLDS.items():
        if rules[rule]:
            for fold in folds:
                *letters, _, letter = fold
                for old in letters:
                    text = text.replace(old, letter)
    if rules["digits"]:
        text = re.sub("[٠-٩۰-۹]", lambda match: str(int(match[0])), text)
        text = text.replace("٪", "%").replace("٫", ".").replace("٬", ",")
    gone = "".join(CLASSES[rule] for rule in CLASSES if rules[rule])
    if gone:
        done, last = "", 0
        for run in re.finditer(f"[{gone}]+", text):
            done += text[last : run.start()]
            done += instead(run, re.compile(f"[{gone}]"), done)
            last = run.end()
        text = done + text[last:]
    if rules["whitespace"]:
        text = " ".join(text.split())
    if rules["punctuation"]:
        text = re.sub(r"""([!?؟.,،;؛:…*~_\-=#'"|])\1+""", mark, text)
    if rules["elongation"]:
        # A long vowel first, for it says where a word starts.
        text = re.sub(r"([\u0621-\u063a\u0641-\u064a\u0671-\u06d3])\1\1+", stretched, text)
    kinds = [kind for rule, kind in PRIVACY.items() if rules[rule]]
    folded = {
        value: "".join(folded_letter(letter, rules) for letter in value) for value in PLACEHOLDERS.values()
    }
    for kind in kinds:
        text = text.replace(folded[PLACEHOLDERS[kind]], PLACEHOLDERS[kind])
    return Scrubber(kinds)(text)


def folded_letter(letter, rules):
    for rule, folds in FOLDS.items():
        if rules[rule] and letter in "".join(fold[:-2] for fold in folds):
            letter = next(fold[-1] for fold in folds if letter in fold[:-2])
    return letter


def entity(match):
    whole = match[0]
    digits = re.search(r"[0-9]*;?$", whole)[0]
    for known, rest in ((whole, ""), (whole.removesuffix(digits), digits)):
        if whole.startswith("&#") and rest:
            continue
        if whole.startswith("&#") or known[1:] in html.entities.html5:
            return (html.unescape(known) or known) + rest
    return whole


def tag(match):
    if match[0].startswith("<!--"):
        return " "
    slash, name, attributes = match[1], match[2].lower(), match[3]
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    if name not in ELEMENTS:
        return match[0]
    if before.isalnum() and after.isalnum() and not slash and not attributes and len(name) == 1:
        if f"</{match[2]}>" not in match.string[match.end() :] and before.isascii() and after.isascii():
            return match[0]
    elif name == "sup" and not slash and before.isalnum() and re.match(r"[-−+]|\d", after):
        return "^"
    elif name == "sub" and not slash and re.match("[A-Za-z]", before) and after.isalnum():
        return ""
    return " "


def numeric(character):
    return character.isnumeric() and not character.isalpha()


def instead(run, gone, done):
    after = run.string[run.end() :][:1]
    left = re.sub(f"[{CLASSES['diacritics']}{CLASSES['invisible']}]{{0,8}}$", "", run.string[: run.start()])
    before, second = left[-1:], left[-2:-1]
    before, second = ("", "") if gone.match(before) else (before, "" if gone.match(second) else second)
    arabic_before, arabic_after = (bool(ARABIC.match(c)) and c.isalpha() for c in (before, after))
    word_before, word_after = (c.isalpha() or numeric(c) for c in (before, after))
    if "ـ" in run[0] and not arabic_after and not {before, after} & set("-–—~"):
        if not arabic_before:
            return "-"
        alone = not second.isalpha() and not numeric(second) and not MARK.match(second)
        if numeric(after) and not alone and not (before == "ل" and second in tuple("ال")):
            return "-"
    if numeric(before) and numeric(after):
        return " "
    if "ـ" in run[0] and word_before and not arabic_before and after.isalpha():
        return " "
    if SEPARATING.search(run[0]):
        points = tuple(".,،٫٬")
        decimal = (numeric(before) and after in points) or (numeric(after) and before in points)
        if (word_before and word_after) or decimal:
            return " "
    invisible = INVISIBLE.search(run[0]) and arabic_before and word_after
    return " " if invisible and AFTER_NEGATION.search(MARK.sub("", done).replace("ـ", "")) else ""


def mark(run):
    before, after = run.string[: run.start()][-1:], run.string[run.end() :].lstrip()[:1]
    number_after, number_before = after.isdecimal(), before.isdecimal()
    two = (number_after and run[1] in ".,،:*~_-='") or (number_before and run[1] in "'\"")
    return run[1] * (2 if two else 1)


def stretched(run):
    letter, length = run[1], len(run[0])

    def inside(character):
        return character.isalpha() or unicodedata.combining(character) > 0

    start, end = run.start(), run.end()
    while start and inside(run.string[start - 1]):
        start -= 1
    while end < len(run.string) and inside(run.string[end]):
        end += 1
    before = re.sub(r"(.)\1\1+", r"\1", run.string[start : run.start()])
    after = run.string[run.end() : end]
    if not before and not after:
        return letter * 2
    openings = {
        "م": "|و|ف|ب|ل|ال|وال|بال|فال",
        "ل": "|و|ف|[وفبكهي]?[اأإآٱ]",
        "ت": "[وف]?[سلبه]?",
    }
    negation = re.fullmatch("[وف]?(لا|لم|لن|ما|مش|مو|مب)", before + letter + after)
    if after and not negation and letter in openings and re.fullmatch(openings[letter], before):
        return letter * (3 if letter == "ت" and length == 3 else 2)
    doubled = DOUBLED.fullmatch(before + letter * 2 + after) and letter not in "اويى"
    return letter * (2 if doubled else 1)
