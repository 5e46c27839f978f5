"""What identifies a person, replaced by placeholders: links, e-mail addresses, numbers, introduced names.

Medical text is full of numbers that do not say who somebody is, so a number goes only where its form (an
international prefix, a leading zero, nine digits on end) or a word before it ("جوال", "رقم الملف") marks
it. Doses, laboratory values, ranges, dates, times, ages and emergency numbers stay. Two general rules guard
them: a decimal number, a number with thousands separators, a date, a time or a fraction is no part of a
match; and a number that a unit follows, or that ends in six zeros, is a quantity.

Out of scope: names that nothing introduces (`names.py`), postal addresses, @handles, bank cards and
accounts, domain names without a path ("example.com"), addresses in words ("name at gmail dot com"),
numbers in words, and numbers of eight digits or less, or of groups without a leading zero, before which no
word says what they are. After words such as "رقم الملف" four digits are enough, after others six.
"""

import re
from collections.abc import Collection

from pipeline.text.names import find_names
from pipeline.text.privacy_numbers import Span, find_numbers
from pipeline.text.privacy_words import PHONE

KINDS = ("link", "email", "phone", "id", "name")
# Those of addresses and numbers have six characters; only a name and the number of a file may be shorter.
PLACEHOLDERS = {"link": "[رابط]", "email": "[بريد]", "phone": PHONE, "id": "[هوية]", "name": "[اسم]"}
_SHORTEST = 6

_TLDS = "com|net|org|info|me|ly|gl|gle|be|ee|co|io|app|link"
# Top-level domains in Arabic, in whichever spelling a rule leaves.
_ARABIC_TLDS = (
    "السعودي[ةه]|[اإ]مارات|مصر|قطر|ال[اأ]ردن|المغرب|تونس|الجزا[ئي]ر|سوري[ةه]|عمان|فلسطين|العراق|اليمن|السودان|البحرين"
    "|الكويت|لبنان|ليبيا|موريتانيا|[اأ]بوظبي|شبك[ةه]|موقع|بازار|كوم|نت|عرب|[اإ]ختبار|اتصالات"
)
# Necessary, not sufficient, for a `Scrubber` to change more than names: what a quicker filter lets through.
CANDIDATE = re.compile(rf"[@＠]|://|www\.|\.(?:{_TLDS}|{_ARABIC_TLDS})/|(?:\d\D*+){{4}}", re.IGNORECASE)

# Brackets end a link, so that a placeholder is never taken into one.
_IN_LINK = r"""[^\s<>"'`\[\]{}|«»“”،؛؟]"""
_LINK = re.compile(
    rf"(?:(?:https?|ftp|tg|whatsapp|fb)://|www\.|(\.(?:{_TLDS}|{_ARABIC_TLDS})/)){_IN_LINK}+", re.IGNORECASE
)
_END_OF_SENTENCE = ".,;:!?)…*"
_ARABIC = "\u0621-\u065f\u066e-\u06d3"  # letters, their marks and tatweel
_NO_HOST = re.compile(r"[^A-Za-z0-9.-]")
_NO_ARABIC_HOST = re.compile(rf"[^A-Za-z0-9{_ARABIC}.-]")
_ARABIC_LETTER = re.compile(f"[{_ARABIC}]")

_ADDRESS = re.compile(
    rf"@(?:(?:[a-z0-9][a-z0-9-]*\.)+(?:xn--?[a-z0-9-]{{2,}}|[a-z]{{2,}}|(?:{_ARABIC_TLDS})(?![{_ARABIC}]))"
    rf"|(?:[a-z0-9][a-z0-9-]*\.)*[{_ARABIC}][{_ARABIC}0-9-]*(?:\.[{_ARABIC}][{_ARABIC}0-9-]*)*"
    rf"\.(?:[{_ARABIC}]{{2,}}|[a-z]{{2,}}))",
    re.IGNORECASE,
)
# These are written without their ".com", and with spaces around the sign, often enough.
_PROVIDERS = "gmail|yahoo|hotmail|outlook|icloud|ymail|live|msn"
_PROVIDER = re.compile(
    rf" ?@ ?(?:{_PROVIDERS}) ?\. ?(?:com|net|fr|co\.uk)(?![a-z0-9-])|@(?:{_PROVIDERS})(?![a-z0-9-])",
    re.IGNORECASE,
)
_NO_LOCAL_PART = re.compile(r"[^A-Za-z\d._%+-]")
_NO_ARABIC_LOCAL_PART = re.compile(rf"[^A-Za-z\d{_ARABIC}._%+-]")
_NO_LETTER = re.compile(r"[\d._%+-]*")
_LONGEST_LOCAL_PART = 64  # RFC 5321, 4.5.3.1.1


