"""What a model card says of the base model's licence."""

import json
import re

# SPDX ids that the Hub takes as `license:`, in lower case (huggingface/hub-docs, "Licenses").
_OF_THE_HUB = frozenset(
    {
        "afl-3.0",
        "apache-2.0",
        "artistic-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "bsl-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nd-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "isc",
        "lppl-1.3c",
        "mit",
        "mpl-2.0",
        "ms-pl",
        "ncsa",
        "odbl",
        "ofl-1.1",
        "osl-3.0",
        "postgresql",
        "unlicense",
        "wtfpl",
        "zlib",
        "agpl-3.0",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl-2.1",
        "lgpl-3.0",
    }
)


def licence_head(licence: str | None) -> str:
    """The lines on it in the card's YAML head; none where it is not known."""
    if licence is None:
        return ""
    if licence.lower() in _OF_THE_HUB:
        return f"license: {licence.lower()}\n"
    # The Hub takes lower-case letters, digits, hyphens and dots.
    name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-.") or "other"
    return f"license: other\nlicense_name: {json.dumps(name)}\n"


def licence_sentence(licence: str | None) -> str:
    """The same for the reader."""
    if licence is None:
        return "The licence of the base model is that of its source."
    return f"The base model is licensed under {licence}; what is trained from it too."
