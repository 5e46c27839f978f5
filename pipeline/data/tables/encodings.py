"""The encoding of a text, by its bytes."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.data.tables.arabic_bytes import ENCODINGS, arabic_letters, characters, log_likelihoods
from pipeline.errors import WaznError

_BLOCK = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Mean logarithm of a character's likelihood, over those beyond ASCII. Arabic text has about -3.5; in a
# wrong encoding, and text of other languages, less than -4.8. A line may be short, so it is judged only
# where the difference is large.
_NOT_ARABIC = -4.7
_LINE_READS, _LINE_DOES_NOT, _LINE_MARGIN = -4.6, -4.8, 10
_TIE = 3


def find_encoding(path: Path, name: str) -> str:
    """The codec of a text; it is read to its end, to be sure.

    UTF-8 and UTF-16 are known by their form. The encodings of one byte a character give every byte a
    meaning, so the one counts in which the letters follow each other as in Arabic words.

    Args:
        path: the file.
        name: what messages call it.

    Raises:
        WaznError: no encoding that wazn knows, damaged, two encodings in one file, or two that fit
            equally well; the line is named.
    """
    with path.open("rb") as file:
        head = file.read(4)
    if head in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        raise WaznError(f"{name}: text in UTF-32; save it as UTF-8")
    marked = next((codec for mark, codec in _MARKS if head.startswith(mark)), "")
    if marked == "utf-16":
        return _checked_utf16(path, name, "utf-16")
    if any(b"\x00" in block for block in _blocks(path)):
        return _utf16_without_mark(path, name)
    if _valid(path, "utf-8"):
        return marked or "utf-8"
    return _Survey.of(path).encoding(name, bool(marked))


@dataclass
class _Survey:
    """What the lines of a file of n lines are.

    Attributes:
        used: (256,), how often each byte occurs.
        high: bytes beyond ASCII of each line, (n,).
        scores: log-likelihood of each line in each encoding of one byte a character, (n,).
        utf8: the numbers of the lines in UTF-8 that are not ASCII.
        broken: the numbers of the lines that are not UTF-8.
        broken_line: the first of these.
        last: the number of the last line.
    """

    used: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    high: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    utf8: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    broken_line: bytes = b""
    last: int = 0

    @classmethod
    def of(cls, path: Path) -> "_Survey":
        """Read all lines of a file."""
        survey = cls()
        high, scores = [], []
        for text in _whole_lines(path):
            data = np.frombuffer(text, dtype=np.uint8)
            starts = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(data == 0x0A)[:-1] + 1])
            survey.used += np.bincount(data, minlength=256)
            high.append(np.add.reduceat((data >= 0x80).astype(np.int64), starts))
            scores.append({c: np.add.reduceat(s, starts) for c, s in log_likelihoods(data).items()})
            lines = text.split(b"\n")
            for number in np.flatnonzero(high[-1]).tolist():
                survey._look(survey.last + number + 1, lines[number])
            survey.last += len(starts)
        survey.high = np.concatenate(high)
        survey.scores = {codec: np.concatenate([block[codec] for block in scores]) for codec in ENCODINGS}
        return survey

    def _look(self, number: int, line: bytes) -> None:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self.broken_line = self.broken_line or line
            self.broken.append(number)
        else:
            # A letter and a sign of Windows-1256 can be a character of UTF-8, hardly ever two in a line.
            if sum(character > "\x7f" for character in text) > 1:
                self.utf8.append(number)

    def encoding(self, name: str, marked: bool) -> str:
        """The encoding of one byte a character; `marked` if the file begins with the mark of UTF-8.

        Raises:
            WaznError: see `find_encoding`.
        """
        if self.utf8 or marked:
            raise WaznError(self._broken_utf8(name))
        wrong = (
            f"{name}: text neither in UTF-8 nor in an encoding of Arabic that wazn knows; save it as UTF-8"
        )
        found = np.flatnonzero(self.used[0x80:]) + 0x80
        possible = [codec for codec in ENCODINGS if all(characters(codec)[byte] for byte in found)]
        totals = {codec: float(self.scores[codec].sum()) for codec in possible}
        best = max(possible, key=lambda codec: totals[codec], default="")
        if not best or totals[best] < _NOT_ARABIC * self.high.sum():
            raise WaznError(wrong)
        if 2 * self.used[arabic_letters(best)].sum() < self.used[0x80:].sum():
            raise WaznError(wrong)
        others = [codec for codec in ENCODINGS if self._differ(best, codec, found)]
        for other in others:
            if totals.get(other, -np.inf) > totals[best] - _TIE:
                first = int(np.flatnonzero(self.high)[0]) + 1
                raise WaznError(
                    f"{name}, line {first}: from here on the text can be read in {ENCODINGS[best]} and in "
                    f"{ENCODINGS[other]}; save it as UTF-8"
                )
        for other in others:
            self._check_lines(name, best, other)
        return best

    def _broken_utf8(self, name: str) -> str:
        number, line = self.broken[0], self.broken_line
        where = f"{name}, line {number}"
        try:
            line.decode()
        except UnicodeDecodeError as error:
            if number == self.last and error.end == len(line) and error.reason.startswith("unexpected end"):
                return f"{where}: text in UTF-8 that ends within a character, as if cut off; fetch it again"
        text = line.decode("utf-8", "replace")
        replaced = text.count("\ufffd")
        if sum(character > "\x7f" for character in text) > 2 * replaced:
            return f"{where}: text in UTF-8, but damaged here; fetch or save it again as UTF-8"
        best = max(ENCODINGS, key=lambda codec: self.scores[codec][number - 1])
        readable = self.scores[best][number - 1] > _NOT_ARABIC * self.high[number - 1]
        one, other = ENCODINGS[best] if readable else "another encoding", "UTF-8"
        if 0 < len(self.utf8) < len(self.broken):
            one, other, number = other, one, self.utf8[0]
        return f"{name}, line {number}: text in {one}, while others are in {other}; save all of it in UTF-8"

    def _check_lines(self, name: str, best: str, other: str) -> None:
        """Refuse lines that read as Arabic in another encoding, but not in the best."""
        high = np.maximum(self.high, 1)
        here, there = self.scores[best], self.scores[other]
        mixed = (
            (there > here + _LINE_MARGIN) & (there > _LINE_READS * high) & (here < _LINE_DOES_NOT * high)
        )
        if mixed.any():
            raise WaznError(
                f"{name}, line {int(np.flatnonzero(mixed)[0]) + 1}: text in {ENCODINGS[other]}, while "
                f"others are in {ENCODINGS[best]}; save all of it in UTF-8"
            )

    @staticmethod
    def _differ(one: str, other: str, used: np.ndarray) -> bool:
        return any(characters(one)[byte] != characters(other)[byte] for byte in used)


def _checked_utf16(path: Path, name: str, codec: str) -> str:
    if not _valid(path, codec):
        raise WaznError(f"{name}: text in UTF-16, but damaged; fetch or save it again")
    return codec


def _utf16_without_mark(path: Path, name: str) -> str:
    """The order of the bytes in which nearly all characters are Arabic or Latin."""
    good = dict.fromkeys(("<", ">"), 0)
    size = 0
    for block in _blocks(path):
        for order in good:
            codes = np.frombuffer(block[: len(block) & ~1], dtype=f"{order}u2")
            latin = ((codes >= 0x20) & (codes < 0x100)) | ((codes >= 9) & (codes <= 13))
            arabic = ((codes >= 0x600) & (codes < 0x780)) | (codes >= 0xFB50)
            good[order] += int((latin | arabic | (codes >> 8 == 0x20)).sum())
        size += len(block) // 2
    order = max(good, key=lambda order: good[order])
    if good[order] > 0.9 * size and good[order] > 2 * good["<" if order == ">" else ">"]:
        return _checked_utf16(path, name, "utf-16-le" if order == "<" else "utf-16-be")
    if not _valid(path, "utf-8"):
        raise WaznError(f"{name}: not a table that wazn reads; save it as CSV in UTF-8, or as XLSX")
    raise WaznError(
        f"{name}, line {_line_of_nul(path)}: a NUL byte, so the file is damaged; fetch or save it again"
    )


def _line_of_nul(path: Path) -> int:
    line = 1
    for text in _whole_lines(path):
        place = text.find(b"\x00")
        if place >= 0:
            return line + text.count(b"\n", 0, place)
        line += text.count(b"\n")
    return line


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Blocks of whole lines, each of which ends in a line feed, whatever it ends in in the file."""
    rest = b""
    for block in _blocks(path):
        text = rest + block
        held = text[-1:] if text.endswith(b"\r") else b""
        text = re.sub(rb"\r\n?", b"\n", text.removesuffix(held)) if b"\r" in text else text
        whole = text.rfind(b"\n") + 1
        if whole:
            yield text[:whole]
        rest = text[whole:] + held
    if rest:
        yield re.sub(rb"\r\n?", b"\n", rest).removesuffix(b"\n") + b"\n"


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _valid(path: Path, codec: str) -> bool:
    decoder = codecs.getincrementaldecoder(codec)("strict")
    try:
        for block in _blocks(path):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
