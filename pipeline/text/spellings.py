"""Spellings of letters that count as one where a text is only compared and never kept.

Coarser than the rules of `pipeline.text.normalise`, and whatever rules a user switches off.
"""

from collections.abc import Mapping

SPELLINGS: Mapping[int, int] = str.maketrans("أإآٱىیېئؤةۀہھەک", "ااااييييوهههههك")
"""For `str.translate`: one character for one, so that places stay."""
