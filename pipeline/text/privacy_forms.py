"""The written forms of phone and identity numbers, and of the numbers, dates and times that are neither."""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from pipeline.text.privacy_words import FOLD

# Mobile numbers without their country code, by country code.
MOBILES = {
    "966": r"5\d{8}",
    "971": r"5\d{8}",
    "973": r"[36]\d{7}",
    "974": r"[3567]\d{7}",
    "965": r"[4569]\d{7}",
    "968": r"[79]\d{7}",
    "20": r"1[0125]\d{8}",
    "962": r"7[789]\d{7}",
    "961": r"3\d{6}|[78]\d{7}",
    "963": r"9\d{8}",
    "964": r"7\d{9}",
    "967": r"7\d{8}",
    "970": r"5[69]\d{7}",
    "972": r"5\d{8}",
    "218": r"9\d{8}",
    "216": r"[2459]\d{7}",
    "213": r"[567]\d{8}",
    "212": r"[67]\d{8}",
    "249": r"[19]\d{8}",
    "252": r"[679]\d{7,8}",
    "253": r"77\d{6}",
    "222": r"[234]\d{7}",
}
ARAB_MOBILE = re.compile("|".join(f"{code}0?(?:{mobile})" for code, mobile in MOBILES.items()))
# With their trunk zero.
LOCAL_MOBILE = re.compile(r"05\d{8}|01[0125]\d{8}|07[5-9]\d{7,8}|06\d{8}|09\d{8}")

# Digits may stand on keycaps: 0️⃣5️⃣0️⃣.
_DIGITS = re.compile(r"\d(?:[\ufe0f\u20e3]{0,2}\d)*[\ufe0f\u20e3]{0,2}")
_KEYCAP = re.compile("[\ufe0f\u20e3]")
QUANTITY = re.compile(r"\d*0{6}")
_YEAR = re.compile(r"(?:19|20)\d\d|1[34]\d\d")  # of the Common Era, or Hijri
# What may stand between two groups of one phone number, and the one character that it is called here.
# A wide hyphen ("050 - 1234567") and a slash ("03/123456") only part an area code from the rest.
_GAPS = (
    (re.compile(r"[ \u00a0\u2007-\u2009\u202f\t]{1,2}"), " "),
    (re.compile(r"[-\u2010-\u2015\u2212]"), "-"),
    (re.compile(r"\."), "."),
    (re.compile(r"[ \u00a0-]?\("), "("),
    (re.compile(r"\)[ \u00a0]?-?"), ")"),
    (re.compile(r" [-\u2010-\u2015] "), "w"),
    (re.compile(r"[_\u203f]{1,2}"), "_"),
    (re.compile(r" ?[*\u00b7\u2022\u2219\u22c5] ?"), "*"),
    (re.compile(r"/"), "/"),
    (re.compile(r":"), ":"),
    (re.compile(r"[,،٬٫'’]"), ","),
)
JOINS = frozenset(" -.()w/_*")
_LONGEST_GAP = 12
MOST_GROUPS = 15


class Group(NamedTuple):
    """Digits on end: their place, their values as ASCII, and the name of the gap after them ("": none)."""

    start: int
    end: int
    digits: str
    gap: str


@lru_cache(maxsize=4096)
def _gap(between: str) -> str:
    if not between.isascii():
        between = between.translate(FOLD)
    # Invisible characters and tatweel alone part no more than a space does.
    return next((name for pattern, name in _GAPS if pattern.fullmatch(between)), "" if between else " ")


def split_groups(text: str) -> list[Group]:
    """Every run of decimal digits of any script, from left to right."""
    spans = [match.span() for match in _DIGITS.finditer(text)]
    groups = []
    for index, (start, end) in enumerate(spans):
        digits = text[start:end]
        if not digits.isascii():
            digits = _KEYCAP.sub("", digits)
            digits = "".join(str(unicodedata.decimal(digit)) for digit in digits)
        gap = ""
        if index + 1 < len(spans) and spans[index + 1][0] - end <= _LONGEST_GAP:
            gap = _gap(text[end : spans[index + 1][0]])
        groups.append(Group(start, end, digits, gap))
    return groups


