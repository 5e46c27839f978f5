"""Read a file of tables as the stage download does, but without params.yaml."""

import pandas as pd
import pytest

from pipeline.data.tables.readers import open_table
from pipeline.errors import WaznError

SECRET = "مريم"


def read(path, table=None, size=2):
    """All rows, by batches of a size that no test's table is a multiple of."""
    opened = open_table(path, str(path), table=table)
    return pd.concat(opened.batches(opened.columns, size=size))


def message(path, table=None):
    """The sentence that refuses the file."""
    with pytest.raises(WaznError) as caught:
        read(path, table)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert SECRET not in text
    return text
