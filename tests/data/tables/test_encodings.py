"""The encoding of a text is known by how Arabic it reads, or refused by line."""

import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from pipeline.data.tables.encodings import find_encoding
from pipeline.data.tables.readers import open_table
from pipeline.errors import WaznError

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data"

ROWS = [
    ["عندي صداع شديد منذ يومين مع حرارة وقيء", "راجع الطبيب واشرب الماء كثيرا"],
    ["ألم في المعدة بعد الأكل", "تجنب القهوة وخذ الدواء قبل النوم"],
    ["ابني عمره سنتان ويسعل في الليل", "إذا ضاق نفسه فاذهب إلى الطوارئ"],
]
TEXT = "السؤال,الجواب\n" + "".join(f"{question},{answer}\n" for question, answer in ROWS)
ONE_BYTE = ["cp1256", "iso8859_6", "mac_arabic", "cp720", "cp864"]


def encoded(text, codec):
    """The text as programs of the time wrote it: DOS 864 has a byte for each form of most letters."""
    if codec != "cp864":
        return text.encode(codec)
    forms = {}
    for byte in range(0x80, 0x100):
        character = bytes([byte]).decode(codec, "ignore")
        form, _, _ = unicodedata.decomposition(character).partition("> ") if character else ("", "", "")
        forms[unicodedata.normalize("NFKC", character), form.removeprefix("<")] = byte
    data = bytearray()
    text = text.replace("إ", "ا")
    for letter, following in zip(text, text[1:] + " ", strict=True):
        order = ["initial", "medial"] if following.isalpha() else ["final", "isolated"]
        found = (forms.get((letter, form)) for form in [*order, "isolated", "final", "initial", ""])
        data.append(ord(letter) if letter.isascii() else next(byte for byte in found if byte))
    return bytes(data)


@pytest.fixture
def encoding_of(tmp_path):
    def found(data):
        path = tmp_path / "t"
        path.write_bytes(data)
        return find_encoding(path, "t")

    return found


@pytest.fixture
def fault(encoding_of):
    def refused(data):
        with pytest.raises(WaznError) as caught:
            encoding_of(data)
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert not any("\u0600" <= character <= "\u06ff" for character in sentence)
        return sentence

    return refused


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", *ONE_BYTE])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_is_read_in_every_encoding(tmp_path, codec, end):
    path = tmp_path / "t"
    path.write_bytes(encoded(TEXT.replace("\n", end), codec))
    table = open_table(path, "t")
    [rows] = table.batches(table.columns)
    read = [[unicodedata.normalize("NFKC", cell) for cell in row] for row in rows.to_numpy().tolist()]
    assert read == [[cell.replace("إ", "ا") for cell in row] if codec == "cp864" else row for row in ROWS]
    assert table.records == len(ROWS)


def test_quotation_marks_of_mac_arabic_count_as_such(tmp_path):
    """It has a second quotation mark and a second space, for text from right to left."""
    path = tmp_path / "t"
    path.write_bytes(f'{TEXT}"صداع, وحمى","قال ""نعم""\nثم ٥ مرات"\n'.encode("mac_arabic"))
    assert b"\xa2" in path.read_bytes()
    table = open_table(path, "t")
    [rows] = table.batches(table.columns)
    assert rows.iloc[-1].tolist() == ["صداع, وحمى", 'قال "نعم"\nثم ٥ مرات']
    assert table.records == len(ROWS) + 1


@pytest.mark.parametrize("order", ["le", "be"])
def test_the_mark_of_utf16_tells_its_order(encoding_of, order):
    assert encoding_of(f"\ufeff{TEXT}".encode(f"utf-16-{order}")) == "utf-16"


def test_the_whole_file_decides(encoding_of):
    ascii_only = b"q,a\n" + b"headache,rest\n" * 200_000  # more than one block
    assert encoding_of(ascii_only) == "utf-8"
    assert encoding_of(ascii_only + TEXT.encode("cp1256")) == "cp1256"
    assert encoding_of(ascii_only + TEXT.encode()) == "utf-8"


def test_a_character_across_two_blocks_is_whole(encoding_of):
    assert encoding_of(b"q" + "ص".encode() * (1 << 20)) == "utf-8"