def _links(text: str) -> list[Span]:
    spans: list[Span] = []
    for match in _LINK.finditer(text):
        start = match.start()
        if match[1] is not None:
            ascii_only = match[1].isascii()
            if not ascii_only and not _ARABIC_LETTER.search(
                match[1]
            ):  # such as the Kelvin sign, which IGNORECASE takes for a k
                continue
            since = max(start - 100, spans[-1][1] if spans else 0)
            start = _leftmost(text, start, _NO_HOST, since) if ascii_only else start
            if start == match.start():
                start = _leftmost(text, start, _NO_ARABIC_HOST, since)
            if start == match.start() or text[start - 1 : start] == "@":
                continue
        end = match.start() + len(match[0].rstrip(_END_OF_SENTENCE))
        if end > match.end(1) and end - start >= _SHORTEST:
            spans.append((start, end, "link"))
    return spans


def _emails(text: str, taken: list[Span]) -> list[Span]:
    spans: list[Span] = []
    masked = _blanked(text, taken).replace("＠", "@")
    for at in (match.start() for match in re.finditer("@", masked)):
        since = max(at - _LONGEST_LOCAL_PART - 1, spans[-1][1] if spans else 0)
        spaced = at - 1 if masked[at - 1 : at] == " " and at > since else at
        host = _ADDRESS.match(masked, at) or _PROVIDER.match(masked, at)
        sign = at
        if host is None or spaced < at:
            host, sign = _PROVIDER.match(masked, spaced), spaced
        if host is None:
            continue
        start = _leftmost(masked, sign, _NO_LOCAL_PART, since)
        if _NO_LETTER.fullmatch(masked, start, sign) and _ARABIC_LETTER.match(
            masked, max(start - 1, since)
        ):
            start = _leftmost(masked, start, _NO_ARABIC_LOCAL_PART, since)
        start += len(masked[start:sign]) - len(masked[start:sign].lstrip(".-+%"))
        if start == sign:
            continue
        if masked[max(start - 7, since) : start].lower() == "mailto:":
            start -= 7
        if host.end() - start >= _SHORTEST:
            spans.append((start, host.end(), "email"))
    return spans


def _leftmost(text: str, end: int, stop: re.Pattern[str], since: int) -> int:
    """The start of the characters before `end`, none before `since`, of which `stop` matches none."""
    start = end
    while start > since and not stop.match(text, start - 1):
        start -= 1
    return start


def _blanked(text: str, spans: list[Span]) -> str:
    """The text with brackets, which no match holds, in place of the spans."""
    parts = []
    done = 0
    for start, end, _ in spans:
        parts += [text[done:start], "]" * (end - start)]
        done = end
    return "".join([*parts, text[done:]])


class Scrubber:
    """Replaces what identifies a person by the placeholders of its kind.

    Total on any string, idempotent, in time linear in the text. Only the placeholders of a short name and
    of a number of four or five digits are longer than what they replace. But for names it changes no text
    that `CANDIDATE` does not match, that is, none without "@", "://", "www.", a host and path such as
    "t.me/x" or four digits. What is of a kind that is not asked for is found all the same and left: with
    "phone" off, no phone number becomes an identity number.
    """

    def __init__(self, kinds: Collection[str]) -> None:
        """Take the kinds to replace, of `KINDS`.

        Raises:
            ValueError: a kind is unknown.
        """
        unknown = set(kinds) - set(KINDS)
        if unknown:
            raise ValueError(f"no kind of personal data: {', '.join(sorted(unknown))}")
        self._kinds = frozenset(kinds)

    def __call__(self, text: str) -> str:
        """Scrub one text."""
        # What stands beside a replaced number may only then read as one. Every pass but the last takes
        # away digits or signs, so the passes end.
        while CANDIDATE.search(text):
            scrubbed = self._once(text)
            if scrubbed == text:
                break
            text = scrubbed
        return self._without_names(text) if "name" in self._kinds else text

    def _once(self, text: str) -> str:
        links = _links(text)
        spans = sorted([*links, *_emails(text, links)])
        return self._replaced(text, sorted([*spans, *find_numbers(text, spans)]))

    def _without_names(self, text: str) -> str:
        # Last, so that no part of an address is taken for a name; nothing else depends on a name.
        while spans := find_names(text):
            text = self._replaced(text, [(start, end, "name") for start, end in spans])
        return text

    def _replaced(self, text: str, spans: list[Span]) -> str:
        parts = []
        done = 0
        for start, end, kind in spans:
            parts += [text[done:start], PLACEHOLDERS[kind] if kind in self._kinds else text[start:end]]
            done = end
        return "".join([*parts, text[done:]])


def count(text: str) -> dict[str, int]:
    """Count the placeholders of a scrubbed text, by kind."""
    return {kind: text.count(placeholder) for kind, placeholder in PLACEHOLDERS.items()}
