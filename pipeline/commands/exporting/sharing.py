"""Which licences what is trained is bound by, and whether they let it be passed on."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config.data import PairSource
    from pipeline.config.models import ModelEntry

_SAMPLE = "Apache-2.0"
_BASE = "base model"
# Licences under which a changed work may be passed on, as the Hub writes them. Some have conditions (naming
# the authors, the same licence again, no trade); the card passes these on by naming the licence.
_ALLOW = """
apache-2.0 mit bsd-2-clause bsd-3-clause isc unlicense cc0-1.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0
cc-by-nc-4.0 cc-by-nc-sa-4.0 odc-by pddl openrail bigscience-openrail-m bigscience-bloom-rail-1.0 gpl-3.0
"""
# Words by which a licence says that it may not be.
_FORBIDS = re.compile(
    r"\bno[- ]?deriv|\bcc[- ]by([- ]nc)?[- ]nd\b|all rights reserved|proprietary|confidential"
    r"|\bno (sharing|redistribution)|\bnot (be )?(shared?|redistributed?|passed on)",
    re.IGNORECASE,
)

Licences = Mapping[str, str | None]
"""What a model is made of, as a reader is told, to its licence; None where none is named."""


def licences_of(entry: "ModelEntry", pairs: list["PairSource"]) -> Licences:
    """The licences of the base model and of the tables of pairs that it was trained on.

    A `tiny:` model is made of the pairs alone.
    """
    tiny = entry.source.startswith("tiny:")
    base = {} if tiny else {f"{_BASE} {shown_source(entry.source)}": entry.license}
    return base | {f"data {shown_source(table.source)}": _of_table(table) for table in pairs}


def shown_source(source: str) -> str:
    """A source as it may be published: the query of a URL may hold a key."""
    return source.partition("?")[0]


def head_licence(licences: Licences) -> str | None:
    """The licence in the card's head: the base model's; of a model made of data alone, that of the data."""
    of_base = [licence for what, licence in licences.items() if what.startswith(_BASE)]
    [licence, *others] = of_base or list(dict.fromkeys(licences.values()))
    return None if others else licence


def forbidding(licences: Licences) -> list[str]:
    """What may not be passed on, with the licence that says so."""
    return [
        f"{what} ({licence})" for what, licence in licences.items() if licence and _FORBIDS.search(licence)
    ]


def unclear(licences: Licences) -> list[str]:
    """What has no licence, or one of which it is not known here whether it allows passing on."""
    return [
        f"{what} ({licence or 'no licence named'})"
        for what, licence in licences.items()
        if licence is None or licence.strip().lower() not in _ALLOW.split()
    ]


def _of_table(table: "PairSource") -> str | None:
    return _SAMPLE if table.source == "sample" and table.license is None else table.license