def protected(text: str, groups: list[Group]) -> bytearray:
    """Say of every group how well it is guarded from being taken for a phone or identity number.

    Returns:
        2 where it belongs to a decimal number, a date, a time, a fraction or a percentage; 1 where to a
        date parted by spaces, which some phone numbers contain; else 0.
    """
    kept = bytearray(len(groups))
    first = 0
    for index, group in enumerate(groups):
        after = groups[index + 1] if index + 1 < len(groups) else None
        if text[group.end : group.end + 1] in ("%", "٪"):
            kept[index] = 2
        # A chain parted by points and commas is one number, unless it starts as no number does.
        if group.gap not in (".", ","):
            if index > first and not _starts_phone(text, groups, first, index):
                kept[first : index + 1] = b"\x02" * (index + 1 - first)
            first = index + 1
        if after is None:
            continue
        if group.gap == ":" and len(group.digits) <= 2 and len(after.digits) == 2:
            kept[index] = kept[index + 1] = 2
        if group.gap == "/" and not _area_code(group.digits, after.digits):
            for side in (index, index + 1):
                if len(groups[side].digits) < 7:
                    kept[side] = 2
        if index + 2 < len(groups) and group.gap == after.gap and group.gap in " -./" and group.gap:
            date = _date(group.digits, after.digits, groups[index + 2].digits)
            alone = groups[index + 2].gap != group.gap and (
                index == 0 or groups[index - 1].gap != group.gap
            )
            if date == "full" or (date == "short" and alone and group.gap != " "):
                for side in range(index, index + 3):
                    kept[side] = max(kept[side], 1 if group.gap == " " else 2)
    return kept


def _starts_phone(text: str, groups: list[Group], first: int, last: int) -> bool:
    """Whether the chain of points and commas is no one number: "06.12…", "+966.50…", "1012345678,109…"."""
    head = groups[first]
    if head.digits[0] == "0" and len(head.digits) > 1:
        return True
    if text[head.start - 1 : head.start] == "+":
        return True
    chain = groups[first : last + 1]
    return all(len(group.digits) >= 7 for group in chain) and all(group.gap == "," for group in chain[:-1])


def _date(one: str, two: str, three: str) -> str:
    """Say "full" of day, month and year of four digits in any order, "short" of a year of two, else ""."""
    if _YEAR.fullmatch(one):
        one, three = three, one
    if max(len(one), len(two)) > 2 or min(int(one), int(two)) > 12 or max(int(one), int(two)) > 31:
        return ""
    if _YEAR.fullmatch(three):
        return "full"
    return "short" if len(three) <= 2 else ""


def _area_code(area: str, rest: str) -> bool:
    return area[0] == "0" and 2 <= len(area) <= 4 and 6 <= len(rest) <= 8 and len(area) + len(rest) <= 11


def _even(gaps: list[str]) -> bool:
    """One kind of gap throughout, but for the first, after an area code; points only with points."""
    parts = [gap for gap in gaps if gap not in "()"]
    if "w" in parts or "/" in parts:
        return False
    return len(set(parts)) == 1 if "." in parts else len(set(parts[1:])) <= 1


def consecutive(parts: list[str]) -> bool:
    """Whether the numbers are in the order of counting."""
    return all(int(two) == int(one) + 1 for one, two in pairwise(parts))


def spread_mobile(parts: list[str], gaps: list[str]) -> bool:
    """An Arab mobile number in groups that any one sign parts: 050 - 123 - 4567, 0_5_0_1_2_3_4_5_6_7."""
    if len(parts) < 3 or len(set(gaps)) > 1 or gaps[0] not in " -.w_*":
        return False
    single = max(map(len, parts)) == 1
    if not single and (len(parts) > 5 or len(parts[0]) < 3 or min(map(len, parts)) < 2):
        return False
    if consecutive(parts) or not LOCAL_MOBILE.fullmatch("".join(parts)):
        return False
    return not any(_YEAR.fullmatch(part) for part in parts[:-1])


