"""Text that was read in a wrong encoding and saved so: it looks like text, and means nothing."""

import re

# In UTF-8 two bytes stand for a letter of Arabic: one of the first, then one of the second.
_FIRST, _SECOND = range(0xD8, 0xDC), range(0x80, 0xC0)
_READ_AS = (
    *("cp1252", "latin-1", "mac_roman", "cp437", "cp850", "cp1251"),
    *("cp1256", "mac_arabic", "cp720", "cp864"),
)
# They stand beside Arabic letters in Arabic, too.
_SIGNS = "،؛؟«»…“”‘’–—•\u00a0\u00ad\u200c\u200d\u200e\u200f"
_LETTER = "\u0620-\u063a\u0641-\u064a\u0671-\u06d3"
_ACCENTED = "àâçèéêëîïôùûü"


def _characters(codec: str, numbers: range) -> str:
    """What these bytes are read as; one without a meaning keeps its number, or becomes U+FFFD."""
    return "".join(
        {bytes([number]).decode(codec, "replace") for number in numbers} | set(map(chr, numbers))
    )


def _letters_in_two(codec: str) -> str:
    """Letters in a row, each as two characters: two of them with a sign at a letter, else three."""
    first, second = _characters(codec, _FIRST), _characters(codec, _SECOND)
    signs = "".join(
        sign for sign in second if not sign.isascii() and not sign.isalnum() and sign not in _SIGNS
    )
    pairs = (f"[{re.escape(first)}][{re.escape(following)}]" for following in (signs, second))
    return "(?:{}){{2}}|(?:{}){{3}}".format(*pairs)


_RUNS = re.compile(
    "|".join(
        [
            *map(_letters_in_two, _READ_AS),
            # The same twice.
            "Ã[˜™š›\u0098-\u009b].{1,4}Ã[˜™š›\u0098-\u009b]",
            # Windows-1256 or ISO 8859-6 read as Latin.
            "[À-ÖØ-öø-ÿ]{4}",
        ]
    )
)
# ISO 8859-6 or Mac Arabic read as Windows-1256: single Latin letters at Arabic ones.
_LATIN_WITHIN = re.compile(
    f"(?<=[{_LETTER}])[{_ACCENTED}](?![A-Za-z])|(?<![A-Za-z])[{_ACCENTED}](?=[{_LETTER}])"
)
# Windows-1256 read as ISO 8859-6 or Mac Arabic: tanwin, which ends a word, within words.
_TANWIN_WITHIN = re.compile(f"[{_LETTER}][\u064c\u064d](?=[{_LETTER}])")
# Anything read as DOS: borders of tables at letters.
_BORDER_WITHIN = re.compile(r"[╒-╬┘┌┴┬└](?=[^\W\d_])|(?<=[^\W\d_])[╒-╬┘┌┴┬└]")
# One of these stands in all that is found here, and hardly ever in other Arabic text.
_SUSPECT = re.compile(
    "[\u0080-\u009f¡-ª¬-¯²-¶¸-º¼-ÖØ-öø-ÿŒœŠšŸŽžƒˆ˜‚„†‡‰‹›™\u0400-\u045f─-◿ﹽ-ﻼ\u064c\u064d\ufffdπ⁄◊]"
)


_LOOKED_AT = 10_000


def is_mojibake(text: str) -> bool:
    """Whether a text was read in a wrong encoding, by its first 10,000 characters.

    It finds Arabic in UTF-8 that was read in any encoding of one byte a character (once or twice), in
    Windows-1256, ISO 8859-6 or Mac Arabic that was read in another, and text of which one character in
    twenty or more is the sign for one that was lost (U+FFFD). French, Persian or vocalised words are none.
    """
    text = text[:_LOOKED_AT]
    if not _SUSPECT.search(text):
        return False
    lost = text.count("\ufffd")
    if lost > 2 and 20 * lost >= len(text):
        return True
    latin = len(_LATIN_WITHIN.findall(text))
    return (
        (latin > 0 and 30 * latin >= len(text))
        or len(_TANWIN_WITHIN.findall(text)) > 1
        or len(_BORDER_WITHIN.findall(text)) > 2
        or _RUNS.search(text) is not None
    )
