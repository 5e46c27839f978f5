import pytest

from pipeline.data.tables.delimited import Delimited
from pipeline.errors import WaznError

SECRET = "مريم"


@pytest.fixture
def table(tmp_path):
    """A table of a text: its columns and rows, of which there are as many as are counted by themselves."""

    def read(text, codec="utf-8"):
        path = tmp_path / "t"
        path.write_bytes(text.encode(codec))
        delimited = Delimited(path, "t", codec)
        rows = [row for _, row in delimited.rows(range(len(delimited.columns)))]
        assert delimited.records() == len(rows)
        return delimited.columns, rows

    return read


@pytest.fixture
def fault(table):
    """The sentence that a text is refused with."""

    def refused(text):
        with pytest.raises(WaznError) as caught:
            table(text)
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert SECRET not in sentence
        return sentence

    return refused
