"""Phone numbers that are dictated: written digit by digit."""

import re
from itertools import pairwise

from pipeline.text.privacy_forms import ARAB_MOBILE, LOCAL_MOBILE, Group, consecutive

# What may stand between two dictated digits: 0 5 0, 1 2 3; 0.5.0; one a line.
_BETWEEN = re.compile(r"\s{0,3}[-\u2010-\u2015,،.*_]?\s{0,3}")
_FEWEST = 7


def dictated(text: str, groups: list[Group], index: int) -> int:
    """The number of groups, from `index` on, that are one number dictated digit by digit; 0 for none.

    The first may hold a code of up to five digits (00966 5 0 1 …). Numbers in the order of counting are
    none.
    """
    if len(groups[index].digits) > 5 or (
        index > 0 and len(groups[index].digits) == 1 and _goes_on(text, groups, index - 1)
    ):
        return 0
    last = index
    while last + 1 < len(groups) and _goes_on(text, groups, last):
        last += 1
    chain = groups[index : last + 1]
    if len(chain) < _FEWEST or consecutive([group.digits for group in chain]):
        return 0
    gaps = {text[group.end : after.start] for group, after in pairwise(chain)}
    # 0.5 1.2 3.4 are values.
    values = len(gaps) > 1 and any(not gap[:1].isspace() and not gap[-1:].isspace() for gap in gaps)
    return 0 if values else len(chain)


def _goes_on(text: str, groups: list[Group], index: int) -> bool:
    """Whether the group after this one goes on with a dictated number."""
    group, after = groups[index], groups[index + 1]
    return len(after.digits) == 1 and _BETWEEN.fullmatch(text, group.end, after.start) is not None


def dictated_mobile(digits: str, plus: bool) -> bool:
    """Whether dictated digits are a mobile number of an Arab country."""
    abroad = plus or digits.startswith("00")
    return LOCAL_MOBILE.fullmatch(digits) is not None or (
        abroad and ARAB_MOBILE.fullmatch(digits.removeprefix("00")) is not None
    )