def local(parts: list[str], gaps: list[str]) -> bool:
    """A number with its trunk zero: 0501234567, 02-2345678, 06 12 34 56 78, (02) 2345 6789."""
    count = sum(map(len, parts))
    if parts[0][0] != "0" or count > 11:
        return False
    if len(parts) == 1:
        return count >= 9
    if len(parts) == 2 and gaps[0] in ("-", " ", "w", "/", ")") and _area_code(*parts):
        return True
    grouped = count >= 9 and min(map(len, parts)) >= 2 and max(map(len, parts[:-1])) < 6
    if not grouped or not _even(gaps) or "(" in gaps:
        return False
    if max(map(len, parts)) == 2:
        return count == 10 and parts[0] in ("05", "06", "07") and not consecutive(parts)
    month_and_year = len(parts[0]) == 2 and int(parts[0]) <= 12 and _YEAR.fullmatch(parts[1])
    return not month_and_year or len(parts[-1]) >= 4


def international(parts: list[str], gaps: list[str]) -> bool:
    """What follows "+" or "00": 8 to 15 digits (ITU-T E.164), the first no zero."""
    digits = "".join(parts)
    if not 8 <= len(digits) <= 15 or digits[0] == "0" or QUANTITY.fullmatch(digits):
        return False
    return _even(gaps) and all(len(part) > 1 for part in parts[2:])


def after_loose_plus(parts: list[str], gaps: list[str]) -> bool:
    """What follows "+ ", which may also mean "and": all of one piece, or plainly a mobile number."""
    plain = len(parts) == 1 and len(parts[0]) >= 10
    mobile = parts[0] in MOBILES and ARAB_MOBILE.fullmatch("".join(parts)) is not None
    return international(parts, gaps) and (plain or mobile)


def bare_mobile(parts: list[str], gaps: list[str]) -> bool:
    """The mobile number of an Arab country with its code, but neither "+" nor "00"."""
    if not ARAB_MOBILE.fullmatch("".join(parts)) or not _even(gaps):
        return False
    if len(parts) == 1:
        return True
    years = all(_YEAR.fullmatch(part) for part in parts[1:])
    return parts[0] in MOBILES and max(map(len, parts[1:])) >= 4 and not years


def _after_word(least: int, most: int) -> Callable[[list[str], list[str]], bool]:
    """Make the form of a number that a word before it marks: one piece, or groups, not years alone."""

    def fits(parts: list[str], gaps: list[str]) -> bool:
        if not least <= sum(map(len, parts)) <= most or not _even(gaps):
            return False
        if len(parts) > 1 and len(parts[0]) >= 7:
            return False
        return len(parts) == 1 or not all(_YEAR.fullmatch(part) for part in parts)

    return fits


PHONE_AFTER_WORD = _after_word(7, 15)
ID_AFTER_WORD = _after_word(6, 16)


def short_id(parts: list[str], gaps: list[str]) -> bool:
    """The number of a file or a patient after a word such as رقم الملف: 4821, 12-345; or a longer one."""
    short = 4 <= sum(map(len, parts)) <= 5 and set(gaps) <= {"-", "_"}
    return short or ID_AFTER_WORD(parts, gaps)


def double_zero(parts: list[str], gaps: list[str]) -> bool:
    """An international number with its "00"."""
    rest = [parts[0][2:], *parts[1:]]
    return international(rest, gaps) if rest[0] else len(rest) > 1 and after_loose_plus(rest[1:], gaps[1:])


def emirates_id(parts: list[str], gaps: list[str]) -> bool:
    """784-1990-1234567-1."""
    return [len(part) for part in parts] == [3, 4, 7, 1] and parts[0] == "784" and set(gaps) <= {"-", " "}


def nobodys(digits: str) -> bool:
    """An article number (EAN, UPC) with its check digit, or digits in the order of counting."""
    if len(digits) == 12 and digits[0] == "0":
        digits = f"0{digits}"
    if len(digits) != 13:
        return digits in "012345678910"
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return weighted % 10 == 0


def drug_code(groups: list[Group]) -> bool:
    """Whether three groups that no dash follows are a National Drug Code: 0093-7180-01."""
    lengths = [len(group.digits) for group in groups[:3]]
    dashes = [group.gap == "-" for group in groups[:3]] == [True, True, False]
    mobile = LOCAL_MOBILE.fullmatch("".join(group.digits for group in groups[:3]))
    return dashes and lengths in ([4, 4, 2], [5, 4, 2], [5, 3, 2]) and not mobile
