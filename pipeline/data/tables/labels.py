"""Which label means which severity: by the names that params.yaml gives, or by the usual ones.

docs/data.md lists the usual names; a test compares.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from pipeline.data.tables.names import folded, looks_like_a_name
from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES

USUAL_LABELS: Mapping[str, tuple[str, ...]] = {
    "non_critical": (
        *("non critical", "noncritical", "not critical", "low", "mild", "non urgent", "routine"),
        *("غير حرج", "غير حرجة", "غير خطير", "غير خطيرة", "بسيط", "بسيطة", "خفيف", "خفيفة", "منخفض"),
    ),
    "neutral": ("neutral", "medium", "moderate", "mid", "متوسط", "متوسطة", "محايد", "معتدل", "معتدلة"),
    "critical": (
        *("critical", "high", "severe", "urgent", "emergency"),
        *("حرج", "حرجة", "خطير", "خطيرة", "شديد", "شديدة", "عاجل", "عاجلة", "طارئ", "طارئة", "مرتفع"),
    ),
}
"""Names by which a label is recognised where params.yaml names none."""

# A value that is longer, or that stands in one row only, may be a text and is in no message.
_LONGEST_SHOWN = 30
# More different values than these are no labels.
_MOST_LABELS = 10


class Labels:
    """The labels of one source, and what each means.

    Spellings of a label are one: case, white space, punctuation, marks, hamza, ta marbuta, and for a
    number its digits (`2`, `2.0`, `٢`).
    """

    def __init__(
        self, names: Mapping[str, Sequence[str]] | None, column: str, key: str, table: str
    ) -> None:
        """Take the names of the labels.

        Args:
            names: for each severity, what the source calls it; None for the usual names.
            column: the name of the label's column, for messages.
            key: where the source stands in params.yaml, for messages.
            table: what messages call the table.

        Raises:
            WaznError: a label is named for two severities.
        """
        self._named = names is not None
        self._column, self._key, self._table = column, key, table
        self._meanings: dict[str, str] = {}
        for severity in SEVERITIES:
            for name in (names or USUAL_LABELS)[severity]:
                other = self._meanings.setdefault(_folded(name), severity)
                if other != severity:
                    raise WaznError(
                        f"{key}.labels: {other} and {severity} are both called '{name}'; each label can "
                        "mean one severity"
                    )
        self._rows: Counter[str] = Counter()
        self._spelling: dict[str, str] = {}

    def severities(self, labels: Collection[str]) -> dict[str, str]:
        """What each of some rows' labels means: label to severity, or to "" where it is unknown."""
        result: dict[str, str] = {}
        for label, rows in Counter(labels).items():
            key = _folded(label)
            if len(self._rows) <= _MOST_LABELS or key in self._meanings or key in self._rows:
                self._rows[key] += rows
                self._spelling.setdefault(key, label.strip())
            result[label] = self._meanings.get(key, "")
        return result

    def check(self) -> None:
        """Check the labels of all rows together.

        Raises:
            WaznError: none is known; or one of the severities named in params.yaml never occurs; or, by
                usual names, two different labels would mean one severity.
        """
        occurring = {self._meanings[key] for key in self._rows if key in self._meanings}
        column = f"{self._table}: column '{self._column}'"
        if not occurring:
            wanted = "none of the labels named" if self._named else "no label that is known;"
            advice = f"in {self._key}.labels" if self._named else f"name the three in {self._key}.labels"
            raise WaznError(f"{column} has {wanted} {advice}; {self._has()}")
        if not self._named:
            self._check_apart()
            return
        named = {severity for severity in self._meanings.values()}
        for severity in SEVERITIES:
            if severity in named and severity not in occurring:
                raise WaznError(
                    f"{column} has no row with a label of {self._key}.labels.{severity}; correct the name, "
                    f"or write [] where the table has no such label; {self._has()}"
                )

    def _check_apart(self) -> None:
        """Refuse two different labels that usually mean one severity.

        A table with "high" and "critical" has four severities or more, and which are wazn's three is not
        for wazn to guess.
        """
        firsts: dict[str, str] = {}
        for key in self._rows:
            severity = self._meanings.get(key)
            if severity is None:
                continue
            first = firsts.setdefault(severity, key)
            if _stem(first) != _stem(key):
                raise WaznError(
                    f"{self._table}: the labels '{self._spelling[first]}' and '{self._spelling[key]}' both "
                    f"usually mean {severity}; name those of each severity in {self._key}.labels"
                )

    def _has(self) -> str:
        """The labels that occur, as far as they can be shown: what is long or stands once may be a text."""
        if len(self._rows) > _MOST_LABELS:
            return "it looks like no label, since it has many different values"
        shown = [
            self._spelling[key]
            for key, rows in sorted(self._rows.items())
            if key
            and rows > 1
            and len(self._spelling[key]) <= _LONGEST_SHOWN
            and looks_like_a_name(self._spelling[key])
        ]
        hidden = len([key for key in self._rows if key]) - len(shown)
        empty = ["empty cells"] if "" in self._rows else []
        more = [f"{hidden} values that are long or stand in one row only"] if hidden else []
        return f"it has {', '.join([*shown, *more, *empty]) or 'no row'}"


def _folded(label: str) -> str:
    """The label without what differs between spellings; a number in its shortest form."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKC", label)
        if unicodedata.category(character) != "Cf"
    ).strip()
    number = _number(plain.replace("\N{ARABIC DECIMAL SEPARATOR}", "."))
    if number is not None:
        return f"{number:g}"
    return folded(plain) or plain


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value + 0.0 if math.isfinite(value) else None


def _stem(label: str) -> str:
    """The folded label without the feminine ending, and without a space in "non critical"."""
    return label.removesuffix("ه").replace(" ", "").replace("not", "non")