def test_french_words_among_arabic_ones_are_no_hindrance(encoding_of):
    assert encoding_of(f"{TEXT}حقنة médecin généraliste,صداع à côté\n".encode("cp1256")) == "cp1256"


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp1252", "question,réponse\nj’ai mal à la tête depuis deux jours,buvez de l’eau très fraîche\n"),
        ("latin-1", "question,réponse\nété,à côté\n"),
        ("cp1251", "вопрос,ответ\nу меня болит голова два дня,выпейте воды и отдохните\n"),
        ("cp866", "вопрос,ответ\nу меня болит голова два дня,выпейте воды и отдохните\n"),
        ("koi8-r", "вопрос,ответ\nу меня болит голова два дня,выпейте воды и отдохните\n"),
        ("cp1253", "ερώτηση,απάντηση\nπονάει το κεφάλι μου δύο ημέρες,να πιείτε νερό\n"),
        ("cp1254", "soru,cevap\nİki gündür başım çok şiddetli ağrıyor,su için ve dinlenin\n"),
        ("cp1255", "שאלה,תשובה\nכואב לי הראש כבר יומיים,שתה מים ותנוח\n"),
        ("gbk", "问题,回答\n我头痛两天了,多喝水多休息\n"),
        ("shift_jis", "質問,回答\n頭が痛いです,水を飲んでください\n"),
    ],
)
def test_other_languages_are_not_taken_for_arabic(fault, codec, text):
    assert "neither in UTF-8 nor in an encoding of Arabic" in fault(text.encode(codec))


LINE = "المريض يشعر بدوار منذ أسبوع,ينصح بعمل تحليل للدم والضغط\n"


# Alike in nearly all letters.
ALIKE = {"iso8859_6", "mac_arabic", "cp864"}
MIXTURES = [
    (most, one)
    for most in ("utf-8", *ONE_BYTE)
    for one in ("utf-8", "cp1256", "iso8859_6", "cp720")
    if most != one and not {most, one} <= ALIKE
]


@pytest.mark.parametrize(("most", "one"), MIXTURES)
@pytest.mark.parametrize("after", [1, 4])
def test_a_line_in_another_encoding_is_named(fault, most, one, after):
    lines = encoded(TEXT * 3, most).splitlines(keepends=True)
    lines.insert(after, encoded(LINE, one))
    sentence = fault(b"".join(lines))
    assert f"t, line {after + 1}: text in " in sentence
    assert "save all of it in UTF-8" in sentence


def test_halves_in_two_encodings_are_refused(fault):
    assert "save all of it in UTF-8" in fault(TEXT.encode("cp1256") + TEXT.encode("iso8859_6"))


@pytest.mark.parametrize("text", ["س,ج\nألم,ماء\n"])
def test_what_reads_as_well_in_two_encodings_is_refused(fault, text):
    assert "can be read in" in fault(text.encode("iso8859_6"))


@pytest.mark.parametrize(
    ("place", "expected"),
    [(100, "line 2: text in UTF-8, but damaged here"), (-1, "line 4: text in UTF-8 that ends within a")],
)
def test_damaged_utf8_is_refused_by_line(fault, place, expected):
    data = bytearray(TEXT.strip().encode())
    del data[place]
    assert expected in fault(bytes(data))


def test_a_mark_of_utf8_before_another_encoding_is_refused(fault):
    assert "line 1: text in Windows-1256" in fault(b"\xef\xbb\xbf" + TEXT.encode("cp1256"))


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_damaged_utf16_is_refused(fault, codec):
    assert "UTF-16, but damaged" in fault(TEXT.encode(codec)[:-1])


def test_utf32_is_refused(fault):
    assert "UTF-32" in fault(TEXT.encode("utf-32"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_nul_byte_in_text_is_refused_by_line(fault, end):
    text = TEXT.replace("الأكل", "ال\0أكل").replace("\n", end)
    assert "line 3: a NUL byte" in fault(text.encode())


@pytest.mark.skipif(not REAL.is_dir(), reason="real data is not beside this checkout")
@pytest.mark.parametrize("codec", ONE_BYTE[:-1])
def test_real_posts_are_known_in_each_encoding(encoding_of, codec):
    posts = pd.read_excel(REAL / "severity_posts.xlsx")
    texts = [*posts["Post"].astype(str), *posts["Plan"].astype(str)]
    read = encoding_of("\n".join(texts).encode(codec, "ignore"))
    assert read == codec or (codec == "mac_arabic" and read == "iso8859_6")
